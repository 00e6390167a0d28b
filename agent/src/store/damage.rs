//! A damaged state is set aside, never mended and never deleted: it may hold evidence that nobody else has.
//!
//! The database and what belongs to it get names that say when (`agent.db.damaged-2026-11-21T03-51-00Z`, the log
//! keeps its `-wal`, so that SQLite finds it), and a new state begins with a chain of its own. As long as such a
//! file lies in the folder, the appliance's own check `agent_state` says so to a person.

use super::{FILE, StoreError, wal};
use jiff::Timestamp;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Between the database's name and the time at which it was set aside.
const MARK: &str = ".damaged-";
/// Left behind when damage shows while the agent runs: the next start looks at everything, not only at the structure.
const SUSPECT: &str = "agent.db.suspect";
/// What lies beside a database: its log, and the log's index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The path `file` with `end` after its name.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(end);
    name.into()
}

fn failed(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let file = file.to_owned();
    move |source| StoreError::File { doing, file, source: source.into() }
}

/// Whether a state lies in the folder: a database, or the log of one that is gone.
///
/// # Errors
/// When there is something in the database's place that is no file.
pub fn exists(file: &Path) -> Result<bool, StoreError> {
    let log = std::fs::metadata(beside(file, "-wal")).is_ok_and(|log| log.len() > 0);
    match std::fs::symlink_metadata(file) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(StoreError::NotAFile { file: file.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(log),
        Err(error) => Err(failed("looking at", file)(error)),
    }
}

/// Damage that SQLite would pass over: an empty database (it is never left empty), a log without one, a log that
/// does not hold. Nobody else may have the database open.
///
/// # Errors
/// The damage, or that the files cannot be read.
pub fn look(file: &Path) -> Result<(), StoreError> {
    let damaged = |detail: &str| Err(StoreError::Damaged { file: file.to_owned(), detail: detail.to_owned() });
    match std::fs::metadata(file) {
        Ok(found) if found.len() == 0 => return damaged("it is empty"),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return damaged("only its write-ahead log is there"),
        Err(error) => return Err(failed("looking at", file)(error)),
    }
    let log = beside(file, "-wal");
    match wal::damage(&log).map_err(failed("reading", &log))? {
        Some(detail) => damaged(&detail),
        None => Ok(()),
    }
}

/// Gives the database and what lies beside it names that say that they are damaged, and since when that is known.
/// Returns the database's new name.
///
/// # Errors
/// When a file cannot be renamed: then the agent must not begin a new state over it.
pub fn set_aside(file: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let stamp = now.strftime("%Y-%m-%dT%H-%M-%SZ");
    let names = (1_u32..).map(|n| match n {
        1 => beside(file, &format!("{MARK}{stamp}")),
        n => beside(file, &format!("{MARK}{stamp}-{n}")),
    });
    let taken =
        |name: &PathBuf| ["", "-wal", "-shm"].iter().any(|end| std::fs::symlink_metadata(beside(name, end)).is_ok());
    let aside = names.into_iter().find(|name| !taken(name)).unwrap_or_else(|| beside(file, MARK));
    // The database first: a log that is left alone is found at the next start, a database without its log is not.
    for end in [""].iter().chain(&BESIDE) {
        let (from, to) = (beside(file, end), beside(&aside, end));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("setting aside", &from)(error));
            }
            _ => sync_folder(file)?,
        }
    }
    no_longer_suspect(file);
    Ok(aside)
}

/// What was set aside and still lies in the folder, by name, oldest first; a log whose database is gone counts too.
///
/// # Errors
/// When the folder cannot be read.
pub fn aside(state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mark = format!("{FILE}{MARK}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(state_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let log = name.strip_suffix("-wal");
        // An empty log says nothing, and its index nothing that the log does not say.
        let empty = || match entry.metadata() {
            // A log goes away when its database is closed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            found => found.map(|found| found.len() == 0),
        };
        let worthless = name.ends_with("-shm") || (log.is_some() && empty()?);
        if name.starts_with(&mark) && !worthless {
            found.push(state_dir.join(log.unwrap_or(&name)));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Makes the renaming of files in the folder of `file` outlast a power cut.
pub fn sync_folder(file: &Path) -> Result<(), StoreError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("writing the folder of", file))
}

/// Remembers that SQLite met damage while the agent ran.
pub fn suspect(file: &Path) {
    // On a disk that takes no more files the next start looks at the structure only.
    drop(std::fs::write(
        file.with_file_name(SUSPECT),
        "the agent met damage here; the next start looks at all of it\n",
    ));
}

/// Whether damage showed while the agent ran the last time.
pub fn is_suspect(file: &Path) -> bool {
    file.with_file_name(SUSPECT).exists()
}

/// The whole of it was looked at, or it was set aside.
pub fn no_longer_suspect(file: &Path) {
    // Looked at once more at the next start, when it cannot be removed.
    drop(std::fs::remove_file(file.with_file_name(SUSPECT)));
}

#[cfg(test)]
mod tests;
