//! Execution telemetry: each plan that was carried out or refused.

use super::once::{Once, Table};
use super::{Store, StoreError, during, from_json, to_json};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::api::Execution;
use serde::Serialize;
use sqlx::Row;

const TABLE: Table = Table {
    doing: "recording an execution",
    find: "SELECT content FROM executions WHERE site_id = $1 AND appliance = $2 AND execution_id = $3",
    insert: "INSERT INTO executions (site_id, appliance, execution_id, started_at, received_at, content)
             VALUES ($1, $2, $3, $4, $5, $6)",
};

/// An execution as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct ExecutionRow {
    #[serde(flatten)]
    pub(crate) execution: Execution,
    pub(crate) appliance: String,
    pub(crate) received_at: String,
}

impl Store {
    /// Records an execution.
    pub(crate) async fn add_execution(
        &self,
        who: &Appliance,
        execution: &Execution,
        now: Timestamp,
    ) -> Result<Once, StoreError> {
        let content = to_json("an execution", execution)?;
        self.insert_once(&TABLE, who, &execution.execution_id, execution.started_at, content, now).await
    }

    /// At most `limit` executions of one site or of all, the newest first.
    pub(crate) async fn executions(&self, site: Option<&str>, limit: u32) -> Result<Vec<ExecutionRow>, StoreError> {
        let doing = "listing the executions";
        let rows = sqlx::query(
            "SELECT appliance, received_at, content FROM executions WHERE site_id = COALESCE($1, site_id)
             ORDER BY started_at DESC, execution_id LIMIT $2",
        )
        .bind(site)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter()
            .map(|row| {
                Ok(ExecutionRow {
                    execution: from_json("an execution", row.try_get("content").map_err(during(doing))?)?,
                    appliance: row.try_get("appliance").map_err(during(doing))?,
                    received_at: row.try_get("received_at").map_err(during(doing))?,
                })
            })
            .collect()
    }
}
