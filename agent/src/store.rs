//! The agent's state: one SQLite file, WAL, synchronous=FULL.
//!
//! One thread owns the writing connection. Writes that arrive together share one transaction and one
//! fsync (group commit); each runs in a savepoint of its own, so that one that fails takes no other with
//! it, and nobody is told "stored" before the commit. The command line opens the same file read-only.
//! A damaged file is set aside ([`damage`]); on a full disk nothing new begins ([`reserve`]).

pub mod cooldowns;
pub mod damage;
pub mod evidence;
pub mod executions;
pub mod facts;
pub mod heals;
pub mod incidents;
pub mod orders;
pub mod outbox;
mod reserve;
mod schema;
pub mod server_keys;
pub mod statuses;
pub mod tally;
mod wal;
mod writer;

use crate::causes::chain;
use jiff::Timestamp;
use rusqlite::config::DbConfig;
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
    #[error("{doing} {}", file.display())]
    File {
        doing: &'static str,
        file: PathBuf,
        #[source]
        source: Arc<std::io::Error>,
    },
    #[error("{}: this is no file: move it out of the way, or name another state_dir", file.display())]
    NotAFile { file: PathBuf },
    #[error("{}: the agent's state may only be read here: make the file and its disk writable", file.display())]
    ReadOnly { file: PathBuf },
    #[error(
        "{}: the agent's state is damaged ({detail}). `msp-agent run` sets it aside with a name of its own and begins a new \
         one; what can still be read of it is shown by `msp-agent evidence verify --state FILE`",
        file.display()
    )]
    Damaged { file: PathBuf, detail: String },
    #[error(
        "{}: the disk is full: no heal begins until there is room again; what is owed to Central Command is kept",
        folder.display()
    )]
    DiskFull { folder: PathBuf },
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

/// The log's index could not be made longer: SQLite says so in an extended code of its own.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

impl StoreError {
    /// Whether SQLite found the file itself unsound.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Sql { source, .. } => is_damage(source),
            _ => false,
        }
    }

    /// Whether there is no room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::Sql { source, .. } | Self::Open { source, .. } => is_full(source),
            _ => false,
        }
    }
}

/// Logs that something could not be stored: loudly, unless the disk is full, which the writer says once for all.
pub fn not_stored(error: &StoreError, what: &str) {
    if error.is_full() {
        return tracing::debug!(error = %chain(error), "{what}");
    }
    tracing::error!(error = %chain(error), "{what}");
}

fn opening(file: &Path, error: rusqlite::Error) -> StoreError {
    if is_damage(&error) {
        return StoreError::Damaged { file: file.to_owned(), detail: error.to_string() };
    }
    StoreError::Open { file: file.to_owned(), source: Arc::new(error) }
}

/// Opens a state that is there for writing, brings the schema up to date, and refuses a damaged file without
/// touching it.
///
/// # Errors
/// When it cannot be opened or written, is damaged, or was written by a newer version.
pub fn open_for_writing(file: &Path) -> Result<Connection, StoreError> {
    open_after(file, "quick_check(1)")
}

fn open_after(file: &Path, look: &str) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(file, flags).map_err(|error| opening(file, error))?;
    if db.is_readonly(rusqlite::MAIN_DB).map_err(|error| opening(file, error))? {
        return Err(StoreError::ReadOnly { file: file.to_owned() });
    }
    let setup = |db: &Connection| {
        // Closing a database writes its log into it, also into one that is damaged: that is to stay as it was found.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        db.busy_timeout(Duration::from_secs(5))?;
        let sound: String = db.query_row(&format!("PRAGMA {look}"), [], |row| row.get(0))?;
        if sound != "ok" {
            return Ok(Some(sound));
        }
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(None)
    };
    if let Some(detail) = setup(&db).map_err(|error| opening(file, error))? {
        return Err(StoreError::Damaged { file: file.to_owned(), detail });
    }
    schema::migrate(&mut db, file)?;
    Ok(db)
}

/// Opens the one writing connection, of a state that is begun when there is none. Nobody else may have it open.
pub fn open_or_begin(file: &Path) -> Result<Connection, StoreError> {
    if !damage::exists(file)? {
        begin(file)?;
    }
    damage::look(file)?;
    if !damage::is_suspect(file) {
        return open_for_writing(file);
    }
    let db = open_after(file, "integrity_check(1)")?;
    tracing::warn!(file = %file.display(), "damage was met while the agent ran, and none is found now: work goes on");
    damage::no_longer_suspect(file);
    Ok(db)
}

/// Makes an empty state under another name first: a database that is empty, or half made, is always a damaged one.
fn begin(file: &Path) -> Result<(), StoreError> {
    let new = file.with_extension("new");
    for left_over in [&new, &new.with_extension("new-wal"), &new.with_extension("new-shm")] {
        // Mostly there is none; one that stays shows when the new state is made.
        drop(std::fs::remove_file(left_over));
    }
    let flags = OpenFlags::default();
    let mut db = Connection::open_with_flags(&new, flags).map_err(|error| opening(file, error))?;
    schema::migrate(&mut db, file)?;
    db.close().map_err(|(_, error)| opening(file, error))?;
    let io =
        |source: std::io::Error| StoreError::File { doing: "making", file: file.to_owned(), source: source.into() };
    std::fs::File::open(&new).and_then(|made| made.sync_all()).map_err(io)?;
    std::fs::rename(&new, file).map_err(io)?;
    damage::sync_folder(file)
}

/// Opens a state for writing as [`open_or_begin`] does; a damaged one is set aside, and another begun.
///
/// # Errors
/// When it cannot be opened, was written by a newer version, or cannot be set aside.
fn open_or_set_aside(file: &Path, now: Timestamp) -> Result<Connection, StoreError> {
    match open_or_begin(file) {
        Err(StoreError::Damaged { detail, .. }) => {
            let aside = damage::set_aside(file, now)?;
            tracing::error!(
                file = %aside.display(),
                %detail,
                "THE AGENT'S STATE WAS DAMAGED and is set aside; a new one is begun, with a new chain of evidence. \
                 Evidence that was not sent may be in it: a person has to look"
            );
            open_or_begin(file)
        }
        opened => opened,
    }
}

/// Opens for reading only, beside a running agent.
///
/// # Errors
/// When there is no state, or it is damaged.
pub fn open_for_reading(state_dir: &Path) -> Result<Connection, StoreError> {
    open_file_for_reading(&state_dir.join(FILE))
}

/// Opens a state that lies in another place, or was set aside, for reading only.
///
/// # Errors
/// When there is no state, or it is damaged.
pub fn open_file_for_reading(file: &Path) -> Result<Connection, StoreError> {
    let file = file.to_owned();
    if !file.exists() {
        return Err(StoreError::Absent { file });
    }
    let db = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| opening(&file, error))?;
    db.busy_timeout(Duration::from_secs(5)).map_err(|error| opening(&file, error))?;
    schema::require_current(&db, &file)?;
    Ok(db)
}
