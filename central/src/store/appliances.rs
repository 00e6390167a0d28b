//! Appliances: registered when their certificate is issued, seen at each check-in.
//!
//! The key that signs an appliance's evidence is pinned at the first check-in. A later check-in with
//! another key changes nothing at all: it is refused until an operator releases the pinned one.

use super::certificates::{self, Origin};
use super::{
    StampKind, Store, StoreError, credentials, during, from_json, kill_switch, orders, sites, stamps, targets, text,
    to_json,
};
use crate::fleet::Appliance;
use crate::pki::ClientCertificate;
use jiff::Timestamp;
use msp_contracts::api::{CheckinRequest, PendingOrder, WindowsTarget};
use msp_contracts::ids::Counter;
use serde::Serialize;
use sqlx::Row;

/// An appliance reports with another key than the one that was pinned.
#[derive(Debug)]
pub(crate) struct KeyMismatch {
    /// The field that brings another key.
    pub(crate) field: &'static str,
    /// The pinned public key.
    pub(crate) pinned: String,
}

/// What a check-in is answered with.
#[derive(Debug)]
pub(crate) struct CheckedIn {
    /// The sequence of the freshness stamp, already stored.
    pub(crate) sequence: Counter,
    /// The Windows servers that it looks after.
    pub(crate) targets: Vec<WindowsTarget>,
    /// The orders that wait for it.
    pub(crate) orders: Vec<PendingOrder>,
    /// Why it is to stop every change, if it is.
    pub(crate) kill_switch: Option<String>,
    /// Whether it reports itself stopped, nothing stops it any more, and no release waits for it.
    pub(crate) release_is_due: bool,
}

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

    /// Records a check-in, pins its keys when none are pinned (`key` is the one that signs evidence), and hands out
    /// the next freshness sequence.
    pub(crate) async fn check_in(
        &self,
        who: &Appliance,
        request: &CheckinRequest,
        key: &str,
        now: Timestamp,
    ) -> Result<Result<CheckedIn, KeyMismatch>, StoreError> {
        let doing = "recording a check-in";
        let mut tx = self.write(doing).await?;
        let (pinned, pinned_encryption): (Option<String>, Option<String>) = sqlx::query_as(
            "UPDATE appliances SET agent_public_key = COALESCE(agent_public_key, $3),
                                   key_pinned_at = COALESCE(key_pinned_at, $4),
                                   agent_encryption_key = COALESCE(agent_encryption_key, $5)
             WHERE site_id = $1 AND appliance = $2 RETURNING agent_public_key, agent_encryption_key",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(key)
        .bind(text(now))
        .bind(&request.agent_encryption_key)
        .fetch_one(&mut *tx)
        .await
        .map_err(during(doing))?;
        if let Some(pinned) = pinned.filter(|pinned| pinned != key) {
            return Ok(Err(KeyMismatch { field: "agent_public_key", pinned }));
        }
        let brought = request.agent_encryption_key.as_ref();
        if let Some(pinned) = pinned_encryption.filter(|pinned| brought.is_some_and(|brought| brought != pinned)) {
            return Ok(Err(KeyMismatch { field: "agent_encryption_key", pinned }));
        }
        sqlx::query(
            "UPDATE appliances SET last_contact = $3, first_contact = COALESCE(first_contact, $3), checkin = $4
             WHERE site_id = $1 AND appliance = $2",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(text(now))
        .bind(to_json("a check-in", request)?)
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        let mut targets = targets::of_appliance(&mut tx, who).await?;
        credentials::lay_in(&mut tx, who, &mut targets).await?;
        let orders = orders::pending(&mut tx, who, now).await?;
        let wanted = kill_switch::wanted(&mut tx, who).await?;
        let reports_stopped = request.agent.as_ref().is_some_and(|report| report.kill_switch);
        let release_is_due =
            reports_stopped && wanted.released().is_some() && !kill_switch::release_waits(&mut tx, who, now).await?;
        let kill_switch = wanted.engaged().map(|row| row.reason.clone());
        let sequence = stamps::next(&mut tx, who, StampKind::Freshness).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Ok(CheckedIn { sequence, targets, orders, kill_switch, release_is_due }))
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
