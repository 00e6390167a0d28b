//! The kill switch: stored, so that no restart releases it, and stronger than every setting.

use crate::store::{StoreError, facts};
use rusqlite::Connection;

/// Against every plan while the switch is engaged.
pub fn objection(db: &Connection) -> Result<Option<String>, StoreError> {
    Ok(facts::get(db, facts::KILL_SWITCH)?.map(|why| format!("the kill switch is engaged: {why}")))
}
