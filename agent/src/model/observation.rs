//! What a check saw of one machine.
//!
//! A check only observes: actual, desired, and in words what differs. "Could not tell" is `unknown`
//! with the reason, never compliant; the constructors make the reason impossible to forget.

use msp_contracts::finding::{CheckStatus, Finding, Platform, Severity};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;

/// What is checked. The names are those of rules, the wire and the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    Patching,
    Antivirus,
    Backup,
    Logging,
    Firewall,
    Encryption,
    Generation,
    Services,
    TimeSync,
    Disk,
    Clock,
    CentralCommand,
    /// Active Directory on a domain controller.
    Directory,
    /// The agent's own state; made by the daemon only.
    AgentState,
    /// What the root executor refused; made by the daemon only.
    Executor,
    /// What nobody who may push has pushed; made by the daemon only.
    SensorListener,
}

impl CheckKind {
    const ALL: [Self; 16] = [
        Self::Patching,
        Self::Antivirus,
        Self::Backup,
        Self::Logging,
        Self::Firewall,
        Self::Encryption,
        Self::Generation,
        Self::Services,
        Self::TimeSync,
        Self::Disk,
        Self::Clock,
        Self::CentralCommand,
        Self::Directory,
        Self::AgentState,
        Self::Executor,
        Self::SensorListener,
    ];

    /// The check of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// A search for updates and the tests of a directory keep a machine busy for many seconds.
    pub fn is_slow(self) -> bool {
        matches!(self, Self::Patching | Self::Directory)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patching => "patching",
            Self::Antivirus => "antivirus",
            Self::Backup => "backup",
            Self::Logging => "logging",
            Self::Firewall => "firewall",
            Self::Encryption => "encryption",
            Self::Generation => "generation",
            Self::Services => "services",
            Self::TimeSync => "time_sync",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::CentralCommand => "central_command",
            Self::Directory => "directory",
            Self::AgentState => "agent_state",
            Self::Executor => "executor",
            Self::SensorListener => "sensor_listener",
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one check saw of one machine (or of one part of it).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    pub check: CheckKind,
    /// The part it is about, where a check covers several things (a service's name).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub status: CheckStatus,
    /// How bad it is, when it is not compliant.
    pub severity: Severity,
    /// What is. Null when it could not be told.
    pub actual: Value,
    /// What the baseline asks for.
    pub desired: Value,
    /// In words, what differs; one line each. Empty when compliant.
    pub diff: Vec<String>,
    /// Why it is unknown, unsupported or pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a person would do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_action: Option<String>,
    /// The observed values under the names that rules rely on (`service_running`, `firewall_enabled`, ...).
    pub details: Map<String, Value>,
}

impl Observation {
    fn new(check: CheckKind, status: CheckStatus, severity: Severity, actual: Value, desired: Value) -> Self {
        Self {
            check,
            subject: None,
            status,
            severity,
            actual,
            desired,
            diff: Vec::new(),
            reason: None,
            recommended_action: None,
            details: Map::new(),
        }
    }

    /// Actual is as desired.
    pub fn compliant(check: CheckKind, actual: Value, desired: Value) -> Self {
        Self::new(check, CheckStatus::Compliant, Severity::Low, actual, desired)
    }

    /// Actual differs from desired; `diff` says in what, one line each.
    pub fn drift(check: CheckKind, severity: Severity, actual: Value, desired: Value, diff: Vec<String>) -> Self {
        Self { diff, ..Self::new(check, CheckStatus::Drift, severity, actual, desired) }
    }

    /// It could not be told, and why (a missing tool, a missing privilege).
    pub fn unknown(check: CheckKind, desired: Value, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into());
        Self { reason, ..Self::new(check, CheckStatus::Unknown, Severity::Medium, Value::Null, desired) }
    }

    /// This machine does not have what the check is about, and how that is known.
    pub fn unsupported(check: CheckKind, desired: Value, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into());
        Self { reason, ..Self::new(check, CheckStatus::Unsupported, Severity::Low, Value::Null, desired) }
    }

    /// A change is under way or a restart is due, and which.
    pub fn pending(check: CheckKind, actual: Value, desired: Value, reason: impl Into<String>) -> Self {
        let reason = Some(reason.into());
        Self { reason, ..Self::new(check, CheckStatus::Pending, Severity::Low, actual, desired) }
    }

    /// Adds an observed value under a name that rules rely on.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Says what a person would do about it.
    #[must_use]
    pub fn recommend(mut self, action: impl Into<String>) -> Self {
        self.recommended_action = Some(action.into());
        self
    }

    /// Says which part of the check it is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The finding of this observation on the machine `host_id`, as rules see it and tickets carry it.
    pub fn finding(&self, platform: Platform, host_id: &str, host_name: &str) -> Finding {
        let mut details = self.details.clone();
        details.insert("platform".into(), platform.as_str().into());
        details.insert("host_name".into(), host_name.into());
        if let Some(reason) = &self.reason {
            details.insert("reason".into(), reason.as_str().into());
        }
        Finding {
            check_type: self.check.as_str().to_owned(),
            severity: self.severity,
            platform,
            host_id: host_id.to_owned(),
            subject: self.subject.clone(),
            status: self.status.on_the_wire(),
            actual: self.actual.clone(),
            desired: self.desired.clone(),
            diff: self.diff.clone(),
            recommended_action: self.recommended_action.clone(),
            hipaa_controls: msp_contracts::hipaa::paragraphs(self.check.as_str()),
            details,
        }
    }
}
