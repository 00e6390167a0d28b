//! `GET /health`: 200 only after a real write and read of the database, else 503 with the reason.

use super::Context;
use super::caller::{Certified, worthless};
use super::refusal::Refusal;
use crate::causes::chain;
use crate::clock;
use crate::store::Worth;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use msp_contracts::api::{Health, HealthStatus};
use std::sync::Arc;

pub(super) async fn call(
    Certified(identity): Certified,
    State(context): State<Arc<Context>>,
) -> Result<(StatusCode, Json<Health>), Refusal> {
    let now = clock::now();
    // A database that fails is what this call is there to tell: only a clear word against the caller counts.
    if let Ok(worth @ (Worth::Revoked { .. } | Worth::Expired { .. })) = context.store.worth(&identity, now).await {
        return Err(worthless(&identity.who, &worth));
    }
    let reason = match context.store.probe(now).await {
        Ok(true) => None,
        Ok(false) => Some("what was written to the health row is not what is read back".to_owned()),
        Err(error) => Some(chain(&error)),
    };
    let (code, status) = match &reason {
        None => (StatusCode::OK, HealthStatus::Ok),
        Some(reason) => {
            tracing::error!(reason, "health check failed");
            (StatusCode::SERVICE_UNAVAILABLE, HealthStatus::Failing)
        }
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok((code, Json(Health { status, version, server_time: now, reason })))
}
