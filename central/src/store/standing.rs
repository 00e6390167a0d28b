//! How things stand, in a few numbers.

use super::{Store, StoreError, during, text};
use jiff::Timestamp;
use sqlx::FromRow;
use std::collections::HashMap;

/// The numbers.
#[derive(Debug, FromRow)]
pub(crate) struct Standing {
    /// Incidents that are not over.
    pub(crate) open_incidents: i64,
    /// Those of them that a person was asked about.
    pub(crate) need_a_person: i64,
    /// Plans that began since the given time and mended something.
    pub(crate) healed: i64,
}

impl Store {
    /// How things stand in the whole fleet; heals are counted from `since` on.
    pub(crate) async fn standing(&self, since: Timestamp) -> Result<Standing, StoreError> {
        sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM incidents WHERE resolved_at IS NULL) AS open_incidents,
                    (SELECT COUNT(*) FROM incidents WHERE resolved_at IS NULL
                     AND (site_id, appliance, incident_id) IN
                         (SELECT site_id, appliance, content ->> '$.incident_id' FROM escalations)) AS need_a_person,
                    (SELECT COUNT(*) FROM executions WHERE started_at >= $1 AND content ->> '$.detail' = 'fixed')
                    AS healed",
        )
        .bind(text(since))
        .fetch_one(&self.readers)
        .await
        .map_err(during("counting how things stand"))
    }

    /// How many plans mended something since the given time, by site.
    pub(crate) async fn healed_by_site(&self, since: Timestamp) -> Result<HashMap<String, i64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT site_id, COUNT(*) FROM executions WHERE started_at >= $1 AND content ->> '$.detail' = 'fixed'
             GROUP BY site_id",
        )
        .bind(text(since))
        .fetch_all(&self.readers)
        .await
        .map_err(during("counting heals"))?;
        Ok(rows.into_iter().collect())
    }
}
