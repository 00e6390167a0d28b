//! What becomes of an order, in one word.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderState {
    /// It waits to be fetched.
    Pending,
    /// The appliance has accepted it.
    Acknowledged,
    /// It is over, done or not: the completion says which.
    Completed,
    /// The appliance did not accept it.
    Refused,
    /// Nobody accepted it in time.
    Expired,
    /// It was taken back.
    Revoked,
}

impl OrderState {
    pub(crate) const ALL: [Self; 6] =
        [Self::Pending, Self::Acknowledged, Self::Completed, Self::Refused, Self::Expired, Self::Revoked];

    /// The word in the store and in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Acknowledged => "acknowledged",
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OrderState {
    type Err = sqlx::Error;

    fn from_str(text: &str) -> Result<Self, sqlx::Error> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| sqlx::Error::Decode(format!("{text:?} is no state of an order").into()))
    }
}
