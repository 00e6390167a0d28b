//! Enrolment by a one-time token, and renewal: each is one transaction, so that a token is used once and a name
//! belongs to one appliance, however many ask at the same time.
//!
//! An answer may get lost after the token was used. Whoever brings the same token with a request for the same key
//! gets the same certificate again: it is of use only to the holder of that key.

use super::certificates::{self, Origin};
use super::{Store, StoreError, during, sites, text};
use crate::fleet::{Appliance, IdError};
use crate::pki::{ClientCertificate, ClientIdentity, PkiError};
use jiff::Timestamp;
use sqlx::{FromRow, Sqlite, Transaction};

/// A token to be.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    /// SHA-256 of its secret, in hexadecimal.
    pub(crate) secret_sha256: String,
    pub(crate) site: &'a str,
    /// The only name it is good for; any new one when absent.
    pub(crate) appliance: Option<&'a Appliance>,
    pub(crate) expires: Timestamp,
}

/// A name that belongs to an appliance.
#[derive(Debug)]
pub(crate) struct NameTaken {
    /// Until when its certificate is good.
    pub(crate) until: String,
}

/// The keys of an appliance, as it says.
#[derive(Debug)]
pub(crate) struct Keys {
    /// SHA-256 of the public key in its certificate request.
    pub(crate) tls_sha256: String,
    /// Signs its evidence: 64 hexadecimal characters.
    pub(crate) evidence: String,
    /// Takes its credentials: `age1...`; absent when it has none.
    pub(crate) encryption: Option<String>,
}

