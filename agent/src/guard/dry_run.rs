//! The dry run: an order's word, which is stored, over the configuration's.

use crate::store::{StoreError, facts};
use rusqlite::Connection;

/// Whether the agent runs dry, and who says so; `configured` is the configuration's word.
///
/// # Errors
/// When the store cannot be read.
pub fn in_force(db: &Connection, configured: bool) -> Result<Option<String>, StoreError> {
    match facts::get(db, facts::DRY_RUN)?.as_deref() {
        Some("true") => Ok(Some("this agent runs dry: an order of Central Command says so".to_owned())),
        Some("false") => Ok(None),
        None => Ok(configured.then(|| "this agent runs dry (dry_run: true)".to_owned())),
        Some(other) => Err(StoreError::Form { what: "the dry run", detail: other.to_owned() }),
    }
}
