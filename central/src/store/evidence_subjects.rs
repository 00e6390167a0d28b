//! Evidence by what it is about: the index beside the envelopes, and the questions people ask of it.
//!
//! The index is written with the envelope, in one transaction; what was stored before there was an index is
//! indexed when a server starts.

use super::evidence::{self, BundleRow};
use super::{Store, StoreError, during};
use crate::fleet::Appliance;
use msp_contracts::evidence::{Bundle, BundleKind};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

/// How many bundles are indexed in one transaction.
const BATCH: u32 = 500;

/// Which bundles are wanted; `None` admits all.
#[derive(Debug, Clone, Default)]
pub(crate) struct EvidenceFilter<'a> {
    pub(crate) site: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) check: Option<&'a str>,
    /// A part of a machine's name or address, or of a bundle's or an incident's id.
    pub(crate) word: Option<&'a str>,
}

/// A bundle with everything that proves it.
#[derive(Debug)]
pub(crate) struct StoredBundle {
    pub(crate) row: BundleRow,
    /// The exact bytes.
    pub(crate) envelope: Vec<u8>,
    /// The hash it names as the one before it, as it was understood on arrival.
    pub(crate) previous_hash: String,
    /// The public key that it was verified with on arrival.
    pub(crate) signer: String,
}

/// The kind as it is stored and chosen.
pub(crate) fn kind_text(kind: BundleKind) -> &'static str {
    match kind {
        BundleKind::Heal => "heal",
        BundleKind::Refusal => "refusal",
        BundleKind::Escalation => "escalation",
        BundleKind::StatusChange => "status_change",
        BundleKind::RollUp => "roll_up",
        BundleKind::Order => "order",
    }
}

/// Notes what a bundle is about.
pub(super) async fn note(tx: &mut Transaction<'_, Sqlite>, who: &Appliance, bundle: &Bundle) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO evidence_subjects
             (site_id, appliance, chain, sequence, kind, check_type, host_id, host_name, incident_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(bundle.chain.as_str())
    .bind(i64::try_from(bundle.sequence.0).unwrap_or(i64::MAX))
    .bind(kind_text(bundle.kind))
    .bind(&bundle.check)
    .bind(&bundle.target.host_id)
    .bind(&bundle.target.name)
    .bind(bundle.incident_id.as_ref().map(msp_contracts::ids::IncidentId::as_str))
    .execute(&mut **tx)
    .await
    .map_err(during("indexing evidence"))?;
    Ok(())
}

fn stored(doing: &'static str, row: &SqliteRow) -> Result<StoredBundle, StoreError> {
    Ok(StoredBundle {
        envelope: row.try_get("envelope").map_err(during(doing))?,
        previous_hash: row.try_get("previous_hash").map_err(during(doing))?,
        signer: row.try_get("signer").map_err(during(doing))?,
        row: evidence::read(doing, row)?,
    })
}

/// `text` for LIKE, with what LIKE would read as a pattern escaped by a backslash.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

impl Store {
    /// Indexes what was stored before there was an index; how many bundles that were.
    pub(crate) async fn index_evidence(&self) -> Result<usize, StoreError> {
        let doing = "indexing evidence";
        let mut indexed = 0_usize;
        loop {
            let mut tx = self.write(doing).await?;
            let rows = sqlx::query(
                "SELECT e.* FROM evidence e LEFT JOIN evidence_subjects s
                     ON s.site_id = e.site_id AND s.appliance = e.appliance AND s.chain = e.chain AND s.sequence = e.sequence
                 WHERE s.sequence IS NULL LIMIT $1",
            )
            .bind(BATCH)
            .fetch_all(&mut *tx)
            .await
            .map_err(during(doing))?;
            let before = indexed;
            for row in &rows {
                let row = evidence::read(doing, row)?;
                let Some(bundle) = &row.bundle else { continue };
                let who = Appliance { site: row.site_id.clone(), appliance: row.appliance.clone() };
                note(&mut tx, &who, bundle).await?;
                indexed += 1;
            }
            tx.commit().await.map_err(during(doing))?;
            // What cannot be read comes again and again: it is no reason to go on.
            if indexed == before {
                return Ok(indexed);
            }
        }
    }

    /// At most `limit` bundles that the filter admits, after the first `skip`; the latest received first.
    pub(crate) async fn find_evidence(
        &self,
        filter: &EvidenceFilter<'_>,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<BundleRow>, StoreError> {
        let doing = "looking for evidence";
        let rows = sqlx::query(
            "SELECT e.* FROM evidence e JOIN evidence_subjects s
                 ON s.site_id = e.site_id AND s.appliance = e.appliance AND s.chain = e.chain AND s.sequence = e.sequence
             WHERE e.site_id = COALESCE($1, e.site_id) AND s.kind = COALESCE($2, s.kind)
                   AND s.check_type = COALESCE($3, s.check_type)
                   AND ($4 IS NULL OR s.host_name LIKE $4 ESCAPE '\\' OR s.host_id LIKE $4 ESCAPE '\\'
                        OR e.bundle_id LIKE $4 ESCAPE '\\' OR s.incident_id LIKE $4 ESCAPE '\\')
             ORDER BY e.received_at DESC, e.sequence DESC LIMIT $6 OFFSET $5",
        )
        .bind(filter.site)
        .bind(filter.kind)
        .bind(filter.check)
        .bind(filter.word.map(containing))
        .bind(skip)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| evidence::read(doing, row)).collect()
    }

    /// The checks that any evidence is about.
    pub(crate) async fn checks_with_evidence(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar("SELECT DISTINCT check_type FROM evidence_subjects ORDER BY check_type LIMIT 200")
            .fetch_all(&self.readers)
            .await
            .map_err(during("listing the checks with evidence"))
    }

    /// The bundles about an incident, in the order of their chain; at most 200.
    pub(crate) async fn evidence_of_incident(
        &self,
        who: &Appliance,
        incident: &str,
    ) -> Result<Vec<BundleRow>, StoreError> {
        let doing = "looking for an incident's evidence";
        let rows = sqlx::query(
            "SELECT e.* FROM evidence e JOIN evidence_subjects s
                 ON s.site_id = e.site_id AND s.appliance = e.appliance AND s.chain = e.chain AND s.sequence = e.sequence
             WHERE s.site_id = $1 AND s.appliance = $2 AND s.incident_id = $3
             ORDER BY e.received_at, e.sequence LIMIT 200",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(incident)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| evidence::read(doing, row)).collect()
    }

    /// At most `limit` links of a chain from a place on, in order.
    pub(crate) async fn links(
        &self,
        who: &Appliance,
        chain: &str,
        from: i64,
        limit: u32,
    ) -> Result<Vec<StoredBundle>, StoreError> {
        let doing = "reading an evidence chain";
        let rows = sqlx::query(
            "SELECT e.* FROM evidence e
             WHERE e.site_id = $1 AND e.appliance = $2 AND e.chain = $3 AND e.sequence >= $4
             ORDER BY e.sequence LIMIT $5",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(chain)
        .bind(from)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| stored(doing, row)).collect()
    }
}
