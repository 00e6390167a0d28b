//! Which generations the system's profile has, and which of them runs.

use crate::places::Places;
use jiff::Timestamp;
use msp_contracts::store_path::{STORE, StorePath};
use serde::Serialize;
use std::io;
use std::path::Path;

/// How many links may lie between a name and the store.
const LONGEST_CHAIN: usize = 8;

/// One generation of the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// 42 of `system-42-link`.
    pub number: u64,
    /// The system.
    pub store_path: StorePath,
    /// When it was made, as far as the file system tells.
    pub created: Option<Timestamp>,
    /// Whether the profile points to it: the next start of the machine begins with it.
    pub is_default: bool,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether the machine was started with it.
    pub is_booted: bool,
}

/// The system that a link, or a chain of links, leads to.
///
/// # Errors
/// When it leads anywhere but into the store.
pub fn leads_to(places: &Places, link: &Path) -> io::Result<StorePath> {
    let mut path = link.to_owned();
    for _ in 0..LONGEST_CHAIN {
        let target = std::fs::read_link(&path)?;
        if let Ok(found) = StorePath::try_from(target.to_string_lossy().into_owned()) {
            return Ok(found);
        }
        path = if target.is_absolute() { places.inside(target) } else { path.with_file_name(target) };
    }
    Err(io::Error::other(format!("{} does not lead into {STORE}", link.display())))
}

/// The generations of the system's profile, oldest first.
///
/// # Errors
/// When the profile's folder cannot be read.
pub fn generations(places: &Places) -> io::Result<Vec<Generation>> {
    let profile = places.profile();
    let folder = profile.parent().ok_or_else(|| io::Error::other("the profile has no folder"))?;
    let default = std::fs::read_link(&profile).ok();
    let running = leads_to(places, &places.current()).ok();
    let booted = leads_to(places, &places.booted()).ok();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Some(number) = number(&entry.path()) else { continue };
        // A link that leads nowhere is no generation that one could go back to.
        let Ok(store_path) = leads_to(places, &entry.path()) else { continue };
        let modified = entry.path().symlink_metadata().and_then(|data| data.modified()).ok();
        found.push(Generation {
            number,
            created: modified.and_then(|time| Timestamp::try_from(time).ok()),
            is_default: default.as_ref().is_some_and(|link| link.file_name() == entry.path().file_name()),
            is_running: running.as_ref() == Some(&store_path),
            is_booted: booted.as_ref() == Some(&store_path),
            store_path,
        });
    }
    found.sort_by_key(|generation| generation.number);
    Ok(found)
}

/// 42 of `system-42-link`.
#[must_use]
pub fn number(link: &Path) -> Option<u64> {
    let name = link.file_name()?.to_str()?;
    name.strip_prefix("system-")?.strip_suffix("-link")?.parse().ok()
}
