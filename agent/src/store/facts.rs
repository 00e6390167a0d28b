//! Single values that must outlive a restart.

use super::{Doing, StoreError};
use msp_contracts::ids::Counter;
use rusqlite::{Connection, OptionalExtension};

pub const CHAIN: &str = "chain";
pub const FRESHNESS_SEQUENCE: &str = "sequence.freshness";
pub const RULES_SEQUENCE: &str = "sequence.rules";
pub const RULES: &str = "rules.envelope";
pub const INVENTORY: &str = "inventory";
pub const LAST_CONTACT: &str = "last_contact";

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

/// The highest sequence accepted under `name`.
pub fn sequence(db: &Connection, name: &str) -> Result<Option<Counter>, StoreError> {
    let text = get(db, name)?;
    text.map(Counter::try_from)
        .transpose()
        .map_err(|error| StoreError::Form { what: "a sequence", detail: error.to_string() })
}
