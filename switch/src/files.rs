//! Files that a power cut leaves whole: written beside, forced to disk, put in place.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use msp_contracts::store_path::StorePath;

/// Replaces `file` by `bytes`, readable for everybody.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().ok_or_else(|| std::io::Error::other("a file has a folder"))?;
    std::fs::create_dir_all(folder)?;
    let beside = file.with_extension("new");
    let mut opened = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
    opened.set_permissions(Permissions::from_mode(0o644))?;
    opened.write_all(bytes)?;
    opened.sync_all()?;
    std::fs::rename(&beside, file)?;
    File::open(folder)?.sync_all()
}

/// Keeps a system from the garbage collector, where this machine has a store.
pub(crate) fn keep(root: &Path, system: &StorePath) -> std::io::Result<()> {
    if root.parent().is_none_or(|folder| !folder.is_dir()) {
        return Ok(());
    }
    let beside = root.with_extension("new");
    // What is left of an earlier time is in the way, and nothing else.
    drop(std::fs::remove_file(&beside));
    std::os::unix::fs::symlink(system.as_str(), &beside)?;
    std::fs::rename(&beside, root)
}
