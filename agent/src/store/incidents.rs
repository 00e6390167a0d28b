//! Incidents: one open one for each trouble, from first sight to resolution.

use super::statuses::Key;
use super::{Doing, StoreError};
use jiff::Timestamp;
use msp_contracts::evidence::Target;
use msp_contracts::finding::Finding;
use msp_contracts::ids::IncidentId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The agent may still mend it.
    Open,
    /// A person has it.
    Escalated,
    /// It is over.
    Resolved,
}

/// The incident of a trouble that is going on.
#[derive(Debug, Clone)]
pub struct Ongoing {
    pub incident_id: IncidentId,
    pub state: State,
    /// The guardrail that refused its plan the last time, when one did.
    pub refusal: Option<String>,
    /// It was opened because the check could not tell.
    pub unknown: bool,
    /// How the last thing that was done about it ended, and the runbook.
    pub last: Option<Last>,
}

/// How the last thing that was done about an incident ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    pub detail: String,
    pub runbook_id: Option<String>,
}

/// Reads an id from the store.
pub(super) fn id(text: String) -> Result<IncidentId, StoreError> {
    IncidentId::try_from(text).map_err(|error| StoreError::Form { what: "an incident id", detail: error.to_string() })
}

fn state(text: &str) -> State {
    match text {
        "resolved" => State::Resolved,
        "escalated" => State::Escalated,
        _ => State::Open,
    }
}

/// The ongoing incident of this trouble.
pub fn ongoing(db: &Connection, key: &Key) -> Result<Option<Ongoing>, StoreError> {
    let found = db
        .query_row(
            "SELECT incident_id, state, refusal, finding ->> 'status' = 'error', e.detail, e.runbook_id
             FROM incidents i LEFT JOIN executions e USING (incident_id)
             WHERE i.host_id = ?1 AND check_type = ?2 AND subject = ?3 AND state <> 'resolved'
             ORDER BY e.rowid DESC LIMIT 1",
            [&key.host_id, &key.check_type, &key.subject],
            |row| {
                let detail: Option<String> = row.get(4)?;
                let runbook_id = row.get(5)?;
                let last = detail.map(|detail| Last { detail, runbook_id });
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, last))
            },
        )
        .optional()
        .doing("reading incidents")?;
    let Some((incident_id, found, refusal, unknown, last)) = found else { return Ok(None) };
    Ok(Some(Ongoing { incident_id: id(incident_id)?, state: state(&found), refusal, unknown, last }))
}

/// The incidents of a machine that are going on: id and the part of which check.
pub fn ongoing_on(db: &Connection, host_id: &str) -> Result<Vec<(IncidentId, Key)>, StoreError> {
    let mut statement = db
        .prepare("SELECT incident_id, check_type, subject FROM incidents WHERE host_id = ?1 AND state <> 'resolved'")
        .doing("reading incidents")?;
    let rows = statement
        .query_map([host_id], |row| {
            let key = Key { host_id: host_id.to_owned(), check_type: row.get(1)?, subject: row.get(2)? };
            Ok((row.get::<_, String>(0)?, key))
        })
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .doing("reading incidents")?;
    rows.into_iter().map(|(text, key)| Ok((id(text)?, key))).collect()
}

/// Every machine with an incident that is going on.
pub fn hosts(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement =
        db.prepare("SELECT DISTINCT host_id FROM incidents WHERE state <> 'resolved'").doing("reading incidents")?;
    statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).doing("reading incidents")
}

/// Opens an incident; `finding` has been redacted.
pub fn open(
    db: &Connection,
    id: &IncidentId,
    target: &Target,
    finding: &Finding,
    now: Timestamp,
) -> Result<(), StoreError> {
    let form = |error: serde_json::Error| StoreError::Form { what: "a finding", detail: error.to_string() };
    db.execute(
        "INSERT INTO incidents (incident_id, host_id, host_name, platform, check_type, subject, severity, finding, created_at, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open')",
        params![
            id.as_str(),
            target.host_id,
            target.name,
            target.platform.as_str(),
            finding.check_type,
            finding.subject.as_deref().unwrap_or(""),
            finding.severity.as_str(),
            serde_json::to_string(finding).map_err(form)?,
            now.to_string(),
        ],
    )
    .doing("opening an incident")?;
    Ok(())
}

/// A person has it now.
pub fn escalated(db: &Connection, id: &IncidentId) -> Result<(), StoreError> {
    db.execute("UPDATE incidents SET state = 'escalated' WHERE incident_id = ?1", [id.as_str()])
        .doing("escalating an incident")?;
    Ok(())
}

/// Its plan was refused, and by which guardrail: the same one leaves evidence once, whatever numbers its reason has.
pub fn refused(db: &Connection, id: &IncidentId, guardrail: &str) -> Result<(), StoreError> {
    db.execute("UPDATE incidents SET refusal = ?2 WHERE incident_id = ?1", [id.as_str(), guardrail])
        .doing("noting a refusal")?;
    Ok(())
}

/// It is over.
pub fn resolved(db: &Connection, id: &IncidentId, resolution: &str, now: Timestamp) -> Result<(), StoreError> {
    db.execute(
        "UPDATE incidents SET state = 'resolved', resolved_at = ?2, resolution = ?3 WHERE incident_id = ?1",
        [id.as_str(), &now.to_string(), resolution],
    )
    .doing("resolving an incident")?;
    Ok(())
}

/// One incident with the last thing that was done about it, for people and scripts.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub incident_id: String,
    pub host_id: String,
    pub host_name: String,
    pub check: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub severity: String,
    pub state: State,
    pub created_at: String,
    pub resolved_at: Option<String>,
    pub resolution: Option<String>,
    pub level: Option<String>,
    pub rule_id: Option<String>,
    pub runbook_id: Option<String>,
    pub outcome: Option<String>,
    pub error: Option<String>,
    pub evidence_id: Option<String>,
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let subject: String = row.get("subject")?;
    let found: String = row.get("state")?;
    Ok(Listed {
        incident_id: row.get("incident_id")?,
        host_id: row.get("host_id")?,
        host_name: row.get("host_name")?,
        check: row.get("check_type")?,
        subject: (!subject.is_empty()).then_some(subject),
        severity: row.get("severity")?,
        state: state(&found),
        created_at: row.get("created_at")?,
        resolved_at: row.get("resolved_at")?,
        resolution: row.get("resolution")?,
        level: row.get("level")?,
        rule_id: row.get("rule_id")?,
        runbook_id: row.get("runbook_id")?,
        outcome: row.get("detail")?,
        error: row.get("error")?,
        evidence_id: row.get("evidence_id")?,
    })
}

/// Every incident, newest first; only those that go on when `ongoing_only`.
pub fn list(db: &Connection, ongoing_only: bool) -> Result<Vec<Listed>, StoreError> {
    let mut statement = db
        .prepare(
            "SELECT incidents.*, level, rule_id, runbook_id, detail, error, evidence_id FROM incidents
             LEFT JOIN executions ON executions.rowid =
               (SELECT max(rowid) FROM executions e WHERE e.incident_id = incidents.incident_id)
             WHERE NOT ?1 OR state <> 'resolved'
             ORDER BY created_at DESC, incidents.rowid DESC",
        )
        .doing("reading incidents")?;
    statement.query_map([ongoing_only], listed).and_then(Iterator::collect).doing("reading incidents")
}
