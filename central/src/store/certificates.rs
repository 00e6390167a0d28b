//! The certificates of the appliances, by serial: what is not here, expired or revoked is not accepted.
//!
//! Asked with every call, so that a revocation counts at once, on open connections too. A renewed certificate
//! takes the place of the one before with its first use: until then the appliance may not have it yet, and from then
//! on a copy of the old one is worth nothing.

use super::{Store, StoreError, during, text};
use crate::fleet::Appliance;
use crate::pki::{ClientCertificate, ClientIdentity};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{FromRow, Row, Sqlite, Transaction};

/// How a certificate came to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// By `msp-central issue`.
    Issued,
    /// By a token.
    Enrolled,
    /// Under mutual TLS.
    Renewed,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Enrolled => "enrolled",
            Self::Renewed => "renewed",
        }
    }
}

/// What a certificate is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It is accepted.
    Valid,
    /// It was not made here, or not for this appliance.
    Unknown,
    /// It is over.
    Expired {
        /// Since when.
        not_after: String,
    },
    /// It was taken back.
    Revoked {
        /// When.
        at: String,
        /// Why, in the operator's words.
        reason: String,
    },
}

/// A certificate as it is listed.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct CertificateRow {
    pub(crate) site_id: String,
    pub(crate) appliance: String,
    pub(crate) serial: String,
    pub(crate) origin: String,
    pub(crate) issued_at: String,
    pub(crate) renew_after: String,
    pub(crate) not_after: String,
    pub(crate) first_used_at: Option<String>,
    pub(crate) revoked_at: Option<String>,
    pub(crate) reason: Option<String>,
}

/// Records a certificate of an appliance that is registered.
pub(super) async fn record(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    certificate: &ClientCertificate,
    origin: Origin,
    replaces: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO certificates (serial, site_id, appliance, origin, key_sha256, certificate, issued_at, renew_after,
                                   not_after, replaces)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&certificate.serial)
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(origin.as_str())
    .bind(&certificate.key_sha256)
    .bind(&certificate.pem)
    .bind(text(now))
    .bind(text(certificate.renew_after))
    .bind(text(certificate.not_after))
    .bind(replaces)
    .execute(&mut **tx)
    .await
    .map_err(during("recording a certificate"))?;
    Ok(())
}

/// The end of the longest certificate of `who` that is accepted at `now`.
pub(super) async fn in_force_until(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar(
        "SELECT MAX(not_after) FROM certificates
         WHERE site_id = $1 AND appliance = $2 AND revoked_at IS NULL AND not_after > $3",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(text(now))
    .fetch_one(&mut **tx)
    .await
    .map_err(during("looking up an appliance's certificates"))
}

impl Store {
    /// What the certificate of a caller is worth; the first use of a renewed one ends the one before.
    pub(crate) async fn worth(&self, caller: &ClientIdentity, now: Timestamp) -> Result<Worth, StoreError> {
        let doing = "looking up a certificate";
        let found = sqlx::query(
            "SELECT not_after, revoked_at, reason, first_used_at FROM certificates
             WHERE serial = $1 AND site_id = $2 AND appliance = $3",
        )
        .bind(&caller.serial)
        .bind(&caller.who.site)
        .bind(&caller.who.appliance)
        .fetch_optional(&self.readers)
        .await
        .map_err(during(doing))?;
        let Some(row) = found else { return Ok(Worth::Unknown) };
        let column = |name: &str| row.try_get::<Option<String>, _>(name).map_err(during(doing));
        if let Some(at) = column("revoked_at")? {
            return Ok(Worth::Revoked { at, reason: column("reason")?.unwrap_or_default() });
        }
        let not_after = column("not_after")?.unwrap_or_default();
        if not_after <= text(now) {
            return Ok(Worth::Expired { not_after });
        }
        if column("first_used_at")?.is_none() {
            self.first_use(&caller.serial, now).await?;
        }
        Ok(Worth::Valid)
    }

    async fn first_use(&self, serial: &str, now: Timestamp) -> Result<(), StoreError> {
        let doing = "recording the first use of a certificate";
        let mut tx = self.write(doing).await?;
        let replaces: Option<Option<String>> = sqlx::query_scalar(
            "UPDATE certificates SET first_used_at = $2 WHERE serial = $1 AND first_used_at IS NULL RETURNING replaces",
        )
        .bind(serial)
        .bind(text(now))
        .fetch_optional(&mut *tx)
        .await
        .map_err(during(doing))?;
        if let Some(before) = replaces.flatten() {
            sqlx::query(
                "UPDATE certificates SET revoked_at = $2, reason = $3 WHERE serial = $1 AND revoked_at IS NULL",
            )
            .bind(before)
            .bind(text(now))
            .bind(format!("renewed: {} took its place", serial.get(..12).unwrap_or(serial)))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        }
        tx.commit().await.map_err(during(doing))
    }

    /// Takes back every certificate of an appliance, and forgets what was encrypted to it. How many certificates
    /// that were; `None` when the appliance is unknown.
    pub(crate) async fn revoke(
        &self,
        who: &Appliance,
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let doing = "revoking an appliance";
        if !self.knows(who).await? {
            return Ok(None);
        }
        let mut tx = self.write(doing).await?;
        let done = sqlx::query(
            "UPDATE certificates SET revoked_at = $3, reason = $4
             WHERE site_id = $1 AND appliance = $2 AND revoked_at IS NULL",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(text(now))
        .bind(reason)
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        sqlx::query("DELETE FROM target_credentials WHERE site_id = $1 AND appliance = $2")
            .bind(&who.site)
            .bind(&who.appliance)
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Some(done.rows_affected()))
    }

    /// The certificates of every site, or of one, the newest of each appliance first.
    pub(crate) async fn certificates(&self, site: Option<&str>) -> Result<Vec<CertificateRow>, StoreError> {
        sqlx::query_as(
            "SELECT site_id, appliance, serial, origin, issued_at, renew_after, not_after, first_used_at, revoked_at,
                    reason
             FROM certificates WHERE site_id = COALESCE($1, site_id)
             ORDER BY site_id, appliance, issued_at DESC, serial",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing the certificates"))
    }
}
