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

/// So long something that happened at the sensor listener counts, in seconds.
const REMEMBERED: i64 = 24 * 3600;

/// What happened at the sensor listener that a person is told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Somebody pushed who is no sensor of this site.
    Stranger,
    /// A sensor's push was so many seconds from this clock.
    WrongClock { sensor: String, off: i64 },
    /// All places for connections were taken.
    FullHouse,
}

/// The last time that it happened, and from where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Noticed {
    pub at: Timestamp,
    pub from: IpAddr,
    pub notice: Notice,
}

impl Notice {
    /// Under which name the last one is kept.
    pub fn fact(&self) -> &'static str {
        match self {
            Self::Stranger => facts::SENSOR_STRANGERS,
            Self::WrongClock { .. } => facts::SENSOR_WRONG_CLOCK,
            Self::FullHouse => facts::SENSOR_FULL_HOUSE,
        }
    }

    /// What happened, and what a person would do about it.
    fn in_words(&self, from: IpAddr) -> (String, &'static str) {
        match self {
            Self::Stranger => (
                format!("somebody without a key of a sensor pushes to the sensor listener, last from {from}"),
                "read `journalctl -t msp-agent -g 'push is refused'`, and find out what is at that address: a sensor with a wrong key, or a stranger; nothing that it pushed was used",
            ),
            Self::WrongClock { sensor, off } => (
                format!(
                    "a push that the sensor {sensor} signed is {off} s from this clock, last from {from}: it is refused"
                ),
                "set the clock of the sensor, or of this machine; when both are right, somebody at that address sends an old push once more",
            ),
            Self::FullHouse => (
                format!(
                    "the sensor listener is full: a connection found no place, last one from {from} (not necessarily who takes the places)"
                ),
                "read `journalctl -t msp-agent -g 'push is refused'`: who holds the connections is refused as too slow, or has too many; until it is gone, sensors are not heard",
            ),
        }
    }
}

impl Noticed {
    /// # Errors
    /// When it cannot be stored.
    pub fn store(&self, db: &Connection) -> Result<(), StoreError> {
        facts::set(db, self.notice.fact(), &json!(self).to_string())
    }
}

/// Keeps why the sensor listener is closed, if it is.
///
/// # Errors
/// When it cannot be stored.
pub fn sensors_are_closed(db: &Connection, trouble: Option<&str>) -> Result<(), StoreError> {
    // Where there never was any trouble, there is no check of it.
    if trouble.is_some() || facts::get(db, facts::SENSOR_TROUBLE)?.is_some() {
        facts::set(db, facts::SENSOR_TROUBLE, trouble.unwrap_or_default())?;
    }
    Ok(())
}

/// Looks at the agent's own state.
///
/// # Errors
/// When the store cannot be read.
pub fn observe(db: &Connection, now: Timestamp) -> Result<Vec<Observation>, StoreError> {
    let mut observations = vec![clock(db, now)?, central_command(db, now)?];
    observations.extend(listener(db)?);
    for (fact, subject) in [
        (facts::SENSOR_STRANGERS, None),
        (facts::SENSOR_WRONG_CLOCK, Some("clock")),
        (facts::SENSOR_FULL_HOUSE, Some("connections")),
    ] {
        let seen = noticed(db, fact, now)?;
        observations.extend(seen.map(|seen| subject.into_iter().fold(seen, |seen, subject| seen.about(subject))));
    }
    Ok(observations)
}

/// Whether the sensor listener is closed although it should not be; nothing where it never was.
fn listener(db: &Connection) -> Result<Option<Observation>, StoreError> {
    let check = CheckKind::SensorListener;
    let Some(trouble) = facts::get(db, facts::SENSOR_TROUBLE)? else { return Ok(None) };
    let (actual, desired) = (json!({ "closed": !trouble.is_empty() }), json!({ "closed": false }));
    let seen = if trouble.is_empty() {
        Observation::compliant(check, actual, desired)
    } else {
        let said = format!("the sensor listener is closed, no sensor is heard: {trouble}");
        Observation::drift(check, Severity::Medium, actual, desired, vec![said])
            .recommend("mend what it names (docs/sensors.md), and restart the agent: systemctl restart msp-agent")
    };
    Ok(Some(seen.about("listener")))
}

/// Whether something happened at the sensor listener that a person is told of; nothing where it never did.
fn noticed(db: &Connection, fact: &str, now: Timestamp) -> Result<Option<Observation>, StoreError> {
    let check = CheckKind::SensorListener;
    let desired = json!({ "refused_within_a_day": false });
    let Some(text) = facts::get(db, fact)? else { return Ok(None) };
    // What cannot be read is the store's matter, and says nothing of who pushed.
    let Ok(last) = serde_json::from_str::<Noticed>(&text) else { return Ok(None) };
    let recent = now.duration_since(last.at).as_secs() < REMEMBERED;
    let actual = json!({ "refused_within_a_day": recent });
    if !recent {
        return Ok(Some(Observation::compliant(check, actual, desired)));
    }
    let (said, cure) = last.notice.in_words(last.from);
    Ok(Some(Observation::drift(check, Severity::Medium, actual, desired, vec![said]).recommend(cure)))
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
