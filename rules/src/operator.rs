//! The twelve operators of a condition, and the compiled test that each becomes.
//!
//! A test answers with a [`Outcome`], not with a boolean: "differs", "is missing" and "cannot be compared" are
//! three things, and only `exists: false` is ever satisfied by a missing field. Numbers compare as numbers,
//! whether written as integers or as floats; a text never equals a number.

use std::cmp::Ordering;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    Eq,
    /// Present, comparable and not equal.
    Ne,
    /// A number greater than.
    Gt,
    /// A number greater than or equal.
    Ge,
    /// A number less than.
    Lt,
    /// A number less than or equal.
    Le,
    /// A text containing a text, or an array containing a value.
    Contains,
    /// Equal to one of a list.
    In,
    /// Present, comparable and equal to none of a list.
    NotIn,
    /// Present (`true`) or missing (`false`).
    Exists,
    /// A text in which the pattern is found; it is not anchored.
    Regex,
    /// A text in which the pattern is not found.
    NotRegex,
}

impl Operator {
    /// All twelve.
    pub const ALL: [Self; 12] = [
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
        Self::Contains,
        Self::In,
        Self::NotIn,
        Self::Exists,
        Self::Regex,
        Self::NotRegex,
    ];

    /// The name as rules write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Contains => "contains",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Exists => "exists",
            Self::Regex => "regex",
            Self::NotRegex => "not_regex",
        }
    }

    /// The operator of this name, exactly as written.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == name)
    }
}

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The condition holds.
    Holds,
    /// The values were compared, and the condition does not hold.
    Differs,
    /// The finding has no such field, or it is null.
    Missing,
    /// The two kinds of value cannot be compared, so the condition does not hold.
    Incomparable,
}

impl Outcome {
    fn of(compared: Option<bool>) -> Self {
        match compared {
            Some(true) => Self::Holds,
            Some(false) => Self::Differs,
            None => Self::Incomparable,
        }
    }
}

/// A value that equality is defined for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Bool(bool),
    Number(Number),
    Text(String),
}

impl Scalar {
    /// `None`: not comparable.
    fn equals(&self, actual: &Value) -> Option<bool> {
        match (self, actual) {
            (Self::Bool(wanted), Value::Bool(actual)) => Some(wanted == actual),
            (Self::Number(wanted), Value::Number(actual)) => Some(compare(actual, wanted)? == Ordering::Equal),
            (Self::Text(wanted), Value::String(actual)) => Some(wanted == actual),
            _ => None,
        }
    }
}

/// An operator together with its value, checked and compiled.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Equal(Scalar),
    Ordered(Operator, Number),
    Contains(Scalar),
    In(Vec<Scalar>),
    Exists(bool),
    Regex(Regex),
    /// `ne`, `not_in`, `not_regex`: the other way round, but only among what can be compared.
    Not(Box<Self>),
}

impl Test {
    pub(crate) fn evaluate(&self, actual: Option<&Value>) -> Outcome {
        match (self, actual) {
            (Self::Exists(wanted), actual) => Outcome::of(Some(actual.is_some() == *wanted)),
            (_, None) => Outcome::Missing,
            (_, Some(actual)) => Outcome::of(self.compare(actual)),
        }
    }

    /// The same for a value that goes by several names: a test holds when it holds for any of them, and a
    /// negated one only when it holds for all.
    pub(crate) fn evaluate_names<'a>(&self, mut names: impl Iterator<Item = &'a Value>) -> Outcome {
        let (inner, negated) = match self {
            Self::Not(inner) => (inner.as_ref(), true),
            test => (test, false),
        };
        if let Self::Exists(wanted) = inner {
            return Outcome::of(Some(*wanted));
        }
        let mut comparable = false;
        let found = names.any(|name| {
            let compared = inner.compare(name);
            comparable |= compared.is_some();
            compared == Some(true)
        });
        Outcome::of(comparable.then_some(found != negated))
    }

    fn compare(&self, actual: &Value) -> Option<bool> {
        match self {
            Self::Equal(wanted) => wanted.equals(actual),
            Self::Ordered(operator, limit) => {
                let Value::Number(actual) = actual else { return None };
                let ordering = compare(actual, limit)?;
                Some(match operator {
                    Operator::Gt => ordering.is_gt(),
                    Operator::Ge => ordering.is_ge(),
                    Operator::Lt => ordering.is_lt(),
                    _ => ordering.is_le(),
                })
            }
            Self::Contains(wanted) => match (actual, wanted) {
                (Value::String(text), Scalar::Text(part)) => Some(text.contains(part.as_str())),
                (Value::Array(items), wanted) => Some(items.iter().any(|item| wanted.equals(item) == Some(true))),
                _ => None,
            },
            Self::In(wanted) => {
                let mut compared = wanted.iter().filter_map(|wanted| wanted.equals(actual)).peekable();
                compared.peek()?;
                Some(compared.any(|equal| equal))
            }
            Self::Exists(wanted) => Some(*wanted),
            Self::Regex(pattern) => actual.as_str().map(|text| pattern.is_match(text)),
            Self::Not(inner) => inner.compare(actual).map(|holds| !holds),
        }
    }
}

/// Compares two JSON numbers by value, exactly where both are integers or the float is one.
pub(crate) fn compare(left: &Number, right: &Number) -> Option<Ordering> {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Beyond 2^63 a float is compared as a float.
fn integer(number: &Number) -> Option<i128> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if let Some(integer) = number.as_i64() {
        return Some(integer.into());
    }
    if let Some(integer) = number.as_u64() {
        return Some(integer.into());
    }
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() <= LIMIT).then_some(float as i128)
}
