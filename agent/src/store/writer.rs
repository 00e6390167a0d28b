//! The writing thread and its group commit.

use super::{Doing, FILE, StoreError, open_for_writing};
use crate::causes::chain;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// The most writes that share one transaction: bounds how long the first of them waits.
const MOST_IN_A_GROUP: usize = 64;

/// A write on its way to the disk.
trait Write: Send {
    /// Runs inside a transaction; what it returns is called with the fate of that transaction.
    fn run(self: Box<Self>, db: &Connection) -> Told;

    /// There is no transaction to run in.
    fn refuse(self: Box<Self>, error: StoreError);
}

type Told = Box<dyn FnOnce(Result<(), StoreError>)>;

struct OneWrite<F, T> {
    work: F,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Write for OneWrite<F, T>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(self: Box<Self>, db: &Connection) -> Told {
        let Self { work, tell } = *self;
        let result = in_savepoint(db, work);
        // The caller may have gone; the write stands all the same.
        Box::new(move |committed| drop(tell.send(committed.and(result))))
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        drop(self.tell.send(Err(error)));
    }
}

/// A handle to the writing thread. Cheap to clone; the thread ends with the last one.
#[derive(Debug, Clone)]
pub struct Store {
    writes: mpsc::Sender<Box<dyn Write>>,
}

impl Store {
    /// Opens the state under `state_dir` and starts the writing thread.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or was written by a newer version.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let file = state_dir.join(FILE);
        let db = open_for_writing(&file)?;
        let (writes, jobs) = mpsc::channel();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || commit_in_groups(&db, &jobs))
            .map_err(|_| StoreError::Stopped)?;
        Ok(Self { writes })
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
}

fn in_savepoint<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    db.execute_batch("SAVEPOINT one_write").doing("beginning a write")?;
    let result = work(db);
    let end = if result.is_ok() { "RELEASE one_write" } else { "ROLLBACK TO one_write; RELEASE one_write" };
    db.execute_batch(end).doing("ending a write")?;
    result
}

fn commit_in_groups(db: &Connection, writes: &mpsc::Receiver<Box<dyn Write>>) {
    let mut waiting: VecDeque<Box<dyn Write>> = VecDeque::new();
    while let Some(first) = waiting.pop_front().or_else(|| writes.recv().ok()) {
        waiting.push_front(first);
        waiting.extend(writes.try_iter().take(MOST_IN_A_GROUP.saturating_sub(waiting.len())));
        if let Err(error) = commit_one_group(db, &mut waiting) {
            tracing::error!(error = %chain(&error), "the agent's state could not be written");
        }
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
        told.push(write.run(db));
        // A full disk makes SQLite roll the whole transaction back, not only the savepoint: whatever ran in it
        // is gone, and the next write would run outside of any.
        if db.is_autocommit() {
            told.into_iter().for_each(|tell| tell(Err(StoreError::RolledBack)));
            return Err(StoreError::RolledBack);
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
        let db = open_for_writing(&folder.path().join(FILE)).unwrap();
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
        commit_in_groups(&db, &jobs);
        let mut stored = Vec::new();
        for (name, told) in told {
            let said = told.blocking_recv().unwrap().is_ok();
            assert_eq!(facts::get(&db, name).unwrap().is_some(), said, "{name}");
            stored.push(said);
        }
        assert_eq!(stored, [false, false, true], "the write after the full disk has a transaction of its own");
    }

    #[tokio::test]
    async fn a_damaged_file_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        {
            let store = Store::open(folder.path()).unwrap();
            for n in 0..200 {
                store.write(move |db| facts::set(db, &format!("fact {n}"), &"x".repeat(500))).await.unwrap();
            }
        }
        // The writing thread closes the file when the last handle is gone; a checkpoint empties the WAL.
        let db = Connection::open(&file).unwrap();
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(db);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("agent.db") && error.contains("aside"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), &whole[..whole.len() / 2]);

        std::fs::write(&file, b"this is no database, but it is long enough to be taken for one").unwrap();
        assert!(Store::open(folder.path()).unwrap_err().to_string().contains("damaged"));
    }
}
