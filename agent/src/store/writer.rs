//! The writing thread and its group commit.
//!
//! It also keeps watch over the disk and the file: on a full disk it gives up the reserve and says so once, damage
//! ends it, because nothing that a damaged file says is to be acted on.

use super::reserve::Reserve;
use super::{Doing, FILE, StoreError, damage, open_or_begin, open_or_set_aside};
use crate::causes::chain;
use jiff::Timestamp;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The most writes that share one transaction: bounds how long the first of them waits.
const MOST_IN_A_GROUP: usize = 64;
/// How long a group that is smaller than the one before waits for its next write; much shorter than a flush takes.
const PAUSE: Duration = Duration::from_micros(100);
/// After so many pages SQLite writes the log into the database: its own choice, and the one for a full disk.
const LOG: u32 = 1000;
const SHORT_LOG: u32 = 16;

/// A write on its way to the disk.
trait Write: Send {
    /// Runs inside a transaction.
    fn run(self: Box<Self>, db: &Connection) -> Ran;

    /// There is no transaction to run in.
    fn refuse(self: Box<Self>, error: StoreError);
}

/// A write that ran.
struct Ran {
    /// To be called with the fate of its transaction.
    tell: Box<dyn FnOnce(Result<(), StoreError>)>,
    /// Why the work itself failed, if it did.
    failed: Option<StoreError>,
}

struct OneWrite<F, T> {
    work: F,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Write for OneWrite<F, T>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(self: Box<Self>, db: &Connection) -> Ran {
        let Self { work, tell } = *self;
        let result = in_savepoint(db, work);
        let failed = result.as_ref().err().cloned();
        // The caller may have gone; the write stands all the same.
        Ran { tell: Box::new(move |committed| drop(tell.send(committed.and(result)))), failed }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        drop(self.tell.send(Err(error)));
    }
}

/// What the writing thread knows of the disk and the file.
#[derive(Debug)]
struct Health {
    full: AtomicBool,
    damage: watch::Sender<Option<StoreError>>,
}

/// A handle to the writing thread. Cheap to clone; the thread ends with the last one.
#[derive(Debug, Clone)]
pub struct Store {
    writes: mpsc::Sender<Box<dyn Write>>,
    health: Arc<Health>,
    folder: PathBuf,
}

impl Store {
    /// Opens the state under `state_dir`, or begins one, and starts the writing thread.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or was written by a newer version.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        Self::start(state_dir, open_or_begin)
    }

    /// Opens the state under `state_dir` as [`Store::open`] does; a damaged one is set aside under a name that says
    /// `now`, and a new one begun.
    ///
    /// # Errors
    /// When the file cannot be opened, was written by a newer version, or cannot be set aside.
    pub fn open_or_set_aside(state_dir: &Path, now: Timestamp) -> Result<Self, StoreError> {
        Self::start(state_dir, |file| open_or_set_aside(file, now))
    }

    fn start(state_dir: &Path, open: impl Fn(&Path) -> Result<Connection, StoreError>) -> Result<Self, StoreError> {
        let file = state_dir.join(FILE);
        let reserve = Reserve::below(state_dir);
        let db = open(&file).or_else(|error| {
            if !error.is_full() {
                return Err(error);
            }
            reserve.give_up();
            open(&file).map_err(|error| if error.is_full() { full(state_dir) } else { error })
        })?;
        let health = Arc::new(Health { full: AtomicBool::new(false), damage: watch::Sender::new(None) });
        let (writes, jobs) = mpsc::channel();
        let mut writer = Writer { db, file, reserve, health: Arc::clone(&health) };
        writer.keep_room();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.commit_in_groups(&jobs))
            .map_err(|_| StoreError::Stopped)?;
        Ok(Self { writes, health, folder: state_dir.to_owned() })
    }

    /// Runs `work` in a transaction and returns when it is on the disk. When `work` fails, nothing of it stays.
    ///
    /// # Errors
    /// What `work` returned, or why the commit failed.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        self.writes.send(Box::new(OneWrite { work, tell })).map_err(|_| StoreError::Stopped)?;
        told.await.map_err(|_| StoreError::Stopped)?
    }

    /// Whether something may be begun that has to be proved afterwards.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn require_room(&self) -> Result<(), StoreError> {
        match self.health.full.load(Ordering::Relaxed) {
            true => Err(full(&self.folder)),
            false => Ok(()),
        }
    }

    /// The damage that was met, if any was.
    pub fn damage(&self) -> Option<StoreError> {
        self.health.damage.borrow().clone()
    }

    /// Waits until damage is met.
    pub async fn damaged(self) {
        // The sender lives as long as this handle.
        drop(self.health.damage.subscribe().wait_for(Option::is_some).await);
    }
}

