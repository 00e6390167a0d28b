//! Why a finding was, or was not, matched: for every rule the verdict and the first condition that failed.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::condition::Origin;
use crate::index::RuleSet;
use crate::model::Source;
use crate::operator::{Operator, Outcome};
use crate::view::View;

/// The whole explanation, winners first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The rule that decides.
    pub winner: Option<String>,
    /// Every rule, in the order in which they win.
    pub rules: Vec<Considered>,
}

/// One rule against the finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Considered {
    /// The rule.
    pub rule_id: String,
    /// Where it comes from.
    pub source: Source,
    /// Its priority.
    pub priority: u32,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It matched and decides.
    Won,
    /// It matched, and another stands before it.
    Outranked {
        /// The rule that decides.
        by: String,
    },
    /// It did not match.
    Failed {
        /// The field of the first condition that does not hold.
        field: String,
        /// How it is compared.
        operator: Operator,
        /// With what.
        expected: Value,
        /// What the finding has; none where the field is missing or null.
        actual: Option<Value>,
        /// Differs, is missing, or cannot be compared.
        outcome: Outcome,
        /// Where the condition comes from.
        origin: Origin,
    },
}

impl RuleSet {
    /// Holds a finding against every rule and says what became of each.
    #[must_use]
    pub fn explain(&self, view: &View) -> Explanation {
        let mut winner: Option<String> = None;
        let mut rules = Vec::with_capacity(self.len());
        for rule in self.iter() {
            let verdict = match (self.failure(rule, view), &winner) {
                (Some((condition, outcome)), _) => Verdict::Failed {
                    field: condition.field.to_string(),
                    operator: condition.operator,
                    expected: condition.value.clone(),
                    actual: view.get(&condition.field).cloned(),
                    outcome,
                    origin: condition.origin,
                },
                (None, None) => {
                    winner = Some(rule.id.clone());
                    Verdict::Won
                }
                (None, Some(by)) => Verdict::Outranked { by: by.clone() },
            };
            let (rule_id, source, priority) = (rule.id.clone(), rule.source, rule.priority);
            rules.push(Considered { rule_id, source, priority, verdict });
        }
        Explanation { winner, rules }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.winner {
            Some(rule_id) => writeln!(formatter, "{rule_id} decides"),
            None => writeln!(formatter, "no rule matches"),
        }?;
        self.rules.iter().try_for_each(|rule| writeln!(formatter, "  {rule}"))
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}, priority {}): ", self.rule_id, self.source, self.priority)?;
        match &self.verdict {
            Verdict::Won => formatter.write_str("matched, and decides"),
            Verdict::Outranked { by } => write!(formatter, "matched, outranked by {by}"),
            Verdict::Failed { field, operator, expected, actual, outcome, origin } => {
                write!(formatter, "{field} {} {expected} ", operator.as_str())?;
                match (outcome, actual) {
                    (Outcome::Missing, _) | (_, None) => formatter.write_str("fails: the finding has no such field"),
                    (Outcome::Incomparable, Some(actual)) => write!(formatter, "cannot be compared with {actual}"),
                    (_, Some(actual)) => write!(formatter, "fails: it is {actual}"),
                }?;
                match origin {
                    Origin::Written => Ok(()),
                    Origin::SeverityFilter => formatter.write_str(" (severity_filter)"),
                    Origin::Runbook => formatter.write_str(" (the runbook's platform)"),
                }
            }
        }
    }
}
