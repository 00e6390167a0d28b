//! `GET /health`: 200 only after a real write and read of the database, else 503 with the reason.

use super::Context;
use super::caller::Certified;
use super::refusal::chain;
use crate::clock;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use msp_contracts::api::{Health, HealthStatus};
use std::sync::Arc;

pub(super) async fn call(_: Certified, State(context): State<Arc<Context>>) -> (StatusCode, Json<Health>) {
    let now = clock::now();
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
    (code, Json(Health { status, version, server_time: now, reason }))
}
