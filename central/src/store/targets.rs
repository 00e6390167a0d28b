//! The Windows servers of a site, in the order they were given.

use super::{Store, StoreError, during};
use msp_contracts::api::WindowsTarget;
use sqlx::{FromRow, Sqlite, Transaction};

#[derive(FromRow)]
struct TargetRow {
    hostname: String,
    ip_address: String,
    port: i64,
}

impl From<TargetRow> for WindowsTarget {
    fn from(row: TargetRow) -> Self {
        // The column is only ever filled from a u16.
        let port = u16::try_from(row.port).unwrap_or_default();
        Self { hostname: row.hostname, ip_address: Some(row.ip_address), port }
    }
}

const OF_SITE: &str = "SELECT hostname, ip_address, port FROM windows_targets WHERE site_id = $1 ORDER BY position";

pub(super) async fn of_site(tx: &mut Transaction<'_, Sqlite>, site: &str) -> Result<Vec<WindowsTarget>, StoreError> {
    let rows: Vec<TargetRow> =
        sqlx::query_as(OF_SITE).bind(site).fetch_all(&mut **tx).await.map_err(during("reading a site's targets"))?;
    Ok(rows.into_iter().map(WindowsTarget::from).collect())
}

impl Store {
    /// Replaces the targets of a site, and answers those before. The caller has checked that each has an
    /// address.
    pub(crate) async fn set_targets(
        &self,
        site: &str,
        targets: &[WindowsTarget],
    ) -> Result<Vec<WindowsTarget>, StoreError> {
        let doing = "storing a site's targets";
        let mut tx = self.write(doing).await?;
        let before = of_site(&mut tx, site).await?;
        sqlx::query("DELETE FROM windows_targets WHERE site_id = $1")
            .bind(site)
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        for (position, target) in (0_i64..).zip(targets) {
            sqlx::query(
                "INSERT INTO windows_targets (site_id, position, hostname, ip_address, port) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(site)
            .bind(position)
            .bind(&target.hostname)
            .bind(&target.ip_address)
            .bind(i64::from(target.port))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        }
        tx.commit().await.map_err(during(doing))?;
        Ok(before)
    }

    /// The targets of a site.
    pub(crate) async fn targets(&self, site: &str) -> Result<Vec<WindowsTarget>, StoreError> {
        let rows: Vec<TargetRow> = sqlx::query_as(OF_SITE)
            .bind(site)
            .fetch_all(&self.readers)
            .await
            .map_err(during("reading a site's targets"))?;
        Ok(rows.into_iter().map(WindowsTarget::from).collect())
    }
}
