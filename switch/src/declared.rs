//! Which system should run: the one last confirmed by an order, or accepted by a person at the machine.
//!
//! The profile is no such word: it moves with every local `nixos-rebuild`.

use crate::files;
use crate::places::Places;
use jiff::Timestamp;
use msp_contracts::store_path::StorePath;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// The declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The version of this file's shape.
    pub schema: u32,
    /// The system.
    pub store_path: StorePath,
    /// On whose word: an order, or who accepted it.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

/// The declaration cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum DeclaredError {
    /// It cannot be read.
    #[error("{}: cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}: damaged; declare the system anew with `msp-agent generations accept`", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

fn file(places: &Places) -> PathBuf {
    places.state().join("declared.json")
}

/// The declaration, where there is one.
///
/// # Errors
/// See [`DeclaredError`].
pub fn read(places: &Places) -> Result<Option<Declared>, DeclaredError> {
    let file = file(places);
    match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| DeclaredError::Damaged { file, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DeclaredError::Unreadable { file, source }),
    }
}

/// Declares a system.
///
/// # Errors
/// When it cannot be written: that is root's business.
pub fn write(places: &Places, store_path: &StorePath, by: &str) -> io::Result<()> {
    let declared = Declared { schema: 1, store_path: store_path.clone(), by: by.to_owned(), at: crate::now() };
    files::keep(&places.gc_root("declared"), store_path)?;
    files::replace(&file(places), &serde_json::to_vec_pretty(&declared)?)
}
