//! Execution telemetry: each plan that was carried out or refused.

use super::once::{Once, Table};
use super::{Store, StoreError, during, from_json, to_json};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::api::Execution;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

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
    /// The machine's name, from the incident; not part of the record as it was reported.
    #[serde(skip)]
    pub(crate) host_name: Option<String>,
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
            "SELECT e.appliance, e.received_at, e.content, i.content ->> '$.host_name' AS host_name FROM executions e
             LEFT JOIN incidents i ON i.site_id = e.site_id AND i.appliance = e.appliance
                  AND i.incident_id = e.content ->> '$.incident_id'
             WHERE e.site_id = COALESCE($1, e.site_id) ORDER BY e.started_at DESC, e.execution_id LIMIT $2",
        )
        .bind(site)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| read(doing, row)).collect()
    }

    /// Every execution for an incident that is open, the newest first.
    pub(crate) async fn open_executions(&self) -> Result<Vec<ExecutionRow>, StoreError> {
        let doing = "listing the executions of open incidents";
        let rows = sqlx::query(
            "SELECT e.appliance, e.received_at, e.content, i.content ->> '$.host_name' AS host_name FROM executions e
             JOIN incidents i ON i.site_id = e.site_id AND i.appliance = e.appliance
                  AND i.incident_id = e.content ->> '$.incident_id' AND i.resolved_at IS NULL
             ORDER BY e.started_at DESC, e.execution_id",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| read(doing, row)).collect()
    }
}

fn read(doing: &'static str, row: &SqliteRow) -> Result<ExecutionRow, StoreError> {
    Ok(ExecutionRow {
        execution: from_json("an execution", row.try_get("content").map_err(during(doing))?)?,
        appliance: row.try_get("appliance").map_err(during(doing))?,
        received_at: row.try_get("received_at").map_err(during(doing))?,
        host_name: row.try_get("host_name").map_err(during(doing))?,
    })
}
