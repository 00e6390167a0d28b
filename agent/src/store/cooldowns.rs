//! How long a rule leaves a subject of a machine alone after it acted.

use super::{Doing, StoreError};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

pub fn set(db: &Connection, key: &str, until: Timestamp) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO cooldowns (key, until) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET until = excluded.until",
        [key, &until.to_string()],
    )
    .doing("storing a cooldown")?;
    Ok(())
}

pub fn clear(db: &Connection, key: &str) -> Result<(), StoreError> {
    db.execute("DELETE FROM cooldowns WHERE key = ?1", [key]).doing("clearing a cooldown")?;
    Ok(())
}

pub fn until(db: &Connection, key: &str) -> Result<Option<Timestamp>, StoreError> {
    let text: Option<String> = db
        .query_row("SELECT until FROM cooldowns WHERE key = ?1", [key], |row| row.get(0))
        .optional()
        .doing("reading a cooldown")?;
    text.map(|text| super::evidence::time(&text)).transpose()
}
