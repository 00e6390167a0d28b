//! The agent's state: one SQLite file, WAL, synchronous=FULL.
//!
//! One thread owns the writing connection. Writes that arrive together share one transaction and one
//! fsync (group commit); each runs in a savepoint of its own, so that one that fails takes no other with
//! it, and nobody is told "stored" before the commit. The command line opens the same file read-only.

pub mod cooldowns;
pub mod evidence;
pub mod executions;
pub mod facts;
pub mod heals;
pub mod incidents;
pub mod orders;
pub mod outbox;
mod schema;
pub mod server_keys;
pub mod statuses;
pub mod tally;
mod writer;

use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
pub use writer::Store;

/// The file's name under `state_dir`.
pub const FILE: &str = "agent.db";

/// The state could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("{}: the agent's state cannot be opened (does the folder exist, and may this user write there?)", file.display())]
    Open {
        file: PathBuf,
        #[source]
        source: Arc<rusqlite::Error>,
    },
    #[error(
        "{}: the agent's state is damaged ({detail}). Nothing was changed. Move the file and its -wal aside and keep them \
         (they hold evidence that may not have been sent), then start again; what Central Command has acknowledged is safe there",
        file.display()
    )]
    Damaged { file: PathBuf, detail: String },
    #[error("{}: there is no state here yet (has `msp-agent run` been started with this state_dir?)", file.display())]
    Absent { file: PathBuf },
    #[error("{}: written by a newer version of the agent: install that version, or name another state_dir", file.display())]
    TooNew { file: PathBuf },
    #[error("the agent's state: {doing} failed")]
    Sql {
        doing: &'static str,
        #[source]
        source: Arc<rusqlite::Error>,
    },
    #[error("the agent's state: the whole transaction was rolled back: nothing of it is stored (is the disk full?)")]
    RolledBack,
    #[error("the agent's state: {what} is stored in a form this version cannot read")]
    Form { what: &'static str, detail: String },
    #[error("the agent's state: {what} could not be signed")]
    Sign {
        what: &'static str,
        #[source]
        source: Arc<msp_contracts::dsse::DsseError>,
    },
    #[error("the agent's state: the writer has stopped")]
    Stopped,
}

/// Names what was being done when SQLite refused.
pub trait Doing<T> {
    /// # Errors
    /// [`StoreError::Sql`] with `doing`.
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sql { doing, source: Arc::new(source) })
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
}

fn opening(file: &Path, error: rusqlite::Error) -> StoreError {
    if is_damage(&error) {
        return StoreError::Damaged { file: file.to_owned(), detail: error.to_string() };
    }
    StoreError::Open { file: file.to_owned(), source: Arc::new(error) }
}

/// Opens for writing, brings the schema up to date, and refuses a damaged file without touching it.
///
/// # Errors
/// When it cannot be opened, is damaged, or was written by a newer version.
pub fn open_for_writing(file: &Path) -> Result<Connection, StoreError> {
    let mut db = Connection::open(file).map_err(|error| opening(file, error))?;
    let setup = |db: &Connection| {
        db.busy_timeout(Duration::from_secs(5))?;
        let sound: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Ok(Some(sound));
        }
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        Ok(None)
    };
    if let Some(detail) = setup(&db).map_err(|error| opening(file, error))? {
        return Err(StoreError::Damaged { file: file.to_owned(), detail });
    }
    schema::migrate(&mut db, file)?;
    Ok(db)
}

/// Opens for reading only, beside a running agent.
///
/// # Errors
/// When there is no state, or it is damaged.
pub fn open_for_reading(state_dir: &Path) -> Result<Connection, StoreError> {
    let file = state_dir.join(FILE);
    if !file.exists() {
        return Err(StoreError::Absent { file });
    }
    let db = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| opening(&file, error))?;
    db.busy_timeout(Duration::from_secs(5)).map_err(|error| opening(&file, error))?;
    schema::require_current(&db, &file)?;
    Ok(db)
}
