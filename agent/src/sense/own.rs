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
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::IpAddr;

/// So long a stranger's push counts, in seconds.
const REMEMBERED: i64 = 24 * 3600;

/// When and from where somebody pushed last who is no sensor of this site.
#[derive(Debug, Serialize, Deserialize)]
pub struct Strangers {
    pub at: Timestamp,
    pub from: IpAddr,
}

impl Strangers {
    /// # Errors
    /// When it cannot be stored.
    pub fn store(&self, db: &Connection) -> Result<(), StoreError> {
        facts::set(db, facts::SENSOR_STRANGERS, &json!(self).to_string())
    }
}

/// Looks at the agent's own state.
///
/// # Errors
/// When the store cannot be read.
pub fn observe(db: &Connection, now: Timestamp) -> Result<Vec<Observation>, StoreError> {
    let mut observations = vec![clock(db, now)?, central_command(db, now)?];
    observations.extend(sensors(db, now)?);
    Ok(observations)
}

/// Whether somebody pushes who may not; nothing where nobody ever did.
fn sensors(db: &Connection, now: Timestamp) -> Result<Option<Observation>, StoreError> {
    let check = CheckKind::SensorListener;
    let desired = json!({ "refused_within_a_day": false });
    let Some(text) = facts::get(db, facts::SENSOR_STRANGERS)? else { return Ok(None) };
    // What cannot be read is the store's matter, and says nothing of who pushed.
    let Ok(last) = serde_json::from_str::<Strangers>(&text) else { return Ok(None) };
    let recent = now.duration_since(last.at).as_secs() < REMEMBERED;
    let actual = json!({ "refused_within_a_day": recent });
    if !recent {
        return Ok(Some(Observation::compliant(check, actual, desired)));
    }
    let said = format!("somebody without a key of a sensor pushes to the sensor listener, last from {}", last.from);
    Ok(Some(Observation::drift(check, Severity::Medium, actual, desired, vec![said]).recommend(
        "read `journalctl -t msp-agent`, and find out what is at that address: a sensor with a wrong key or clock, or a stranger; nothing that it pushed was used",
    )))
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
