//! Tells when anything in the database changed, whoever changed it: this server or the command line beside it.
//!
//! SQLite counts the commits of other connections (`PRAGMA data_version`); a connection that only asks sees them
//! all. It says that something changed, not what: whoever listens looks again.

use super::{Store, StoreError, during};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(500);

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}

impl Store {
    /// Counts up with every change that is seen from now on, until `stop`.
    pub(crate) async fn watch_changes(&self, stop: CancellationToken) -> Result<watch::Receiver<u64>, StoreError> {
        let doing = "watching for changes";
        let mut connection = self.readers.acquire().await.map_err(during(doing))?.detach();
        let mut last = version(&mut connection).await.map_err(during(doing))?;
        let (told, receiver) = watch::channel(0_u64);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(EVERY) => {}
                }
                match version(&mut connection).await {
                    Ok(now) if now == last => {}
                    Ok(now) => {
                        last = now;
                        told.send_modify(|count| *count = count.wrapping_add(1));
                    }
                    Err(error) => tracing::warn!(%error, "cannot tell whether anything changed; open pages wait"),
                }
            }
            // The last connection to close leaves everything in the one file.
            let _ = connection.close().await;
        });
        Ok(receiver)
    }
}
