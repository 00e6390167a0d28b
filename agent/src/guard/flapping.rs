//! Flapping: a heal that keeps coming undone is futile. Something else undoes it, and only a person finds out what.
//!
//! What counts is heals that succeeded, of the same part of the same check of the same machine. Until the oldest of
//! them is older than the window, every new drift of it goes to a person, also when the one before was closed.

use crate::model::Plan;
use crate::store::statuses::Key;
use crate::store::{StoreError, heals};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

/// From how many heals within how long on a new drift is a person's.
#[derive(Debug, Clone, Copy)]
pub struct Flapping {
    pub limit: u32,
    pub within: SignedDuration,
}

impl Flapping {
    /// Against one more heal at `now`, when the thing was healed at these times.
    pub fn futile(self, fixed: &[Timestamp], now: Timestamp) -> Option<String> {
        let counts = |at: &&Timestamp| **at <= now && now.duration_since(**at) < self.within;
        let counted: Vec<_> = fixed.iter().filter(counts).collect();
        let since = counted.iter().min()?;
        let reached = usize::try_from(self.limit).is_ok_and(|limit| counted.len() >= limit);
        let times = if counted.len() == 1 { "once".to_owned() } else { format!("{} times", counted.len()) };
        reached.then(|| {
            format!(
                "healed {times} since {since:.0}, and each time it came undone: something else undoes it (a policy, a \
                 program, a person). Find out what; healing it again is futile"
            )
        })
    }
}

/// Against a plan whose like came undone too often.
pub fn objection(
    db: &Connection,
    flapping: Flapping,
    plan: &Plan,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let from = now.saturating_sub(flapping.within).unwrap_or(Timestamp::MIN);
    let fixed = heals::fixed(db, &Key::of(&plan.finding), from, now)?;
    Ok(flapping.futile(&fixed, now))
}
