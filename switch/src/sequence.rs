//! The sequence of the last order to switch that was taken: an older one is never taken again, also after a restart.

use crate::files;
use crate::places::Places;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::time::Duration;

/// How often, and how often at most, it is tried to get a turn.
const STEP: Duration = Duration::from_millis(100);
const TRIES: u32 = 100;

/// Held while an order is judged and recorded: two executors at the same time must not both take one.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
    places: Places,
}

impl Turn {
    /// Waits for its turn, a few seconds.
    ///
    /// # Errors
    /// When the folder for it cannot be written, or somebody else has his turn for too long.
    pub fn take(places: &Places) -> io::Result<Self> {
        std::fs::create_dir_all(places.state())?;
        // Whoever can open it can hold it: nobody but root.
        let file = places.state().join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file)?;
        lock.set_permissions(Permissions::from_mode(0o600))?;
        for _ in 0..TRIES {
            match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _lock: lock, places: places.clone() }),
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(STEP),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other(format!("{}: another program holds it", file.display())))
    }

    /// The highest sequence that was taken.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged: then no order is taken.
    pub fn highest(&self) -> io::Result<Option<u64>> {
        match std::fs::read_to_string(self.places.state().join("sequence")) {
            Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a sequence, on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written: then the order must not be used.
    pub fn taken(&self, sequence: u64) -> io::Result<()> {
        files::replace(&self.places.state().join("sequence"), format!("{sequence}\n").as_bytes())
    }
}
