//! Tells when anything in the database changed, whoever changed it: this server or the command line beside it.
//!
//! SQLite counts the commits of other connections (`PRAGMA data_version`); a connection that only asks sees them
//! all. It says that something changed, not what: whoever listens looks again.

use super::{Store, StoreError, during};
use sqlx::{Connection, Executor};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(500);

impl Store {
    /// Counts up with every change that is seen, until `stop`.
    pub(crate) async fn watch_changes(&self, stop: CancellationToken) -> Result<watch::Receiver<u64>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(during("watching for changes"))?.detach();
        let (told, receiver) = watch::channel(0_u64);
        tokio::spawn(async move {
            let mut last: Option<i64> = None;
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(EVERY) => {}
                }
                let asked = connection.fetch_one("PRAGMA data_version").await;
                match asked.and_then(|row| sqlx::Row::try_get::<i64, _>(&row, 0)) {
                    Ok(version) => {
                        if last.replace(version).is_some_and(|before| before != version) {
                            told.send_modify(|count| *count = count.wrapping_add(1));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "changes cannot be watched any more; pages are as fresh as their loading");
                        break;
                    }
                }
            }
            // The last connection to close leaves everything in the one file.
            let _ = connection.close().await;
        });
        Ok(receiver)
    }
}
