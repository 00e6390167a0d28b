//! A level 1 rule as it stands in memory once it was found to be sound.
//!
//! A rule says when it applies (conditions that must all hold) and what it chooses (an [`Action`]). It never
//! carries a command. `cooldown_seconds` and `hipaa_controls` travel with it for the guard and for evidence;
//! nothing here acts on them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::condition::Condition;
use crate::document::Position;

/// Cooldown of a rule that names none, in seconds.
pub const DEFAULT_COOLDOWN_SECONDS: u32 = 300;

/// How bad a finding is, and how urgent an escalation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Can wait.
    Low,
    /// Within days.
    Medium,
    /// Today.
    High,
    /// Now.
    Critical,
}

impl Severity {
    /// The four words, mildest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word as rules and findings write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of this name, exactly as written.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Where a rule comes from, in the order that breaks ties. The folder decides it, never the rule itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Shipped with the program.
    Baseline,
    /// Written for this site by its operators.
    Custom,
    /// Served by Central Command.
    Synced,
    /// Learnt, and promoted by a person.
    Promoted,
}

impl Source {
    /// The word as reports write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Custom => "custom",
            Self::Synced => "synced",
            Self::Promoted => "promoted",
        }
    }

    /// Local sources win over remote ones whatever the priorities say.
    pub(crate) fn is_remote(self) -> bool {
        matches!(self, Self::Synced | Self::Promoted)
    }

    /// Priority of a rule that names none.
    #[must_use]
    pub fn default_priority(self) -> u32 {
        match self {
            Self::Baseline => 1,
            Self::Custom | Self::Synced | Self::Promoted => 5,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A sound rule.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    /// Unique within its source.
    pub id: String,
    /// A title; the id where none was given.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// All must hold. Those that were not written but follow from the severity filter and from the runbook's
    /// platform stand at the end and say so.
    pub conditions: Vec<Condition>,
    /// What it chooses.
    pub action: Action,
    /// Paragraphs of 45 CFR that the check behind it supports.
    pub hipaa_controls: Vec<String>,
    /// Lower wins, within the source's tier.
    pub priority: u32,
    /// Shortest time between two runs on the same host, in seconds.
    pub cooldown_seconds: u32,
    /// `false`: loaded, and not matched.
    pub enabled: bool,
    /// Where it comes from.
    pub source: Source,
    /// The file it stands in.
    pub file: String,
    /// Where in that file.
    pub at: Position,
    #[serde(skip)]
    pub(crate) id_at: Position,
}

impl Rule {
    /// The total order in which rules win: local before remote, then priority, source and id.
    pub(crate) fn rank(&self) -> (bool, u32, Source, &str) {
        (self.source.is_remote(), self.priority, self.source, &self.id)
    }
}
