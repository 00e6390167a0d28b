//! Escalations: the tickets that wait for a person.

use super::once::{Once, Table};
use super::{Store, StoreError, during, from_json, to_json};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::api::Escalation;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

const TABLE: Table = Table {
    doing: "recording an escalation",
    find: "SELECT content FROM escalations WHERE site_id = $1 AND appliance = $2 AND ticket_id = $3",
    insert: "INSERT INTO escalations (site_id, appliance, ticket_id, created_at, received_at, content)
             VALUES ($1, $2, $3, $4, $5, $6)",
};

/// An escalation as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct EscalationRow {
    #[serde(flatten)]
    pub(crate) escalation: Escalation,
    pub(crate) appliance: String,
    pub(crate) received_at: String,
}

impl Store {
    /// Records an escalation.
    pub(crate) async fn add_escalation(
        &self,
        who: &Appliance,
        escalation: &Escalation,
        now: Timestamp,
    ) -> Result<Once, StoreError> {
        let content = to_json("an escalation", escalation)?;
        self.insert_once(&TABLE, who, &escalation.ticket_id, escalation.created_at, content, now).await
    }

    /// At most `limit` escalations of one site or of all, the newest first.
    pub(crate) async fn escalations(&self, site: Option<&str>, limit: u32) -> Result<Vec<EscalationRow>, StoreError> {
        let doing = "listing the escalations";
        let rows = sqlx::query(
            "SELECT appliance, received_at, content FROM escalations WHERE site_id = COALESCE($1, site_id)
             ORDER BY created_at DESC, ticket_id LIMIT $2",
        )
        .bind(site)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| read(doing, row)).collect()
    }

    /// The escalations of one incident, the newest first.
    pub(crate) async fn tickets_of_incident(
        &self,
        who: &Appliance,
        incident: &str,
    ) -> Result<Vec<EscalationRow>, StoreError> {
        let doing = "listing an incident's escalations";
        let rows = sqlx::query(
            "SELECT appliance, received_at, content FROM escalations
             WHERE site_id = $1 AND appliance = $2 AND content ->> '$.incident_id' = $3
             ORDER BY created_at DESC, ticket_id",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(incident)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| read(doing, row)).collect()
    }

    /// Every escalation of an incident that is open, the newest first.
    pub(crate) async fn open_escalations(&self) -> Result<Vec<EscalationRow>, StoreError> {
        let doing = "listing the escalations of open incidents";
        let rows = sqlx::query(
            "SELECT e.appliance, e.received_at, e.content FROM escalations e
             JOIN incidents i ON i.site_id = e.site_id AND i.appliance = e.appliance
                  AND i.incident_id = e.content ->> '$.incident_id' AND i.resolved_at IS NULL
             ORDER BY e.created_at DESC, e.ticket_id",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| read(doing, row)).collect()
    }
}

fn read(doing: &'static str, row: &SqliteRow) -> Result<EscalationRow, StoreError> {
    Ok(EscalationRow {
        escalation: from_json("an escalation", row.try_get("content").map_err(during(doing))?)?,
        appliance: row.try_get("appliance").map_err(during(doing))?,
        received_at: row.try_get("received_at").map_err(during(doing))?,
    })
}
