//! `GET /health`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the server can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// The database was read and written.
    Ok,
    /// It was not; answered with 503.
    Failing,
}

/// The server's health: not liveness, but a real read and write of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Whether the server can do its work.
    pub status: HealthStatus,
    /// The server's version.
    pub version: String,
    /// The server's clock.
    pub server_time: Timestamp,
    /// What failed, when something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
