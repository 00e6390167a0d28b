//! The Windows servers of a site, in the order they were given, each with the one appliance that owns it.
//!
//! Two appliances must never both heal one server. A server belongs to the appliance that its entry names; one
//! without a name belongs to the site's only appliance or, where there are several, to the one that checked in
//! first. A site of several appliances that have never checked in owns nothing yet.

use super::{Store, StoreError, during};
use crate::fleet::Appliance;
use msp_contracts::api::WindowsTarget;
use sqlx::types::Json;
use sqlx::{FromRow, Sqlite, Transaction};

/// A server, and who looks after it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct TargetRow {
    #[sqlx(json, rename = "content")]
    pub(crate) target: WindowsTarget,
    /// The appliance that its entry names.
    pub(crate) appliance: Option<String>,
    /// The appliance that looks after it; none before the first of several has checked in.
    pub(crate) owner: Option<String>,
}

const OF_SITE: &str = "\
SELECT t.content, t.appliance, COALESCE(t.appliance, (
    SELECT a.appliance FROM appliances a WHERE a.site_id = $1
    AND (a.first_contact IS NOT NULL OR (SELECT COUNT(*) FROM appliances b WHERE b.site_id = $1) = 1)
    ORDER BY a.first_contact, a.appliance LIMIT 1)) AS owner
FROM windows_targets t WHERE t.site_id = $1 ORDER BY t.position";

pub(super) async fn of_site(tx: &mut Transaction<'_, Sqlite>, site: &str) -> Result<Vec<TargetRow>, StoreError> {
    sqlx::query_as(OF_SITE).bind(site).fetch_all(&mut **tx).await.map_err(during("reading a site's targets"))
}

/// The servers that one appliance looks after.
pub(super) async fn of_appliance(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
) -> Result<Vec<WindowsTarget>, StoreError> {
    let rows = of_site(tx, &who.site).await?;
    let owned = rows.into_iter().filter(|row| row.owner.as_ref() == Some(&who.appliance));
    Ok(owned.map(|row| row.target).collect())
}

impl Store {
    /// Replaces the targets of a site, each with the appliance that its entry names, and answers those before. The
    /// caller has checked that each has an address and that each appliance is one of the site.
    pub(crate) async fn set_targets(
        &self,
        site: &str,
        targets: &[(WindowsTarget, Option<String>)],
    ) -> Result<Vec<TargetRow>, StoreError> {
        let doing = "storing a site's targets";
        let mut tx = self.write(doing).await?;
        let before = of_site(&mut tx, site).await?;
        sqlx::query("DELETE FROM windows_targets WHERE site_id = $1")
            .bind(site)
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        for (position, (target, appliance)) in (0_i64..).zip(targets) {
            sqlx::query(
                "INSERT INTO windows_targets (site_id, position, ip_address, content, appliance)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(site)
            .bind(position)
            .bind(&target.ip_address)
            .bind(Json(target))
            .bind(appliance)
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        }
        tx.commit().await.map_err(during(doing))?;
        Ok(before)
    }

    /// The targets of a site, each with its owner.
    pub(crate) async fn owned_targets(&self, site: &str) -> Result<Vec<TargetRow>, StoreError> {
        sqlx::query_as(OF_SITE).bind(site).fetch_all(&self.readers).await.map_err(during("reading a site's targets"))
    }
}
