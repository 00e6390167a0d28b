//! A real write and a real read: what liveness alone does not show (a full disk, a stuck transaction).

use super::{Store, StoreError, during, text};
use jiff::Timestamp;

impl Store {
    /// Writes the health row, commits, and reads it back through another connection.
    pub(crate) async fn probe(&self, now: Timestamp) -> Result<bool, StoreError> {
        let doing = "writing the health row";
        let mut tx = self.write(doing).await?;
        let written: i64 = sqlx::query_scalar(
            "INSERT INTO health (id, probes, checked_at) VALUES (1, 1, $1)
             ON CONFLICT (id) DO UPDATE SET probes = health.probes + 1, checked_at = excluded.checked_at
             RETURNING probes",
        )
        .bind(text(now))
        .fetch_one(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        let read: i64 = sqlx::query_scalar("SELECT probes FROM health WHERE id = 1")
            .fetch_one(&self.readers)
            .await
            .map_err(during("reading the health row"))?;
        // Another probe may have written in between, never an older one.
        Ok(read >= written)
    }
}