fn full(folder: &Path) -> StoreError {
    StoreError::DiskFull { folder: folder.to_owned() }
}

fn in_savepoint<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    // Prepared once: these two are run for every write.
    let run = |sql: &str| db.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop);
    run("SAVEPOINT one_write").doing("beginning a write")?;
    let result = work(db);
    let ended = match &result {
        Ok(_) => run("RELEASE one_write"),
        Err(_) => db.execute_batch("ROLLBACK TO one_write; RELEASE one_write"),
    };
    match (ended.doing("ending a write"), result) {
        // What the work met is the cause: it may have ended the savepoint itself.
        (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
        (Ok(()), Ok(done)) => Ok(done),
    }
}

/// The writing thread's own.
struct Writer {
    db: Connection,
    file: PathBuf,
    reserve: Reserve,
    health: Arc<Health>,
}

impl Writer {
    fn commit_in_groups(&mut self, writes: &mpsc::Receiver<Box<dyn Write>>) {
        let mut waiting: VecDeque<Box<dyn Write>> = VecDeque::new();
        let mut last_group = 1;
        while let Some(first) = waiting.pop_front().or_else(|| writes.recv().ok()) {
            waiting.push_front(first);
            waiting.extend(writes.try_iter().take(MOST_IN_A_GROUP.saturating_sub(waiting.len())));
            // Those who were told of the last group are about to write again: one flush for all of them, not two.
            while waiting.len() < last_group
                && let Ok(next) = writes.recv_timeout(PAUSE)
            {
                waiting.push_back(next);
            }
            last_group = waiting.len();
            match commit_one_group(&self.db, &mut waiting) {
                Err(error) if error.is_damage() => return self.damaged(error, waiting),
                Err(error) if error.is_full() => self.filled(),
                Err(error) => tracing::error!(error = %chain(&error), "the agent's state could not be written"),
                Ok(()) if self.health.full.load(Ordering::Relaxed) => self.keep_room(),
                Ok(()) => {}
            }
        }
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("."))
    }

    /// The disk is full: what is owed may still go, nothing new begins. The log is written into the database and given
    /// up as well, and kept short from now on: otherwise it alone would eat the reserve.
    fn filled(&mut self) {
        self.reserve.give_up();
        let shorter = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let stays_short = self.db.query_row(&format!("PRAGMA wal_autocheckpoint = {SHORT_LOG}"), [], |_| Ok(()));
        if let Err(error) = shorter.and(stays_short) {
            tracing::debug!(error = %chain(&error), "the log could not be made shorter");
        }
        if !self.health.full.swap(true, Ordering::Relaxed) {
            tracing::error!("{}", full(self.folder()));
        }
    }

    /// Takes the reserve, where there is room for it; says it when that changes what may be done.
    fn keep_room(&mut self) {
        let room = match self.reserve.take() {
            Ok(room) => room,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "no room could be kept");
                return;
            }
        };
        let before = self.health.full.swap(!room, Ordering::Relaxed);
        let log = if room { LOG } else { SHORT_LOG };
        if before == room
            && let Err(error) = self.db.query_row(&format!("PRAGMA wal_autocheckpoint = {log}"), [], |_| Ok(()))
        {
            tracing::debug!(error = %chain(&error), "the length of the log could not be changed");
        }
        match (before, room) {
            (true, true) => tracing::info!("{}: there is room again: heals go on", self.folder().display()),
            (false, false) => tracing::error!("{}", full(self.folder())),
            _ => {}
        }
    }

    fn damaged(&self, error: StoreError, waiting: VecDeque<Box<dyn Write>>) {
        damage::suspect(&self.file);
        let error = StoreError::Damaged { file: self.file.clone(), detail: chain(&error) };
        waiting.into_iter().for_each(|write| write.refuse(error.clone()));
        self.health.damage.send_replace(Some(error));
    }
}

