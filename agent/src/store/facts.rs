//! Single values that must outlive a restart.

use super::evidence;
use super::{Doing, StoreError};
use jiff::Timestamp;
use msp_contracts::ids::Counter;
use rusqlite::{Connection, OptionalExtension};

pub const CHAIN: &str = "chain";
pub const FRESHNESS_SEQUENCE: &str = "sequence.freshness";
pub const RULES_SEQUENCE: &str = "sequence.rules";
pub const RULES: &str = "rules.envelope";
pub const RULES_TIER: &str = "rules.tier";
pub const RULES_VERSION: &str = "rules.version";
pub const RULES_SYNCED_AT: &str = "rules.synced_at";
pub const INVENTORY: &str = "inventory";
pub const LAST_CONTACT: &str = "last_contact";
/// When the appliance's own checks were last made.
pub const APPLIANCE_CHECKED: &str = "appliance_checked";
/// When the newest freshness stamp expires.
pub const FRESH_UNTIL: &str = "fresh_until";
/// How far this clock was ahead of Central Command's at the last check-in, in seconds; negative when behind.
pub const CLOCK_AHEAD_SECONDS: &str = "clock_ahead_seconds";
/// The newest time that was ever stored.
pub const NEWEST_TIME: &str = "newest_time";
/// Present while the kill switch is engaged: why.
pub const KILL_SWITCH: &str = "kill_switch";
/// `true` or `false` when an order said so; the configuration's word counts otherwise.
pub const DRY_RUN: &str = "dry_run";
/// When and from where somebody pushed last who is no sensor of this site: JSON.
pub const SENSOR_STRANGERS: &str = "sensor.strangers";
/// The same of a sensor whose clock, or this machine's, is wrong.
pub const SENSOR_WRONG_CLOCK: &str = "sensor.wrong_clock";
/// The same of a connection for which there was no place.
pub const SENSOR_FULL_HOUSE: &str = "sensor.full_house";
/// Why the sensor listener is closed; empty when it is closed no more.
pub const SENSOR_TROUBLE: &str = "sensor.trouble";
/// The highest sequence of an order that was accepted.
pub const ORDERS_SEQUENCE: &str = "sequence.orders";
/// The keys of Central Command that an order put in place of the configured one: a JSON list.
pub const SERVER_KEYS: &str = "server_keys";

pub fn get(db: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    db.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0)).optional().doing("reading a fact")
}

pub fn set(db: &Connection, name: &str, value: &str) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name, value],
    )
    .doing("storing a fact")?;
    Ok(())
}

pub fn unset(db: &Connection, name: &str) -> Result<(), StoreError> {
    db.execute("DELETE FROM facts WHERE name = ?1", [name]).doing("removing a fact")?;
    Ok(())
}

/// The time stored under `name`.
pub fn time(db: &Connection, name: &str) -> Result<Option<Timestamp>, StoreError> {
    get(db, name)?.map(|text| evidence::time(&text)).transpose()
}

/// The highest sequence accepted under `name`.
pub fn sequence(db: &Connection, name: &str) -> Result<Option<Counter>, StoreError> {
    let text = get(db, name)?;
    text.map(Counter::try_from)
        .transpose()
        .map_err(|error| StoreError::Form { what: "a sequence", detail: error.to_string() })
}
