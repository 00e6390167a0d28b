//! `POST /api/agent/executions`.

use crate::ids::{BundleId, IncidentId};
use crate::outcome::{Detail, Level, Outcome};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Telemetry of one plan that was carried out or refused. Sent again with the same id, it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Execution {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Unique (a UUID); also the idempotency key.
    pub execution_id: String,
    /// The incident it belongs to.
    pub incident_id: IncidentId,
    /// The site.
    pub site_id: String,
    /// The machine it was carried out on: host id or IP address.
    pub host_id: String,
    /// The rule that chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// The runbook, when one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook_id: Option<String>,
    /// Who decided.
    pub level: Level,
    /// How it ended, in the wire's word.
    pub outcome: Outcome,
    /// How it ended, in our word.
    pub detail: Detail,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The evidence of it.
    pub evidence_id: BundleId,
    /// When it began: ISO 8601 with zone.
    pub started_at: Timestamp,
    /// When it ended: ISO 8601 with zone.
    pub completed_at: Timestamp,
}

/// The server has the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionReply {
    /// The execution.
    pub execution_id: String,
    /// Whether the server had it already.
    pub duplicate: bool,
}
