//! Evidence: the exact bytes of each envelope, its place in the chain, and what contradicted the chain.

use super::chain::{self, Contradiction, Link, Neighbours, Verdict};
use super::{Store, StoreError, during, evidence_subjects, text};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::dsse::Envelope;
use msp_contracts::evidence::Bundle;
use msp_contracts::ids::{ChainId, Counter};
use msp_contracts::signed::ChainHead;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, Sqlite, Transaction};

/// A verified bundle on its way into the store.
#[derive(Debug)]
pub(crate) struct NewEvidence<'a> {
    /// Its place in the chain.
    pub(crate) link: Link,
    /// The canonical bytes of its envelope.
    pub(crate) envelope: &'a [u8],
    /// The public key it was verified with: 64 hexadecimal characters.
    pub(crate) signer: &'a str,
    /// What was verified: found again by what it is about.
    pub(crate) bundle: &'a Bundle,
}

/// What the store holds after an intake.
#[derive(Debug)]
pub(crate) struct Held {
    /// What became of the bundle. When it contradicts the chain, it is kept aside.
    pub(crate) verdict: Verdict,
    /// When it was first received, as stored.
    pub(crate) received_at: String,
    /// The highest place held of its chain.
    pub(crate) head: ChainHead,
    /// How many places before the head are missing.
    pub(crate) gaps: Counter,
}

/// A bundle as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct BundleRow {
    pub(crate) site_id: String,
    pub(crate) appliance: String,
    pub(crate) chain: String,
    pub(crate) sequence: i64,
    pub(crate) bundle_id: String,
    pub(crate) hash: String,
    pub(crate) received_at: String,
    /// The payload of the envelope, whose signature was verified when it was received.
    pub(crate) bundle: Option<Bundle>,
}

/// A bundle that contradicted the chain.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct SuspiciousRow {
    pub(crate) site_id: String,
    pub(crate) appliance: String,
    pub(crate) chain: String,
    pub(crate) sequence: i64,
    pub(crate) bundle_id: String,
    pub(crate) hash: String,
    pub(crate) reason: String,
    pub(crate) explanation: String,
    pub(crate) received_at: String,
}

