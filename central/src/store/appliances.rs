//! Appliances: registered when their certificate is issued, seen at each check-in ([`super::check_ins`]).

use super::certificates::{self, Origin};
use super::{Store, StoreError, during, from_json, sites, text};
use crate::fleet::Appliance;
use crate::pki::ClientCertificate;
use jiff::Timestamp;
use msp_contracts::api::CheckinRequest;
use serde::Serialize;
use sqlx::Row;

/// An appliance and its last word.
#[derive(Debug, Serialize)]
pub(crate) struct ApplianceRow {
    pub(crate) site_id: String,
    pub(crate) appliance: String,
    pub(crate) issued_at: String,
    pub(crate) agent_public_key: Option<String>,
    pub(crate) last_contact: Option<String>,
    pub(crate) checkin: Option<CheckinRequest>,
}

impl Store {
    /// Registers an appliance, its site and its certificate; an appliance that is known stays as it is. Whether the
    /// site was new.
    pub(crate) async fn register_appliance(
        &self,
        who: &Appliance,
        certificate: &ClientCertificate,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let doing = "registering an appliance";
        let mut tx = self.write(doing).await?;
        let new_site = sites::register(&mut tx, &who.site, now).await?;
        sqlx::query(
            "INSERT INTO appliances (site_id, appliance, issued_at) VALUES ($1, $2, $3)
             ON CONFLICT (site_id, appliance) DO NOTHING",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(text(now))
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        certificates::record(&mut tx, who, certificate, Origin::Issued, None, now).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(new_site)
    }

    /// Whether a certificate was issued for this appliance.
    pub(crate) async fn knows(&self, who: &Appliance) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM appliances WHERE site_id = $1 AND appliance = $2")
            .bind(&who.site)
            .bind(&who.appliance)
            .fetch_optional(&self.readers)
            .await
            .map_err(during("looking up an appliance"))?;
        Ok(found.is_some())
    }

    /// The public key that is pinned for an appliance.
    pub(crate) async fn pinned_key(&self, who: &Appliance) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT agent_public_key FROM appliances WHERE site_id = $1 AND appliance = $2")
            .bind(&who.site)
            .bind(&who.appliance)
            .fetch_optional(&self.readers)
            .await
            .map(Option::flatten)
            .map_err(during("looking up an appliance's key"))
    }

    /// Releases the pinned keys; the next check-in pins new ones. `None` when the appliance is unknown,
    /// else the key for evidence that was released.
    pub(crate) async fn forget_key(&self, who: &Appliance) -> Result<Option<Option<String>>, StoreError> {
        let doing = "releasing an appliance's key";
        let mut tx = self.write(doing).await?;
        let key: Option<Option<String>> =
            sqlx::query_scalar("SELECT agent_public_key FROM appliances WHERE site_id = $1 AND appliance = $2")
                .bind(&who.site)
                .bind(&who.appliance)
                .fetch_optional(&mut *tx)
                .await
                .map_err(during(doing))?;
        sqlx::query(
            "UPDATE appliances SET agent_public_key = NULL, key_pinned_at = NULL, agent_encryption_key = NULL
             WHERE site_id = $1 AND appliance = $2",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(key)
    }

    /// Every appliance, or those of one site.
    pub(crate) async fn appliances(&self, site: Option<&str>) -> Result<Vec<ApplianceRow>, StoreError> {
        let doing = "listing the appliances";
        let rows = sqlx::query(
            "SELECT site_id, appliance, issued_at, agent_public_key, last_contact, checkin
             FROM appliances WHERE site_id = COALESCE($1, site_id) ORDER BY site_id, appliance",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter()
            .map(|row| {
                let checkin: Option<String> = row.try_get("checkin").map_err(during(doing))?;
                Ok(ApplianceRow {
                    site_id: row.try_get("site_id").map_err(during(doing))?,
                    appliance: row.try_get("appliance").map_err(during(doing))?,
                    issued_at: row.try_get("issued_at").map_err(during(doing))?,
                    agent_public_key: row.try_get("agent_public_key").map_err(during(doing))?,
                    last_contact: row.try_get("last_contact").map_err(during(doing))?,
                    checkin: checkin.map(|text| from_json("a check-in", &text)).transpose()?,
                })
            })
            .collect()
    }
}
