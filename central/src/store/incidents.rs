//! Incidents and how they ended.

use super::once::{Once, Table};
use super::{Store, StoreError, during, from_json, text, to_json};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::api::{Incident, IncidentResolution};
use msp_contracts::ids::IncidentId;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

const TABLE: Table = Table {
    doing: "recording an incident",
    find: "SELECT content FROM incidents WHERE site_id = $1 AND appliance = $2 AND incident_id = $3",
    insert: "INSERT INTO incidents (site_id, appliance, incident_id, created_at, received_at, content)
             VALUES ($1, $2, $3, $4, $5, $6)",
};

/// What became of a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// The incident is resolved now.
    Now,
    /// It was resolved before; the first resolution stands.
    Before,
    /// There is no such incident.
    Unknown,
}

/// An incident as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct IncidentRow {
    #[serde(flatten)]
    pub(crate) incident: Incident,
    pub(crate) appliance: String,
    pub(crate) received_at: String,
    /// `None` while it is open.
    pub(crate) resolution: Option<IncidentResolution>,
}

impl Store {
    /// Records an incident.
    pub(crate) async fn add_incident(
        &self,
        who: &Appliance,
        incident: &Incident,
        now: Timestamp,
    ) -> Result<Once, StoreError> {
        let content = to_json("an incident", incident)?;
        self.insert_once(&TABLE, who, incident.incident_id.as_str(), incident.created_at, content, now).await
    }

    /// Records how an incident ended; the first word stands.
    pub(crate) async fn resolve_incident(
        &self,
        who: &Appliance,
        id: &IncidentId,
        resolution: &IncidentResolution,
    ) -> Result<Resolved, StoreError> {
        let doing = "resolving an incident";
        let mut tx = self.write(doing).await?;
        let resolved: Option<Option<String>> = sqlx::query_scalar(
            "SELECT resolved_at FROM incidents WHERE site_id = $1 AND appliance = $2 AND incident_id = $3",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(id.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(during(doing))?;
        match resolved {
            None => return Ok(Resolved::Unknown),
            Some(Some(_)) => return Ok(Resolved::Before),
            Some(None) => {}
        }
        sqlx::query(
            "UPDATE incidents SET resolved_at = $4, resolution = $5
             WHERE site_id = $1 AND appliance = $2 AND incident_id = $3",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(id.as_str())
        .bind(text(resolution.resolved_at))
        .bind(to_json("a resolution", resolution)?)
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Resolved::Now)
    }

    /// At most `limit` incidents of one site or of all: open ones first, then the newest.
    pub(crate) async fn incidents(&self, site: Option<&str>, limit: u32) -> Result<Vec<IncidentRow>, StoreError> {
        let doing = "listing the incidents";
        let rows = sqlx::query(
            "SELECT appliance, received_at, content, resolution FROM incidents WHERE site_id = COALESCE($1, site_id)
             ORDER BY CASE WHEN resolved_at IS NULL THEN 0 ELSE 1 END, created_at DESC, incident_id LIMIT $2",
        )
        .bind(site)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter().map(|row| read(doing, row)).collect()
    }

    /// One incident.
    pub(crate) async fn incident(&self, who: &Appliance, id: &str) -> Result<Option<IncidentRow>, StoreError> {
        let doing = "looking up an incident";
        let row = sqlx::query(
            "SELECT appliance, received_at, content, resolution FROM incidents
             WHERE site_id = $1 AND appliance = $2 AND incident_id = $3",
        )
        .bind(&who.site)
        .bind(&who.appliance)
        .bind(id)
        .fetch_optional(&self.readers)
        .await
        .map_err(during(doing))?;
        row.map(|row| read(doing, &row)).transpose()
    }
}

fn read(doing: &'static str, row: &SqliteRow) -> Result<IncidentRow, StoreError> {
    let resolution: Option<&str> = row.try_get("resolution").map_err(during(doing))?;
    Ok(IncidentRow {
        incident: from_json("an incident", row.try_get("content").map_err(during(doing))?)?,
        appliance: row.try_get("appliance").map_err(during(doing))?,
        received_at: row.try_get("received_at").map_err(during(doing))?,
        resolution: resolution.map(|text| from_json("a resolution", text)).transpose()?,
    })
}
