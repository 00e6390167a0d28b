//! Sites: registered with their first appliance, with the share of the rules they get.

use super::{Store, StoreError, during, text};
use jiff::Timestamp;
use msp_contracts::signed::HealingTier;
use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

/// A tier as it is stored and typed.
pub(crate) fn tier_text(tier: HealingTier) -> &'static str {
    match tier {
        HealingTier::Standard => "standard",
        HealingTier::FullCoverage => "full_coverage",
    }
}

/// A tier as it was stored; the table admits no third word.
pub(super) fn tier_of(text: &str) -> HealingTier {
    if text == "full_coverage" { HealingTier::FullCoverage } else { HealingTier::Standard }
}

/// A site and what became of it lately.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct SiteRow {
    pub(crate) site_id: String,
    pub(crate) healing_tier: String,
    pub(crate) appliances: i64,
    pub(crate) windows_targets: i64,
    pub(crate) rules: i64,
    pub(crate) open_incidents: i64,
    pub(crate) last_contact: Option<String>,
}

/// Registers a site unless it is known; whether it was new.
pub(super) async fn register(tx: &mut Transaction<'_, Sqlite>, site: &str, now: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query("INSERT INTO sites (site_id, created_at) VALUES ($1, $2) ON CONFLICT (site_id) DO NOTHING")
        .bind(site)
        .bind(text(now))
        .execute(&mut **tx)
        .await
        .map_err(during("registering a site"))?;
    Ok(done.rows_affected() == 1)
}

impl Store {
    /// Whether the site is registered.
    pub(crate) async fn site_exists(&self, site: &str) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM sites WHERE site_id = $1")
            .bind(site)
            .fetch_optional(&self.readers)
            .await
            .map_err(during("looking up a site"))?;
        Ok(found.is_some())
    }

    /// Sets the share of the rules that a site gets; false when the site is unknown.
    pub(crate) async fn set_tier(&self, site: &str, tier: HealingTier) -> Result<bool, StoreError> {
        let doing = "setting a site's tier";
        let mut tx = self.write(doing).await?;
        let done = sqlx::query("UPDATE sites SET healing_tier = $2 WHERE site_id = $1")
            .bind(site)
            .bind(tier_text(tier))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(done.rows_affected() == 1)
    }

    /// Every site, or the one that is named.
    pub(crate) async fn sites(&self, site: Option<&str>) -> Result<Vec<SiteRow>, StoreError> {
        sqlx::query_as(
            "SELECT s.site_id, s.healing_tier,
                    (SELECT COUNT(*) FROM appliances a WHERE a.site_id = s.site_id) AS appliances,
                    (SELECT COUNT(*) FROM windows_targets t WHERE t.site_id = s.site_id) AS windows_targets,
                    (SELECT COUNT(*) FROM rules r WHERE r.site_id = s.site_id) AS rules,
                    (SELECT COUNT(*) FROM incidents i WHERE i.site_id = s.site_id AND i.resolved_at IS NULL) AS open_incidents,
                    (SELECT MAX(a.last_contact) FROM appliances a WHERE a.site_id = s.site_id) AS last_contact
             FROM sites s WHERE s.site_id = COALESCE($1, s.site_id) ORDER BY s.site_id",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing the sites"))
    }
}
