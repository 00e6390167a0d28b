//! Cooldown: the same rule leaves the same part of the same machine alone for a while. Stored with the intent, so
//! that it survives a restart.

use crate::model::Plan;
use crate::store::{StoreError, cooldowns};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

/// Against a plan whose rule acted on the same thing a short while ago.
pub fn objection(db: &Connection, plan: &Plan, now: Timestamp) -> Result<Option<String>, StoreError> {
    let until = cooldowns::until(db, &plan.cooldown_key())?;
    // A cooldown that ends further away than it lasts was set by a clock that was ahead: it counts no more.
    let longest = SignedDuration::from_secs(plan.cooldown_seconds.try_into().unwrap_or(i64::MAX));
    let holds = until.filter(|until| now < *until && until.duration_since(now) <= longest);
    Ok(holds.map(|until| format!("{} acted on this a short while ago: cooldown until {until:.0}", plan.rule_id)))
}
