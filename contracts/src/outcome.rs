//! What became of a plan: our detailed word, and the coarser word the wire has always used.
//!
//! `rolled_back` is a failure with a name, never a success, and `escalated` is an alert: a person
//! has it now. The detail travels beside the wire's outcome, so that nothing is lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Our own word for how a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Something was changed and the check now says compliant.
    Fixed,
    /// The check says compliant and nothing had to be changed.
    NoChange,
    /// The check does not say compliant afterwards, or the change could not be made.
    Failed,
    /// The change did not pass its check and was undone.
    RolledBack,
    /// The change is made and takes effect at the next restart.
    RebootRequired,
    /// The change is under way; it is looked at again later.
    Pending,
    /// The target cannot be healed this way (a feature is missing).
    Unsupported,
    /// The plan waits: maintenance window, cooldown, or healing switched off.
    Deferred,
    /// A person has been asked.
    Escalated,
    /// Nothing was done because the agent runs dry.
    DryRun,
}

/// The wire's word for how a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// `fixed` or `no_change`.
    Success,
    /// `failed`.
    Failed,
    /// `rolled_back`.
    Reverted,
    /// `deferred`, `dry_run`, `pending` or `reboot_required`.
    Deferred,
    /// `escalated` or `unsupported`.
    Alert,
}

impl Detail {
    /// The wire's word for this detail.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Fixed | Self::NoChange => Outcome::Success,
            Self::Failed => Outcome::Failed,
            Self::RolledBack => Outcome::Reverted,
            Self::Deferred | Self::DryRun | Self::Pending | Self::RebootRequired => Outcome::Deferred,
            Self::Escalated | Self::Unsupported => Outcome::Alert,
        }
    }

    /// The word as it is written on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::NoChange => "no_change",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::RebootRequired => "reboot_required",
            Self::Pending => "pending",
            Self::Unsupported => "unsupported",
            Self::Deferred => "deferred",
            Self::Escalated => "escalated",
            Self::DryRun => "dry_run",
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who resolved it: a deterministic rule, the planner, or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Level {
    /// Level 1: a deterministic rule.
    L1,
    /// Level 2: the planner chose an allowed runbook.
    L2,
    /// Level 3: a person.
    L3,
}

impl Level {
    /// 1, 2 or 3.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::L1 => 1,
            Self::L2 => 2,
            Self::L3 => 3,
        }
    }
}
