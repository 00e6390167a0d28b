//! Identifiers and counters.
//!
//! Incident ids are `INC-` and 12 hexadecimal digits, order ids `ORD-` and 12, bundle ids `CB-YYYY-MM-DD-NNNN` (NNNN is a
//! minimum width). Counters travel as decimal strings, because canonical JSON numbers are doubles
//! and lose integers above 2^53.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A 64-bit counter (sequence numbers), on the wire a decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^(0|[1-9][0-9]{0,19})$"))]
pub struct Counter(pub u64);

impl Counter {
    /// The counter after this one; stays at the maximum, which 2^64 steps never reach.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Counter> for String {
    fn from(counter: Counter) -> Self {
        counter.0.to_string()
    }
}

/// Text that is no identifier of the expected shape.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {expected}")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// The shape that was expected.
    pub expected: &'static str,
}

pub(crate) fn bad(text: &str, expected: &'static str) -> IdError {
    IdError { text: text.chars().take(80).collect(), expected }
}

impl TryFrom<String> for Counter {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
        let value = text.parse().ok().filter(|_| canonical);
        value.map(Self).ok_or_else(|| bad(&text, "counter (a decimal string of an unsigned 64-bit number)"))
    }
}

fn is_lowercase_hex(digits: &str, count: usize) -> bool {
    digits.len() == count && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// An id that is a prefix and lowercase hexadecimal digits made of randomness.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $bytes:literal, $pattern:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(into = "String", try_from = "String")]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// From randomness, which the caller provides.
            #[must_use]
            pub fn from_random(bytes: [u8; $bytes]) -> Self {
                Self(format!(concat!($prefix, "{}"), crate::canonical::hex(&bytes)))
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                match text.strip_prefix($prefix) {
                    Some(digits) if is_lowercase_hex(digits, 2 * $bytes) => Ok(Self(text)),
                    _ => Err(bad(&text, $expected)),
                }
            }
        }
    };
}

random_id!(
    /// `INC-` and 12 lowercase hexadecimal digits.
    IncidentId,
    "INC-",
    6,
    "^INC-[0-9a-f]{12}$",
    "incident id (INC- and 12 lowercase hexadecimal digits)"
);

random_id!(
    /// `ORD-` and 12 lowercase hexadecimal digits.
    OrderId,
    "ORD-",
    6,
    "^ORD-[0-9a-f]{12}$",
    "order id (ORD- and 12 lowercase hexadecimal digits)"
);

random_id!(
    /// Which chain of an appliance: 16 lowercase hexadecimal digits, made anew with each new state.
    ///
    /// An appliance whose state was lost begins another chain; without a name for it, its first bundle would
    /// contradict the first bundle of the chain before. Orders name it too: an old one cannot come back.
    ChainId,
    "",
    8,
    "^[0-9a-f]{16}$",
    "chain id (16 lowercase hexadecimal digits)"
);

/// `CB-YYYY-MM-DD-NNNN`: the day in UTC and the bundle's number on that day, from 1, at least four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^CB-[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{4,}$"))]
pub struct BundleId {
    /// The day, in UTC.
    pub day: Date,
    /// The number of the bundle on that day, from 1.
    pub number: u64,
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CB-{}-{:04}", self.day, self.number)
    }
}

impl From<BundleId> for String {
    fn from(id: BundleId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for BundleId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl std::str::FromStr for BundleId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (day, number) = text.strip_prefix("CB-")?.split_at_checked(10)?;
            let id = Self { day: day.parse().ok()?, number: number.strip_prefix('-')?.parse().ok()? };
            // One spelling only: what prints differently is refused.
            (id.number > 0 && id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| bad(text, "bundle id (CB-YYYY-MM-DD-NNNN)"))
    }
}
