//! The fleet in figures, for monitoring: read at each scrape, never counted along.

use super::{OrderState, Store, StoreError, during, text};
use jiff::Timestamp;
use sqlx::FromRow;

/// An appliance in figures.
#[derive(Debug, FromRow)]
pub(crate) struct ApplianceFigures {
    pub(crate) site_id: String,
    pub(crate) appliance: String,
    /// Its last contact, or its registration when there was none.
    pub(crate) seen: String,
    /// Whether it reports itself stopped.
    pub(crate) stopped: bool,
    /// What it reports of its outbox; nothing when it never did.
    pub(crate) outbox_pending: Option<i64>,
    pub(crate) outbox_rejected: Option<i64>,
    /// Whether it is to be stopped.
    pub(crate) kill_switch: bool,
    pub(crate) missing_bundles: i64,
    pub(crate) suspicious_bundles: i64,
}

/// Something of a site that is counted by a word.
#[derive(Debug, FromRow)]
pub(crate) struct Counted {
    pub(crate) site_id: String,
    pub(crate) word: String,
    pub(crate) count: i64,
}

/// The fleet in figures.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) sites: Vec<String>,
    pub(crate) appliances: Vec<ApplianceFigures>,
    /// Incidents that are not over, by severity; a severity without any is left out.
    pub(crate) open_incidents: Vec<Counted>,
    /// Orders by state; a state without any is left out.
    pub(crate) orders: Vec<Counted>,
}

const APPLIANCES: &str = "\
WITH held AS (
         SELECT site_id, appliance, MAX(sequence) - COUNT(*) AS missing FROM evidence GROUP BY site_id, appliance, chain),
     aside AS (SELECT site_id, appliance, COUNT(*) AS bundles FROM suspicious_evidence GROUP BY site_id, appliance),
     switches AS (
         SELECT site_id, appliance FROM kill_switch WHERE engaged AND id IN
             (SELECT MAX(id) FROM kill_switch GROUP BY site_id, appliance))
SELECT a.site_id, a.appliance, COALESCE(a.last_contact, a.issued_at) AS seen,
       COALESCE(a.checkin ->> '$.agent.kill_switch', 0) AS stopped,
       a.checkin ->> '$.agent.outbox_pending' AS outbox_pending,
       a.checkin ->> '$.agent.outbox_rejected' AS outbox_rejected,
       EXISTS (SELECT 1 FROM switches s WHERE s.site_id = a.site_id
               AND (s.appliance IS NULL OR s.appliance = a.appliance)) AS kill_switch,
       COALESCE((SELECT SUM(h.missing) FROM held h
                 WHERE h.site_id = a.site_id AND h.appliance = a.appliance), 0) AS missing_bundles,
       COALESCE((SELECT s.bundles FROM aside s
                 WHERE s.site_id = a.site_id AND s.appliance = a.appliance), 0) AS suspicious_bundles
FROM appliances a ORDER BY a.site_id, a.appliance";

impl Store {
    /// The figures of the whole fleet.
    pub(crate) async fn figures(&self, now: Timestamp) -> Result<Figures, StoreError> {
        let doing = "counting the fleet's figures";
        // One transaction, so that the figures belong together.
        let mut tx = self.readers.begin().await.map_err(during(doing))?;
        let sites = sqlx::query_scalar("SELECT site_id FROM sites ORDER BY site_id").fetch_all(&mut *tx).await;
        let appliances = sqlx::query_as(APPLIANCES).fetch_all(&mut *tx).await;
        let open_incidents = sqlx::query_as(
            "SELECT site_id, content ->> '$.severity' AS word, COUNT(*) AS count FROM incidents
             WHERE resolved_at IS NULL GROUP BY site_id, word",
        )
        .fetch_all(&mut *tx)
        .await;
        let orders = sqlx::query_as(
            "SELECT site_id, CASE WHEN state = 'pending' AND expires <= $1 THEN $2 ELSE state END AS word,
                    COUNT(*) AS count FROM orders GROUP BY site_id, word",
        )
        .bind(text(now))
        .bind(OrderState::Expired.as_str())
        .fetch_all(&mut *tx)
        .await;
        tx.commit().await.map_err(during(doing))?;
        Ok(Figures {
            sites: sites.map_err(during(doing))?,
            appliances: appliances.map_err(during(doing))?,
            open_incidents: open_incidents.map_err(during(doing))?,
            orders: orders.map_err(during(doing))?,
        })
    }
}
