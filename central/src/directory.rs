//! Central Command's directory: its keys, its certificates, its database, its lock.
//!
//! Everything lies in one directory under fixed names, so that every command needs only `--dir`. Files
//! are never overwritten: a new one is created exclusively, private ones with mode 0600, and is on the
//! disk before its name is reported. One lock file keeps a second server out.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// Not made by `init`, or not all of it.
    #[error("{} is missing: {} was not made by `msp-central init` (run it, or name another --dir)", file.display(), dir.display())]
    NotInitialised {
        /// What is missing.
        file: PathBuf,
        /// Where.
        dir: PathBuf,
    },
    /// Would be overwritten.
    #[error("{} exists already and is never overwritten (name another directory, or move it away)", path.display())]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// Cannot be made.
    #[error("cannot write {} (may this user write there, and is there room?)", path.display())]
    Write {
        /// What.
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Cannot be read.
    #[error("cannot read {} (does it exist, and may this user read it?)", path.display())]
    Read {
        /// What.
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Another server uses it.
    #[error("another msp-central serves {} (lock {}): stop it first, or name another --dir", dir.display(), lock.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
}

/// The directory, and the names in it.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    pub(crate) fn ca_key(&self) -> PathBuf {
        self.path.join("ca-key.pem")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.path.join("server.pem")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.path.join("server-key.pem")
    }

    pub(crate) fn signing_key(&self) -> PathBuf {
        self.path.join("signing.pem")
    }

    pub(crate) fn signing_public(&self) -> PathBuf {
        self.path.join("signing.pub")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("central.db")
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("central.lock")
    }

    fn files(&self) -> [PathBuf; 7] {
        [
            self.ca(),
            self.ca_key(),
            self.server(),
            self.server_key(),
            self.signing_key(),
            self.signing_public(),
            self.database(),
        ]
    }

    /// Checks that `init` made everything. The authority's key is only asked for where it is needed, so that
    /// it may be kept elsewhere while the server runs.
    pub(crate) fn require(&self) -> Result<(), DirectoryError> {
        let offline = self.ca_key();
        match self.files().into_iter().find(|file| *file != offline && !file.exists()) {
            Some(file) => Err(DirectoryError::NotInitialised { file, dir: self.path.clone() }),
            None => Ok(()),
        }
    }

    /// Makes the directory and checks that nothing in it would be overwritten.
    pub(crate) fn prepare(&self) -> Result<(), DirectoryError> {
        create(&self.path)?;
        match self.files().into_iter().find(|file| file.exists()) {
            Some(path) => Err(DirectoryError::Exists { path }),
            None => Ok(()),
        }
    }

    /// Takes the lock of the one server; it is held until the file is dropped, or the process is gone.
    pub(crate) fn lock(&self) -> Result<File, DirectoryError> {
        let lock = self.lock_file();
        let write = |source| DirectoryError::Write { path: lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(write)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(DirectoryError::Locked { dir: self.path.clone(), lock }),
            Err(TryLockError::Error(source)) => Err(write(source)),
        }
    }
}

/// Makes a directory (and those above it) that only its owner can enter; one that exists is left as it is.
pub(crate) fn create(path: &Path) -> Result<(), DirectoryError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| DirectoryError::Write { path: path.to_owned(), source })
}

/// Who may read a new file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Readers {
    /// Its owner only.
    Owner,
    /// Everybody.
    All,
}

/// Writes a new file, and has it on the disk before it returns.
pub(crate) fn write_new(path: &Path, content: &[u8], readers: Readers) -> Result<(), DirectoryError> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::All => 0o644,
    };
    let write = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => DirectoryError::Exists { path: path.to_owned() },
        _ => DirectoryError::Write { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(write)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(write)
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String, DirectoryError> {
    std::fs::read_to_string(path).map_err(|source| DirectoryError::Read { path: path.to_owned(), source })
}
