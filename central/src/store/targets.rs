//! The Windows servers of a site, in the order they were given.

use super::{Store, StoreError, during};
use msp_contracts::api::WindowsTarget;
use sqlx::types::Json;
use sqlx::{Sqlite, Transaction};

const OF_SITE: &str = "SELECT content FROM windows_targets WHERE site_id = $1 ORDER BY position";

fn read(rows: Vec<Json<WindowsTarget>>) -> Vec<WindowsTarget> {
    rows.into_iter().map(|Json(target)| target).collect()
}

pub(super) async fn of_site(tx: &mut Transaction<'_, Sqlite>, site: &str) -> Result<Vec<WindowsTarget>, StoreError> {
    let rows: Vec<Json<WindowsTarget>> = sqlx::query_scalar(OF_SITE)
        .bind(site)
        .fetch_all(&mut **tx)
        .await
        .map_err(during("reading a site's targets"))?;
    Ok(read(rows))
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
            sqlx::query("INSERT INTO windows_targets (site_id, position, ip_address, content) VALUES ($1, $2, $3, $4)")
                .bind(site)
                .bind(position)
                .bind(&target.ip_address)
                .bind(Json(target))
                .execute(&mut *tx)
                .await
                .map_err(during(doing))?;
        }
        tx.commit().await.map_err(during(doing))?;
        Ok(before)
    }

    /// The targets of a site.
    pub(crate) async fn targets(&self, site: &str) -> Result<Vec<WindowsTarget>, StoreError> {
        let rows: Vec<Json<WindowsTarget>> = sqlx::query_scalar(OF_SITE)
            .bind(site)
            .fetch_all(&self.readers)
            .await
            .map_err(during("reading a site's targets"))?;
        Ok(read(rows))
    }
}
