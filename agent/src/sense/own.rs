//! What is checked of the agent itself: whether its clock can be trusted, and whether Central Command still speaks.
//!
//! A server that is silent and a server that somebody silences look the same from here; when its last signed word is
//! no longer fresh, a person is told, and nothing that disturbs people is done on a rule's account.

use crate::guard::clock_sanity;
use crate::model::{CheckKind, Observation};
use crate::store::{StoreError, facts};
use jiff::Timestamp;
use msp_contracts::finding::Severity;
use rusqlite::Connection;
use serde_json::json;

/// Looks at the agent's own state.
///
/// # Errors
/// When the store cannot be read.
pub fn observe(db: &Connection, now: Timestamp) -> Result<Vec<Observation>, StoreError> {
    Ok(vec![clock(db, now)?, central_command(db, now)?])
}

fn clock(db: &Connection, now: Timestamp) -> Result<Observation, StoreError> {
    let check = CheckKind::Clock;
    let ahead = facts::get(db, facts::CLOCK_AHEAD_SECONDS)?.and_then(|text| text.parse::<i64>().ok());
    let actual = json!({ "now": now, "ahead_of_central_command_seconds": ahead });
    let desired = json!({ "off_at_most_seconds": clock_sanity::TOLERANCE.as_secs() });
    Ok(match clock_sanity::of(db, now)? {
        Ok(()) => Observation::compliant(check, actual, desired),
        Err(insane) => Observation::drift(check, Severity::High, actual, desired, vec![insane.to_string()])
            .recommend("set the machine's clock and see to its time service; until then no order is accepted"),
    })
}

fn central_command(db: &Connection, now: Timestamp) -> Result<Observation, StoreError> {
    let check = CheckKind::CentralCommand;
    let desired = json!({ "fresh": true });
    let Some(until) = facts::time(db, facts::FRESH_UNTIL)? else {
        return Ok(Observation::unknown(check, desired, "no check-in with Central Command has succeeded yet"));
    };
    let last_contact = facts::get(db, facts::LAST_CONTACT)?;
    let actual = json!({ "fresh": now < until, "fresh_until": until, "last_contact": last_contact });
    if now < until {
        return Ok(Observation::compliant(check, actual, desired));
    }
    let said =
        format!("Central Command's last word was good until {until:.0}: it is away, or somebody keeps it from here");
    Ok(Observation::drift(check, Severity::High, actual, desired, vec![said]).recommend(
        "see whether Central Command runs, and what lies between; healing goes on, but not what disturbs people",
    ))
}
