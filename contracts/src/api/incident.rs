//! `POST /incidents` and `POST /incidents/{id}/resolve`.

use crate::finding::{Platform, Severity};
use crate::ids::IncidentId;
use crate::outcome::Level;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something is not as it should be, from its first sight on. Sent again with the same id, it is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Unique; also the idempotency key.
    pub incident_id: IncidentId,
    /// The check that found it.
    pub incident_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// The site.
    pub site_id: String,
    /// The machine: the appliance's host id, or a Windows target's IP address.
    pub host_id: String,
    /// The machine's name, for people.
    pub host_name: String,
    /// What kind of machine it is.
    pub platform: Platform,
    /// The [`crate::finding::Finding`], after redaction.
    pub raw_data: Value,
    /// Incidents with the same signature are the same kind of trouble.
    pub pattern_signature: String,
    /// When it was first seen.
    pub created_at: Timestamp,
}

/// The server has the incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentReply {
    /// The incident.
    pub incident_id: IncidentId,
    /// Whether the server had it already.
    pub duplicate: bool,
}

/// An incident is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentResolution {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who resolved it.
    pub resolution_tier: Level,
    /// What was done, in words or a runbook's id.
    pub action_taken: String,
    /// When it was over.
    pub resolved_at: Timestamp,
}