/// Runs the waiting writes in one transaction. Those that ran all learn its one fate; those that could not run
/// in it any more keep waiting.
fn commit_one_group(db: &Connection, waiting: &mut VecDeque<Box<dyn Write>>) -> Result<(), StoreError> {
    if let Err(error) = db.execute_batch("BEGIN IMMEDIATE").doing("beginning a transaction") {
        waiting.drain(..).for_each(|write| write.refuse(error.clone()));
        return Err(error);
    }
    let mut told = Vec::with_capacity(waiting.len());
    while let Some(write) = waiting.pop_front() {
        let ran = write.run(db);
        told.push(ran.tell);
        let damage = ran.failed.as_ref().is_some_and(StoreError::is_damage);
        // A full disk makes SQLite roll the whole transaction back, not only the savepoint: whatever ran in it
        // is gone, and the next write would run outside of any. Nor is anything kept that a damaged file takes.
        if damage || db.is_autocommit() {
            let error = ran.failed.unwrap_or(StoreError::RolledBack);
            if !db.is_autocommit() {
                drop(db.execute_batch("ROLLBACK"));
            }
            told.into_iter().for_each(|tell| tell(Err(error.clone())));
            return Err(error);
        }
    }
    let committed = db.execute_batch("COMMIT").doing("committing to the disk");
    if committed.is_err() && !db.is_autocommit() {
        // The failed commit is reported; ending it lets the next transaction begin.
        drop(db.execute_batch("ROLLBACK"));
    }
    told.into_iter().for_each(|tell| tell(committed.clone()));
    committed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{facts, open_for_reading};

    #[tokio::test]
    async fn a_write_that_fails_leaves_nothing_and_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let good = store.write(|db| facts::set(db, "good", "1"));
        let bad = store.write(|db| {
            facts::set(db, "bad", "1")?;
            Err::<(), _>(StoreError::Form { what: "a test", detail: String::new() })
        });
        let (good, bad) = tokio::join!(good, bad);
        assert!(good.is_ok() && bad.is_err());
        let db = open_for_reading(folder.path()).unwrap();
        assert_eq!(facts::get(&db, "good").unwrap().as_deref(), Some("1"));
        assert_eq!(facts::get(&db, "bad").unwrap(), None);
    }

    #[test]
    fn when_the_disk_fills_inside_a_group_nobody_is_told_the_opposite_of_what_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let db = open_or_begin(&folder.path().join(FILE)).unwrap();
        // The database may not grow any further: what SQLite says then is what it says on a full disk.
        let pages: u32 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        db.query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |_| Ok(())).unwrap();
        let (writes, jobs) = mpsc::channel::<Box<dyn Write>>();
        let told: Vec<_> = [("before", 10), ("too large", 100_000), ("after", 10)]
            .map(|(name, length)| {
                let (tell, told) = oneshot::channel();
                let work = move |db: &Connection| facts::set(db, name, &"x".repeat(length));
                writes.send(Box::new(OneWrite { work, tell })).unwrap();
                (name, told)
            })
            .into();
        drop(writes);
        let health = Arc::new(Health { full: AtomicBool::new(false), damage: watch::Sender::new(None) });
        let (file, reserve) = (folder.path().join(FILE), Reserve::below(folder.path()));
        let mut writer = Writer { db, file, reserve, health };
        writer.commit_in_groups(&jobs);
        let db = writer.db;
        let mut stored = Vec::new();
        for (name, told) in told {
            let said = told.blocking_recv().unwrap().is_ok();
            assert_eq!(facts::get(&db, name).unwrap().is_some(), said, "{name}");
            stored.push(said);
        }
        assert_eq!(stored, [false, false, true], "the write after the full disk has a transaction of its own");
    }
}
