//! `POST /api/escalations`: level 3, a person with everything that is known.

use crate::finding::Severity;
use crate::ids::{BundleId, IncidentId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A ticket for a person. Sent again with the same id, it is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Unique (a UUID); also the idempotency key.
    pub ticket_id: String,
    /// The incident it is about.
    pub incident_id: IncidentId,
    /// The site.
    pub site_id: String,
    /// The machine it is about: host id or IP address.
    pub host_id: String,
    /// The machine's name, for people.
    pub host_name: String,
    /// How soon somebody should look.
    pub urgency: Severity,
    /// One line: what is wrong and why the agent did not mend it.
    pub summary: String,
    /// Why it comes to a person.
    pub reason: String,
    /// The runbook a person could run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested_runbook: Option<String>,
    /// The [`crate::finding::Finding`], after redaction.
    pub finding: Value,
    /// What was tried, by evidence.
    pub evidence: Vec<BundleId>,
    /// When it was raised.
    pub created_at: Timestamp,
}

/// The server has the ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscalationReply {
    /// The ticket.
    pub ticket_id: String,
    /// Whether the server had it already.
    pub duplicate: bool,
}
