//! `POST /api/orders/{id}/acknowledge`: the appliance has accepted an order and will see to it.

use super::Context;
use super::body::{Artifact, Json};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::clock;
use crate::store::Noted;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use msp_contracts::api::{OrderAcknowledgement, OrderReply};
use msp_contracts::ids::OrderId;
use std::sync::Arc;

impl Artifact for OrderAcknowledgement {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    id: Result<Path<String>, PathRejection>,
    Json(acknowledgement): Json<OrderAcknowledgement>,
) -> Result<axum::Json<OrderReply>, Refusal> {
    let order_id = named(id, &acknowledgement.order_id)?;
    let duplicate = match context.store.acknowledge_order(&who, &order_id, clock::now()).await? {
        Noted::Now => false,
        Noted::Before | Noted::Otherwise => true,
        Noted::Unknown => return Err(unknown(&order_id)),
    };
    Ok(axum::Json(OrderReply { order_id, duplicate }))
}

/// The order that path and body name alike.
pub(super) fn named(path: Result<Path<String>, PathRejection>, body: &OrderId) -> Result<OrderId, Refusal> {
    let malformed = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "malformed_path", message).field("id");
    let Path(id) = path.map_err(|error| malformed(error.to_string()))?;
    let id = OrderId::try_from(id).map_err(|error| malformed(error.to_string()))?;
    if id == *body {
        return Ok(id);
    }
    Err(Refusal::bad_field("order_id", format!("order_id is {body}, the path names {id}: a report is about one order")))
}

/// The same for an order of nobody and for one of another appliance: ids are not to be tried out.
pub(super) fn unknown(id: &OrderId) -> Refusal {
    let message = format!("{id} was never issued to this appliance: report on the orders that were fetched here");
    Refusal::new(StatusCode::NOT_FOUND, "unknown_order", message).field("id")
}
