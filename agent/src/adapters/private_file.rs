//! Files that hold keys: read only when nobody else can read them, and replaced in one step, so that a crash leaves
//! the old file or the new one, never half of one.

use crate::config::exposed::is_exposed;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A file that cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    #[error("{}: cannot be read", file.display())]
    Unreadable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: other users can read it (mode {mode:04o}): chmod 600 it", file.display())]
    Exposed { file: PathBuf, mode: u32 },
    #[error("{}: cannot be written (may this user write there, and is there room?)", file.display())]
    Unwritable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
pub enum Readers {
    /// Its owner only: 0600.
    Owner,
    /// Its group, too: 0640.
    Group,
}

/// Reads a file that others must not be able to read. The text is wiped from memory when dropped.
///
/// # Errors
/// When it cannot be read, or others can read it too.
pub fn read(file: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let unreadable = |source| PrivateFileError::Unreadable { file: file.to_owned(), source };
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(unreadable)?;
    let data = std::fs::metadata(file).map_err(unreadable)?;
    if is_exposed(file, &data) {
        let mode = data.permissions().mode() & 0o777;
        return Err(PrivateFileError::Exposed { file: file.to_owned(), mode });
    }
    Ok(text)
}

/// Writes a file, or replaces it in one step; it is on the disk when this returns. What root writes belongs to whom it
/// belonged before, or else to the owner of the folder: that is who is to read it.
///
/// # Errors
/// When the folder cannot be written.
pub fn replace(file: &Path, content: &[u8], readers: Readers) -> Result<(), PrivateFileError> {
    write(file, content, readers).map_err(|source| PrivateFileError::Unwritable { file: file.to_owned(), source })
}

fn write(file: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600; it is gone again when anything below fails.
    let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    new.write_all(content)?;
    if let Readers::Group = readers {
        new.as_file().set_permissions(std::fs::Permissions::from_mode(0o640))?;
    }
    let before = std::fs::symlink_metadata(file).ok().filter(|before| before.is_file() && before.uid() != 0);
    let owner = before.map_or_else(|| std::fs::metadata(folder), Ok)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        std::os::unix::fs::fchown(new.as_file(), Some(owner.uid()), Some(owner.gid()))?;
    }
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_refused_when_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        replace(&file, b"old", Readers::Owner).unwrap();
        replace(&file, b"new", Readers::Owner).unwrap();
        assert_eq!(*read(&file).unwrap(), "new");
        replace(&file, b"new", Readers::Group).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("mode 0640"));
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(names, ["key"], "nothing stays behind");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(4711), Some(4712)).unwrap();
            replace(&file, b"root's", Readers::Owner).unwrap();
            let data = std::fs::metadata(&file).unwrap();
            assert_eq!((data.uid(), data.gid()), (4711, 4712), "who reads it can still read it");
        }
        assert!(replace(&folder.path().join("no/such/folder"), b"", Readers::Owner).is_err());
    }
}