/// A certificate that was made, or that is given again.
#[derive(Debug)]
pub(crate) struct Enrolled {
    pub(crate) who: Appliance,
    /// In PEM.
    pub(crate) certificate: String,
    pub(crate) renew_after: Timestamp,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEnrolled {
    #[error("this token was never made here")]
    UnknownToken,
    #[error("this token expired at {at}")]
    ExpiredToken { at: String },
    #[error("this token was used at {at} by {by}")]
    UsedToken { at: String, by: String },
    #[error("this token is for {of:?}")]
    OtherName { of: String },
    #[error("this token is for any new appliance of its site, so the appliance must name itself")]
    NameNeeded,
    #[error(transparent)]
    Name(#[from] IdError),
    #[error("{who} is enrolled, with a certificate until {until}")]
    NameTaken { who: Appliance, until: String },
    #[error("{who} was enrolled before")]
    NameKnown { who: Appliance },
    #[error("another {what} is pinned for this appliance")]
    OtherKey { what: &'static str },
    #[error("the request is for the key of the present certificate")]
    SameKey,
    #[error("the certificate was revoked")]
    Revoked,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pki(#[from] PkiError),
}

#[derive(FromRow)]
struct TokenRow {
    site_id: String,
    appliance: Option<String>,
    expires_at: String,
    used_at: Option<String>,
    used_by: Option<String>,
    key_sha256: Option<String>,
    serial: Option<String>,
}

#[derive(FromRow)]
struct Held {
    certificate: String,
    renew_after: String,
}

impl Held {
    fn of(self, who: Appliance, now: Timestamp) -> Enrolled {
        Enrolled { who, certificate: self.certificate, renew_after: self.renew_after.parse().unwrap_or(now) }
    }
}

impl Store {
    /// Keeps a token and registers its site; whether the site was new. A name that belongs to an appliance is
    /// refused.
    pub(crate) async fn add_token(
        &self,
        token: &NewToken<'_>,
        now: Timestamp,
    ) -> Result<Result<bool, NameTaken>, StoreError> {
        let doing = "keeping an enrolment token";
        let mut tx = self.write(doing).await?;
        if let Some(who) = token.appliance
            && let Some(until) = certificates::in_force_until(&mut tx, who, now).await?
        {
            return Ok(Err(NameTaken { until }));
        }
        let new_site = sites::register(&mut tx, token.site, now).await?;
        sqlx::query(
            "INSERT INTO enrolment_tokens (secret_sha256, site_id, appliance, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&token.secret_sha256)
        .bind(token.site)
        .bind(token.appliance.map(|who| who.appliance.as_str()))
        .bind(text(now))
        .bind(text(token.expires))
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Ok(new_site))
    }

    /// Enrols an appliance by its token; `named` is the name it gives itself, empty when it leaves that to the token.
    pub(crate) async fn enroll(
        &self,
        secret_sha256: &str,
        named: &str,
        keys: &Keys,
        now: Timestamp,
        certify: impl FnOnce(&Appliance) -> Result<ClientCertificate, PkiError>,
    ) -> Result<Enrolled, NotEnrolled> {
        let doing = "enrolling an appliance";
        let mut tx = self.write(doing).await?;
        let token: Option<TokenRow> = sqlx::query_as(
            "SELECT site_id, appliance, expires_at, used_at, used_by, key_sha256, serial
             FROM enrolment_tokens WHERE secret_sha256 = $1",
        )
        .bind(secret_sha256)
        .fetch_optional(&mut *tx)
        .await
        .map_err(during(doing))?;
        let token = token.ok_or(NotEnrolled::UnknownToken)?;
        if let Some(at) = token.used_at {
            let by = Appliance::new(&token.site_id, token.used_by.as_deref().unwrap_or_default())?;
            let same_key = token.key_sha256.as_deref() == Some(keys.tls_sha256.as_str());
            let held = if same_key { held(&mut tx, &token.serial.unwrap_or_default(), now).await? } else { None };
            return held
                .map(|held| held.of(by.clone(), now))
                .ok_or_else(|| NotEnrolled::UsedToken { at, by: by.to_string() });
        }
        if token.expires_at <= text(now) {
            return Err(NotEnrolled::ExpiredToken { at: token.expires_at });
        }
        let name = match token.appliance.as_deref() {
            Some(of) if !named.is_empty() && named != of => {
                return Err(NotEnrolled::OtherName { of: of.to_owned() });
            }
            Some(of) => of,
            None if named.is_empty() => return Err(NotEnrolled::NameNeeded),
            None => named,
        };
        let who = Appliance::new(&token.site_id, name)?;
        if let Some(until) = certificates::in_force_until(&mut tx, &who, now).await? {
            return Err(NotEnrolled::NameTaken { who, until });
        }
        // Who takes over the name, the evidence and the credentials of an appliance is for an operator to say.
        if token.appliance.is_none() && known(&mut tx, &who).await? {
            return Err(NotEnrolled::NameKnown { who });
        }
        let certificate = certify(&who)?;
        sqlx::query(
            "INSERT INTO appliances (site_id, appliance, issued_at, agent_public_key, key_pinned_at, agent_encryption_key)
             VALUES ($1, $2, $3, $4, $3, $5)
             ON CONFLICT (site_id, appliance) DO UPDATE SET agent_public_key = $4, key_pinned_at = $3,
                                                            agent_encryption_key = $5",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(text(now))
        .bind(&keys.evidence)
        .bind(&keys.encryption)
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        certificates::record(&mut tx, &who, &certificate, Origin::Enrolled, None, now).await?;
        sqlx::query(
            "UPDATE enrolment_tokens SET used_at = $2, used_by = $3, key_sha256 = $4, serial = $5
             WHERE secret_sha256 = $1",
        )
        .bind(secret_sha256)
        .bind(text(now))
        .bind(&who.appliance)
        .bind(&keys.tls_sha256)
        .bind(&certificate.serial)
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Enrolled { who, certificate: certificate.pem, renew_after: certificate.renew_after })
    }

    /// Renews the certificate of a caller. Only the key in it may be another; the keys that are pinned stay.
    pub(crate) async fn renew(
        &self,
        caller: &ClientIdentity,
        keys: &Keys,
        now: Timestamp,
        certify: impl FnOnce(&Appliance) -> Result<ClientCertificate, PkiError>,
    ) -> Result<Enrolled, NotEnrolled> {
        let doing = "renewing a certificate";
        let who = &caller.who;
        let mut tx = self.write(doing).await?;
        let present: Option<String> =
            sqlx::query_scalar("SELECT key_sha256 FROM certificates WHERE serial = $1 AND revoked_at IS NULL")
                .bind(&caller.serial)
                .fetch_optional(&mut *tx)
                .await
                .map_err(during(doing))?;
        // Revoked between the call's beginning and now.
        let present = present.ok_or(NotEnrolled::Revoked)?;
        if present == keys.tls_sha256 {
            return Err(NotEnrolled::SameKey);
        }
        let pinned: (String, Option<String>) = sqlx::query_as(
            "UPDATE appliances SET agent_public_key = COALESCE(agent_public_key, $3),
                                   key_pinned_at = COALESCE(key_pinned_at, $5),
                                   agent_encryption_key = COALESCE(agent_encryption_key, $4)
             WHERE site_id = $1 AND appliance = $2 RETURNING agent_public_key, agent_encryption_key",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(&keys.evidence)
        .bind(&keys.encryption)
        .bind(text(now))
        .fetch_one(&mut *tx)
        .await
        .map_err(during(doing))?;
        if pinned.0 != keys.evidence {
            return Err(NotEnrolled::OtherKey { what: "agent_public_key" });
        }
        if keys.encryption.is_some() && pinned.1 != keys.encryption {
            return Err(NotEnrolled::OtherKey { what: "agent_encryption_key" });
        }
        let again: Option<String> = sqlx::query_scalar(
            "SELECT serial FROM certificates WHERE site_id = $1 AND appliance = $2 AND key_sha256 = $3 AND replaces = $4",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(&keys.tls_sha256)
        .bind(&caller.serial)
        .fetch_optional(&mut *tx)
        .await
        .map_err(during(doing))?;
        if let Some(serial) = again
            && let Some(held) = held(&mut tx, &serial, now).await?
        {
            return Ok(held.of(who.clone(), now));
        }
        let certificate = certify(who)?;
        certificates::record(&mut tx, who, &certificate, Origin::Renewed, Some(&caller.serial), now).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Enrolled { who: who.clone(), certificate: certificate.pem, renew_after: certificate.renew_after })
    }
}

/// A certificate that can be given again: neither revoked nor over.
async fn held(tx: &mut Transaction<'_, Sqlite>, serial: &str, now: Timestamp) -> Result<Option<Held>, StoreError> {
    sqlx::query_as(
        "SELECT certificate, renew_after FROM certificates
         WHERE serial = $1 AND revoked_at IS NULL AND not_after > $2",
    )
    .bind(serial)
    .bind(text(now))
    .fetch_optional(&mut **tx)
    .await
    .map_err(during("looking up a certificate"))
}

async fn known(tx: &mut Transaction<'_, Sqlite>, who: &Appliance) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM appliances WHERE site_id = $1 AND appliance = $2")
        .bind(&who.site)
        .bind(&who.appliance)
        .fetch_optional(&mut **tx)
        .await
        .map_err(during("looking up an appliance"))?;
    Ok(found.is_some())
}
