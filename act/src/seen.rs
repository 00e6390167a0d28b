//! What was asked already: a request is good once, and only so many are good within a minute.
//!
//! Each leaves an empty file whose name is its time and id; to create it exclusively is to be the first. The folder lives
//! in /run: it is gone after a reboot, and a request of another boot is refused by its boot id.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::protocol::{LONGEST_AGE_MS, Request};

/// How long a request is remembered: longer than it could be fresh.
const REMEMBERED_MS: u64 = 2 * LONGEST_AGE_MS;
/// More than the daemon's own limits ever let through; a stranger in its place restarts nothing over and over.
const MOST: usize = 12;

/// Takes note of a request.
///
/// # Errors
/// In words, when it was made before, too many were made, or no note can be taken.
pub(crate) fn note(folder: &Path, request: &Request, now_ms: u64) -> Result<(), String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(trouble)?;
    let name = format!("{}-{}", request.issued_ms, request.id);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&name));
    match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err("this very request was made before".to_owned());
        }
        other => other.map_err(trouble)?,
    };
    let mut remembered = 0;
    for entry in std::fs::read_dir(folder).map_err(trouble)?.flatten() {
        let name = entry.file_name();
        let issued = name.to_str().and_then(|name| name.split_once('-')).and_then(|(issued, _)| issued.parse().ok());
        match issued.map(|issued: u64| now_ms.saturating_sub(issued)) {
            Some(age) if age <= REMEMBERED_MS => remembered += 1,
            // Somebody else may have removed it first.
            _ => drop(std::fs::remove_file(entry.path())),
        }
    }
    if remembered > MOST {
        return Err(format!("more than {MOST} requests within a minute"));
    }
    Ok(())
}
