//! Logons for Windows servers, encrypted: one ciphertext for each server and appliance.
//!
//! What was encrypted to a key that the appliance does not have any more is no use to it: it counts as none, and is
//! not sent.

use super::{Store, StoreError, during, text};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::api::WindowsTarget;
use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};
use std::collections::HashMap;

/// An enrolled appliance, and the key that credentials are encrypted to.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Recipient {
    pub(crate) appliance: String,
    /// `age1...`; absent until the appliance has told one.
    pub(crate) agent_encryption_key: Option<String>,
}

/// A logon, encrypted to one appliance.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) appliance: String,
    /// The key it is encrypted to.
    pub(crate) recipient: String,
    /// age, ASCII armour.
    pub(crate) ciphertext: String,
}

/// Whether an enrolled appliance has credentials for a server.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct CredentialRow {
    pub(crate) hostname: String,
    pub(crate) appliance: String,
    pub(crate) set_at: String,
}

/// Puts an appliance's credentials into the targets it is told.
pub(super) async fn lay_in(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    targets: &mut [WindowsTarget],
) -> Result<(), StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.hostname, c.ciphertext FROM target_credentials c
         JOIN appliances a ON a.site_id = c.site_id AND a.appliance = c.appliance
         WHERE c.site_id = $1 AND c.appliance = $2 AND c.recipient = a.agent_encryption_key",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .fetch_all(&mut **tx)
    .await
    .map_err(during("reading an appliance's credentials"))?;
    let mut held: HashMap<String, String> = rows.into_iter().collect();
    for target in targets {
        target.credentials = held.remove(&target.hostname);
    }
    Ok(())
}

impl Store {
    /// The appliances of a site that have a certificate which is accepted at `now`.
    pub(crate) async fn recipients(&self, site: &str, now: Timestamp) -> Result<Vec<Recipient>, StoreError> {
        sqlx::query_as(
            "SELECT appliance, agent_encryption_key FROM appliances a
             WHERE site_id = $1 AND EXISTS (SELECT 1 FROM certificates c
                 WHERE c.site_id = a.site_id AND c.appliance = a.appliance
                   AND c.revoked_at IS NULL AND c.not_after > $2)
             ORDER BY appliance",
        )
        .bind(site)
        .bind(text(now))
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing a site's appliances"))
    }

    /// Replaces the credentials of one server.
    pub(crate) async fn set_credentials(
        &self,
        site: &str,
        hostname: &str,
        sealed: &[Sealed],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let doing = "storing credentials";
        let mut tx = self.write(doing).await?;
        delete(&mut tx, site, hostname).await?;
        for one in sealed {
            sqlx::query(
                "INSERT INTO target_credentials (site_id, hostname, appliance, recipient, ciphertext, set_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(site)
            .bind(hostname)
            .bind(&one.appliance)
            .bind(&one.recipient)
            .bind(&one.ciphertext)
            .bind(text(now))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        }
        tx.commit().await.map_err(during(doing))
    }

    /// Forgets the credentials of one server; for how many appliances there were any.
    pub(crate) async fn remove_credentials(&self, site: &str, hostname: &str) -> Result<u64, StoreError> {
        let doing = "removing credentials";
        let mut tx = self.write(doing).await?;
        let removed = delete(&mut tx, site, hostname).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(removed)
    }

    /// The credentials of a site that an appliance can use.
    pub(crate) async fn credentials(&self, site: &str) -> Result<Vec<CredentialRow>, StoreError> {
        sqlx::query_as(
            "SELECT c.hostname, c.appliance, c.set_at FROM target_credentials c
             JOIN appliances a ON a.site_id = c.site_id AND a.appliance = c.appliance
             WHERE c.site_id = $1 AND c.recipient = a.agent_encryption_key ORDER BY c.hostname, c.appliance",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing a site's credentials"))
    }
}

async fn delete(tx: &mut Transaction<'_, Sqlite>, site: &str, hostname: &str) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM target_credentials WHERE site_id = $1 AND hostname = $2")
        .bind(site)
        .bind(hostname)
        .execute(&mut **tx)
        .await
        .map_err(during("removing credentials"))?;
    Ok(done.rows_affected())
}
