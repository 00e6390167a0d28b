//! The one JSON line that every phase of a runbook prints.

use msp_contracts::finding::CheckStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use msp_rules::Phase;

/// What a phase says of itself; a script's `error` is `unknown`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseReport {
    pub schema: u32,
    pub runbook: String,
    pub phase: String,
    pub status: ReportStatus,
    pub observed: Map<String, Value>,
    pub reasons: Vec<String>,
    pub changed: bool,
    pub reboot_required: bool,
}

/// The status words of scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    Compliant,
    Drift,
    Unsupported,
    Pending,
    Error,
}

impl From<ReportStatus> for CheckStatus {
    fn from(status: ReportStatus) -> Self {
        match status {
            ReportStatus::Compliant => Self::Compliant,
            ReportStatus::Drift => Self::Drift,
            ReportStatus::Unsupported => Self::Unsupported,
            ReportStatus::Pending => Self::Pending,
            ReportStatus::Error => Self::Unknown,
        }
    }
}
