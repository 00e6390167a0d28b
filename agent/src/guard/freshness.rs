//! Freshness: whoever disturbs people has heard from Central Command, so that a word that it took back is not acted
//! on. A signed order says itself until when it may be carried out, and needs no other word for it.

use crate::model::Plan;
use crate::store::{StoreError, facts};
use jiff::Timestamp;
use msp_rules::Runbook;
use rusqlite::Connection;

/// Against a disruptive plan when the newest freshness stamp, or the order it comes from, has run out.
pub fn objection(
    db: &Connection,
    runbook: &Runbook,
    plan: &Plan,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    if let Some(until) = plan.order.as_ref().map(|order| order.execute_by) {
        return Ok((now >= until).then(|| format!("the order was to be carried out by {until:.0}")));
    }
    Ok(match facts::time(db, facts::FRESH_UNTIL)? {
        Some(until) if now < until => None,
        Some(until) => Some(format!(
            "{} disturbs people, and Central Command's last word was good until {until:.0}: it has to be heard again first",
            runbook.id
        )),
        None => Some(format!("{} disturbs people, and Central Command was never heard", runbook.id)),
    })
}
