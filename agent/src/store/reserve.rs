//! Room that is kept for bad times: a file that is given up when the disk is full.
//!
//! What it frees is enough to go on proving, to note what was delivered, and to tell a person that the disk is
//! full. Heals wait meanwhile. It is taken again when there is a good deal more room than it needs.

use rustix::fs::{FallocateFlags, Mode, OFlags};
use std::io;
use std::path::{Path, PathBuf};

/// How many bytes are kept.
pub const SIZE: u64 = 512 * 1024;
/// So much must be free before it is taken again, so that the agent does not waver at the edge.
pub const ENOUGH: u64 = 4 * SIZE;
/// The file's name under `state_dir`.
const FILE: &str = "agent.reserve";

/// The room that is kept, or was given up.
#[derive(Debug)]
pub struct Reserve {
    folder: PathBuf,
}

impl Reserve {
    pub fn below(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Takes the room. False when there is too little.
    ///
    /// # Errors
    /// When the disk cannot be asked or written, for another reason than being full.
    pub fn take(&self) -> io::Result<bool> {
        if std::fs::metadata(self.file()).is_ok_and(|kept| kept.len() >= SIZE) {
            return Ok(true);
        }
        let disk = rustix::fs::statvfs(&self.folder)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < ENOUGH {
            return Ok(false);
        }
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.file(), flags, Mode::RUSR | Mode::WUSR)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOSPC) => Ok(false),
            // A file system that cannot keep room for a file: there is none to give up then.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the room up; nothing when it was given up already.
    pub fn give_up(&self) {
        // Whatever keeps the file from going keeps the room as well: the caller's next write says so.
        drop(std::fs::remove_file(self.file()));
    }
}
