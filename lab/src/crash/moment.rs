//! The moments at which a kill can meet a heal.

use crate::drift::Drift;
use crate::watch::Known;
use std::fmt;

/// How far the agent had come with a drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It had not seen it.
    Unseen,
    /// It had seen it, and done nothing about it.
    Found,
    /// The intent was stored, the outcome not: something was being done on the server, or had just been.
    InHeal,
    /// The outcome was stored, and reports of it were owed.
    Owed,
    /// All of it had arrived at Central Command.
    Arrived,
}

impl Moment {
    /// How far the agent has come with the drift that came `times` times.
    pub fn of(known: &Known, host_id: &str, drift: Drift, times: usize) -> Self {
        let of: Vec<_> = known.all_of(host_id, drift).collect();
        match of.first() {
            Some(newest) if of.len() == times => match (newest.state.as_str(), &newest.runbook_id, &newest.outcome) {
                ("resolved", _, _) if known.outbox.pending == 0 => Self::Arrived,
                ("resolved", _, _) => Self::Owed,
                (_, Some(_), None) => Self::InHeal,
                // The guard leaves alone what an open intent is about, and says so in a refusal.
                _ if newest.error.as_deref().is_some_and(|why| why.contains("may still be running")) => Self::InHeal,
                _ => Self::Found,
            },
            _ => Self::Unseen,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unseen => "before it was seen",
            Self::Found => "before the intent",
            Self::InHeal => "within the heal",
            Self::Owed => "before all was delivered",
            Self::Arrived => "afterwards",
        })
    }
}
