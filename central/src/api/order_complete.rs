//! `POST /api/orders/{id}/complete`: an order is over. The first word stands; another later is logged.

use super::Context;
use super::body::{Artifact, Json};
use super::caller::Caller;
use super::order_acknowledge::{named, unknown};
use super::refusal::Refusal;
use crate::clock;
use crate::store::Noted;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use msp_contracts::api::{OrderCompletion, OrderReply};
use std::sync::Arc;

/// The longest `result` that is kept, in bytes of JSON.
const MAX_RESULT: usize = 64 * 1024;
/// The longest `error_message` that is kept, in bytes.
const MAX_MESSAGE: usize = 8 * 1024;

impl Artifact for OrderCompletion {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    id: Result<Path<String>, PathRejection>,
    Json(completion): Json<OrderCompletion>,
) -> Result<axum::Json<OrderReply>, Refusal> {
    let order_id = named(id, &completion.order_id)?;
    bounded("result", completion.result.to_string().len(), MAX_RESULT)?;
    bounded("error_message", completion.error_message.as_ref().map_or(0, String::len), MAX_MESSAGE)?;
    let duplicate = match context.store.complete_order(&who, &completion, clock::now()).await? {
        Noted::Now => false,
        Noted::Before => true,
        Noted::Otherwise => {
            tracing::warn!(site = who.site, appliance = who.appliance, order = %order_id, success = completion.success,
                "an order was completed before with another result; the first stands");
            true
        }
        Noted::Unknown => return Err(unknown(&order_id)),
    };
    Ok(axum::Json(OrderReply { order_id, duplicate }))
}

fn bounded(field: &str, length: usize, longest: usize) -> Result<(), Refusal> {
    if length <= longest {
        return Ok(());
    }
    Err(Refusal::bad_field(field, format!("{field} has {length} bytes, at most {longest} are kept: report less")))
}
