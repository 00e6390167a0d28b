//! The evidence chains in numbers: how far each goes, and what is wrong with it.
//!
//! An appliance has one chain for each state it began with. A chain after the first is no offence, but
//! never silent: state that was lost is how evidence would be made to disappear.

use super::{Store, StoreError, during};
use serde::Serialize;
use sqlx::FromRow;

/// A chain in numbers; an appliance that has sent none has one row without a chain.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct ChainState {
    pub(crate) site_id: String,
    pub(crate) appliance: String,
    pub(crate) chain: Option<String>,
    /// When its first bundle came in, by the server's clock.
    pub(crate) first_received: Option<String>,
    pub(crate) bundles: i64,
    pub(crate) head_sequence: i64,
    pub(crate) head_hash: Option<String>,
    pub(crate) gaps: i64,
    pub(crate) forks: i64,
    pub(crate) broken: i64,
}

impl ChainState {
    fn follows(&self, other: &Self) -> bool {
        (&self.site_id, &self.appliance) == (&other.site_id, &other.appliance)
    }
}

/// Each chain that began after another of the same appliance: the one before, and the new one.
pub(crate) fn begun_anew(chains: &[ChainState]) -> impl Iterator<Item = (&ChainState, &ChainState)> {
    chains.iter().zip(chains.iter().skip(1)).filter(|(before, new)| new.follows(before))
}

impl Store {
    /// The chains of each appliance, of one site or of all, in the order of their beginning.
    pub(crate) async fn chains(&self, site: Option<&str>) -> Result<Vec<ChainState>, StoreError> {
        sqlx::query_as(
            "WITH links AS (
                 SELECT site_id, appliance, chain, received_at, sequence, NULL AS reason FROM evidence
                 UNION ALL
                 SELECT site_id, appliance, chain, received_at, NULL, reason FROM suspicious_evidence)
             SELECT a.site_id, a.appliance, l.chain, MIN(l.received_at) AS first_received,
                    COUNT(l.sequence) AS bundles,
                    COALESCE(MAX(l.sequence), 0) AS head_sequence,
                    (SELECT h.hash FROM evidence h WHERE h.site_id = a.site_id AND h.appliance = a.appliance
                     AND h.chain = l.chain ORDER BY h.sequence DESC LIMIT 1) AS head_hash,
                    COALESCE(MAX(l.sequence), 0) - COUNT(l.sequence) AS gaps,
                    COUNT(CASE WHEN l.reason = 'chain_fork' THEN 1 END) AS forks,
                    COUNT(CASE WHEN l.reason = 'chain_broken' THEN 1 END) AS broken
             FROM appliances a LEFT JOIN links l ON l.site_id = a.site_id AND l.appliance = a.appliance
             WHERE a.site_id = COALESCE($1, a.site_id) GROUP BY a.site_id, a.appliance, l.chain
             ORDER BY a.site_id, a.appliance, first_received, l.chain",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during("summing up the evidence chains"))
    }
}
