//! The writing thread and its group commit.

use super::{Doing, FILE, StoreError, open_for_writing};
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// The most writes that share one transaction: bounds how long the first of them waits.
const MOST_IN_A_GROUP: usize = 64;

/// Runs inside the transaction; what it returns is called with the fate of the commit.
type Write = Box<dyn FnOnce(&Connection) -> Told + Send>;
type Told = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A handle to the writing thread. Cheap to clone; the thread ends with the last one.
#[derive(Debug, Clone)]
pub struct Store {
    writes: mpsc::Sender<Write>,
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
        let job: Write = Box::new(move |db| {
            let result = in_savepoint(db, work);
            Box::new(move |committed| {
                // The caller may have gone; the write stands all the same.
                let _ = tell.send(committed.and(result));
            })
        });
        self.writes.send(job).map_err(|_| StoreError::Stopped)?;
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

fn commit_in_groups(db: &Connection, jobs: &mpsc::Receiver<Write>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(MOST_IN_A_GROUP - 1));
        let mut told = Vec::with_capacity(group.len());
        let committed = db.execute_batch("BEGIN IMMEDIATE").doing("beginning a transaction").and_then(|()| {
            told.extend(group.drain(..).map(|write| write(db)));
            let committed = db.execute_batch("COMMIT").doing("committing to the disk");
            if committed.is_err() {
                // A full disk leaves the transaction open: end it, so that the next one can begin.
                let _ = db.execute_batch("ROLLBACK");
            }
            committed
        });
        if let Err(error) = &committed {
            tracing::error!(%error, "the agent's state could not be written");
        }
        // Writes that never ran drop their channel, which their callers read as stopped.
        for tell in told {
            tell(committed.clone());
        }
    }
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
