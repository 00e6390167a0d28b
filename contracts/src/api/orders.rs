//! `GET /api/sites/{site}/appliances/{id}/orders/pending`, `POST /api/orders/{id}/acknowledge` and `/complete`.

use crate::dsse::Envelope;
use crate::ids::OrderId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An order that the appliance has not acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingOrder {
    /// For old clients and for acknowledging; an agent believes the payload.
    pub order_id: OrderId,
    /// The signed [`crate::order::Order`].
    pub envelope: Envelope,
}

/// The orders that wait for an appliance, by rising sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingOrders {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The orders; a server sends at most 100 at once.
    pub orders: Vec<PendingOrder>,
}

/// The appliance has verified and stored the order and will see to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderAcknowledgement {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The order.
    pub order_id: OrderId,
}

/// The order is over: carried out, refused, revoked or too late. A refused one is completed without having been
/// acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderCompletion {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The order.
    pub order_id: OrderId,
    /// Whether what it asked for was done.
    pub success: bool,
    /// What came of it: `outcome`, and for a runbook `incident_id` and `evidence_id`.
    #[serde(default)]
    pub result: Value,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// The server has the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReply {
    /// The order.
    pub order_id: OrderId,
    /// Whether the server had it already.
    pub duplicate: bool,
}
