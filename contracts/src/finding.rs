//! What a check saw, in the words of the wire.
//!
//! Inside the agent a check answers compliant, drift, unsupported, pending or unknown. On the wire
//! and for rules these are pass, fail, warning and error. The mapping is total and stands here, so
//! that "could not tell" can never become "pass" on the way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// What a check found, in the agent's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Actual is as desired.
    Compliant,
    /// Actual differs from desired.
    Drift,
    /// This machine does not have what the check is about.
    Unsupported,
    /// A change is under way, or a restart is due.
    Pending,
    /// It could not be told; the reason stands with it.
    Unknown,
}

impl CheckStatus {
    /// The wire's word for it.
    #[must_use]
    pub fn on_the_wire(self) -> WireStatus {
        match self {
            Self::Compliant => WireStatus::Pass,
            Self::Drift => WireStatus::Fail,
            Self::Pending | Self::Unsupported => WireStatus::Warning,
            Self::Unknown => WireStatus::Error,
        }
    }

    /// The word as it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "compliant",
            Self::Drift => "drift",
            Self::Unsupported => "unsupported",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
        }
    }
}

impl std::str::FromStr for CheckStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        [Self::Compliant, Self::Drift, Self::Unsupported, Self::Pending, Self::Unknown]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus { text: text.chars().take(40).collect() })
    }
}

/// A word that is no status of a check.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no status of a check")]
pub struct UnknownStatus {
    /// The word.
    pub text: String,
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a check found, in the words of the wire and of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WireStatus {
    /// Compliant.
    Pass,
    /// Drift.
    Fail,
    /// Pending or unsupported.
    Warning,
    /// Unknown.
    Error,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth doing this week.
    Medium,
    /// Worth doing today.
    High,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// The word as it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The kind of machine a finding is about. Part of the finding, never guessed from a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// A Windows server, reached over WinRM.
    Windows,
    /// The appliance, on NixOS.
    Nixos,
    /// The machine the agent runs on, any other Linux.
    Linux,
}

impl Platform {
    /// The word as it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Nixos => "nixos",
            Self::Linux => "linux",
        }
    }
}

/// One deviation, as rules see it and tickets carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The check that found it, for example `firewall`.
    pub check_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of machine it is about.
    pub platform: Platform,
    /// The machine: the appliance's host id, or a Windows target's IP address.
    pub host_id: String,
    /// What part of the check it is about, where a check covers several things (a service's name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What was found, in the words of the wire.
    pub status: WireStatus,
    /// What was observed.
    pub actual: Value,
    /// What the baseline asks for.
    pub desired: Value,
    /// In words, what differs; one line each.
    pub diff: Vec<String>,
    /// What a person would do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended_action: Option<String>,
    /// The paragraphs of 45 CFR 164 that the check supports.
    pub hipaa_controls: Vec<String>,
    /// The observed values under the names that rules rely on, plus `platform`.
    pub details: Map<String, Value>,
}