async fn neighbours(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    link: &Link,
) -> Result<(Neighbours, Option<String>), StoreError> {
    let doing = "looking at an evidence chain";
    let rows = sqlx::query(
        "SELECT sequence, bundle_id, hash, previous_hash, received_at FROM evidence
         WHERE site_id = $1 AND appliance = $2 AND chain = $3
               AND (sequence BETWEEN $4 - 1 AND $5 OR bundle_id = $6)",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(link.chain.as_str())
    .bind(link.sequence)
    .bind(link.sequence.saturating_add(1))
    .bind(&link.bundle_id)
    .fetch_all(&mut **tx)
    .await
    .map_err(during(doing))?;
    let mut held = Neighbours::default();
    let mut received = None;
    for row in &rows {
        let sequence: i64 = row.try_get("sequence").map_err(during(doing))?;
        let hash: String = row.try_get("hash").map_err(during(doing))?;
        if row.try_get::<&str, _>("bundle_id").map_err(during(doing))? == link.bundle_id {
            held.bundle_held_at = Some(sequence);
        }
        if sequence == link.sequence {
            held.same = Some(hash);
            received = Some(row.try_get("received_at").map_err(during(doing))?);
        } else if sequence.checked_add(1) == Some(link.sequence) {
            held.before = Some(hash);
        } else if sequence.checked_sub(1) == Some(link.sequence) {
            held.after = Some(row.try_get("previous_hash").map_err(during(doing))?);
        }
    }
    Ok((held, received))
}

async fn store_link(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    new: &NewEvidence<'_>,
    received_at: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO evidence
             (site_id, appliance, chain, sequence, bundle_id, hash, previous_hash, signer, received_at, envelope)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(new.link.chain.as_str())
    .bind(new.link.sequence)
    .bind(&new.link.bundle_id)
    .bind(&new.link.hash)
    .bind(&new.link.previous_hash)
    .bind(new.signer)
    .bind(received_at)
    .bind(new.envelope)
    .execute(&mut **tx)
    .await
    .map_err(during("storing evidence"))?;
    Ok(())
}

async fn set_aside(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    new: &NewEvidence<'_>,
    (reason, explanation): (Contradiction, &str),
    received_at: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO suspicious_evidence
             (site_id, appliance, hash, chain, sequence, bundle_id, reason, explanation, received_at, envelope)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (site_id, appliance, hash) DO NOTHING",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(&new.link.hash)
    .bind(new.link.chain.as_str())
    .bind(new.link.sequence)
    .bind(&new.link.bundle_id)
    .bind(reason.as_str())
    .bind(explanation)
    .bind(received_at)
    .bind(new.envelope)
    .execute(&mut **tx)
    .await
    .map_err(during("setting suspicious evidence aside"))?;
    Ok(())
}

async fn head(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    chain: &ChainId,
) -> Result<(ChainHead, Counter), StoreError> {
    let doing = "reading the head of an evidence chain";
    let row = sqlx::query(
        "SELECT sequence, hash, (SELECT COUNT(*) FROM evidence c
                                 WHERE c.site_id = $1 AND c.appliance = $2 AND c.chain = $3) AS held
         FROM evidence WHERE site_id = $1 AND appliance = $2 AND chain = $3 ORDER BY sequence DESC LIMIT 1",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(chain.as_str())
    .fetch_optional(&mut **tx)
    .await
    .map_err(during(doing))?;
    let Some(row) = row else {
        let hash = msp_contracts::evidence::GENESIS_HASH.to_owned();
        return Ok((ChainHead { sequence: Counter(0), hash }, Counter(0)));
    };
    let sequence: i64 = row.try_get("sequence").map_err(during(doing))?;
    let held: i64 = row.try_get("held").map_err(during(doing))?;
    let hash = row.try_get("hash").map_err(during(doing))?;
    let gaps = Counter(sequence.saturating_sub(held).unsigned_abs());
    Ok((ChainHead { sequence: Counter(sequence.unsigned_abs()), hash }, gaps))
}

impl Store {
    /// Takes a verified bundle in: judged, stored or set aside, and the chain's head read, all at once.
    pub(crate) async fn take_in(
        &self,
        who: &Appliance,
        new: &NewEvidence<'_>,
        now: Timestamp,
    ) -> Result<Held, StoreError> {
        let doing = "storing evidence";
        let mut tx = self.write(doing).await?;
        let (neighbours, received_before) = neighbours(&mut tx, who, &new.link).await?;
        let verdict = chain::judge(&new.link, &neighbours);
        let received_at = received_before.unwrap_or_else(|| text(now));
        match &verdict {
            Verdict::Fits => {
                store_link(&mut tx, who, new, &received_at).await?;
                evidence_subjects::note(&mut tx, who, new.bundle).await?;
            }
            Verdict::Duplicate => {}
            Verdict::Contradicts(reason, explanation) => {
                set_aside(&mut tx, who, new, (*reason, explanation), &text(now)).await?;
            }
        }
        let (head, gaps) = head(&mut tx, who, &new.link.chain).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Held { verdict, received_at, head, gaps })
    }

    /// At most `limit` bundles of one site or of all, the latest received first.
    pub(crate) async fn bundles(&self, site: Option<&str>, limit: u32) -> Result<Vec<BundleRow>, StoreError> {
        let doing = "listing the evidence";
        let rows = sqlx::query(
            "SELECT site_id, appliance, chain, sequence, bundle_id, hash, received_at, envelope FROM evidence
             WHERE site_id = COALESCE($1, site_id) ORDER BY received_at DESC, sequence DESC LIMIT $2",
        )
        .bind(site)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| read(doing, row)).collect()
    }

    /// At most `limit` bundles that contradicted their chain, the latest first.
    pub(crate) async fn suspicious(&self, site: Option<&str>, limit: u32) -> Result<Vec<SuspiciousRow>, StoreError> {
        sqlx::query_as(
            "SELECT site_id, appliance, chain, sequence, bundle_id, hash, reason, explanation, received_at
             FROM suspicious_evidence WHERE site_id = COALESCE($1, site_id) ORDER BY received_at DESC, hash LIMIT $2",
        )
        .bind(site)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing suspicious evidence"))
    }
}

pub(super) fn read(doing: &'static str, row: &SqliteRow) -> Result<BundleRow, StoreError> {
    let envelope: &[u8] = row.try_get("envelope").map_err(during(doing))?;
    let payload = Envelope::from_bytes(envelope).and_then(|envelope| envelope.unverified_payload()).ok();
    Ok(BundleRow {
        site_id: row.try_get("site_id").map_err(during(doing))?,
        appliance: row.try_get("appliance").map_err(during(doing))?,
        chain: row.try_get("chain").map_err(during(doing))?,
        sequence: row.try_get("sequence").map_err(during(doing))?,
        bundle_id: row.try_get("bundle_id").map_err(during(doing))?,
        hash: row.try_get("hash").map_err(during(doing))?,
        received_at: row.try_get("received_at").map_err(during(doing))?,
        bundle: payload.and_then(|payload| serde_json::from_slice(&payload).ok()),
    })
}
