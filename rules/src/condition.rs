//! One condition of a rule: a field, an operator, and a value that was checked and compiled when the rule loaded.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alias::Aliases;
use crate::operator::{Operator, Outcome, Test};
use crate::view::{FieldPath, View};

/// Where a condition comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It stands in the rule.
    Written,
    /// It is the rule's `severity_filter`.
    SeverityFilter,
    /// The rule's runbook acts on this platform only.
    Runbook,
}

/// A condition that loaded.
#[derive(Debug, Clone, Serialize)]
pub struct Condition {
    /// The field of the view.
    pub field: FieldPath,
    /// How it is compared.
    pub operator: Operator,
    /// With what, as it was written.
    pub value: Value,
    /// Who asked for it.
    pub origin: Origin,
    #[serde(skip)]
    pub(crate) test: Test,
}

impl Condition {
    pub(crate) fn evaluate(&self, view: &View, aliases: &Aliases) -> Outcome {
        let actual = view.get(&self.field);
        match actual {
            Some(actual) if self.names_a_check() => {
                self.test.evaluate_names(std::iter::once(actual).chain(aliases.spellings(actual)))
            }
            actual => self.test.evaluate(actual),
        }
    }

    /// Check types go by several names, and a condition written for one of them means all.
    pub(crate) fn names_a_check(&self) -> bool {
        matches!(self.field.as_str(), "check_type" | "incident_type")
    }

    /// The values that `eq` and `in` admit: what an index can be built on.
    pub(crate) fn admitted(&self) -> Option<Vec<&str>> {
        match (self.operator, &self.value) {
            (Operator::Eq, Value::String(text)) => Some(vec![text]),
            (Operator::In, Value::Array(items)) => Some(items.iter().filter_map(Value::as_str).collect()),
            _ => None,
        }
    }
}
