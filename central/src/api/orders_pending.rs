//! `GET /api/sites/{site}/appliances/{id}/orders/pending`: the orders that wait for the appliance that asks.

use super::Context;
use super::caller::Caller;
use super::refusal::Refusal;
use crate::clock;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::PendingOrders;
use std::sync::Arc;

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    named: Result<Path<(String, String)>, PathRejection>,
) -> Result<axum::Json<PendingOrders>, Refusal> {
    let Path((site, appliance)) = named
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "malformed_path", error.to_string()).field("id"))?;
    who.must_be_of(&site, "site")?;
    who.must_be(&appliance, "id")?;
    let orders = context.store.pending_orders(&who, clock::now()).await?;
    Ok(axum::Json(PendingOrders { schema_version: SCHEMA_VERSION, orders }))
}
