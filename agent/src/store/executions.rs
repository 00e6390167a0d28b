//! Executions: the intent, stored before anything is done, and the outcome, stored after.

use super::evidence::time;
use super::statuses::Key;
use super::{Doing, StoreError};
use jiff::Timestamp;
use msp_contracts::ids::{BundleId, IncidentId};
use msp_contracts::outcome::{Detail, Level};
use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

/// What is stored before anything is done.
#[derive(Debug, Clone)]
pub struct Intent<'a> {
    pub execution_id: &'a str,
    pub incident_id: &'a IncidentId,
    pub host_id: &'a str,
    /// The plan as JSON, to carry on with after a restart.
    pub plan: &'a str,
    pub level: Level,
    pub rule_id: Option<&'a str>,
    pub runbook_id: Option<&'a str>,
    pub started_at: Timestamp,
    /// Until then a phase on the target may still be running: it is only looked at, never acted on again.
    pub may_run_until: Timestamp,
}

/// An intent without an outcome.
#[derive(Debug)]
pub struct Open<P> {
    pub execution_id: String,
    pub plan: P,
    pub started_at: Timestamp,
    pub may_run_until: Timestamp,
}

/// Stores the intent.
pub fn intend(db: &Connection, intent: &Intent<'_>) -> Result<(), StoreError> {
    let level = format!("L{}", intent.level.number());
    db.execute(
        "INSERT INTO executions (execution_id, incident_id, host_id, plan, level, rule_id, runbook_id, started_at, may_run_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            intent.execution_id,
            intent.incident_id.as_str(),
            intent.host_id,
            intent.plan,
            level,
            intent.rule_id,
            intent.runbook_id,
            intent.started_at.to_string(),
            intent.may_run_until.to_string(),
        ],
    )
    .doing("storing an intent")?;
    Ok(())
}

/// Stores the outcome.
pub fn complete(
    db: &Connection,
    execution_id: &str,
    detail: Detail,
    error: Option<&str>,
    evidence_id: BundleId,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE executions SET completed_at = ?2, detail = ?3, error = ?4, evidence_id = ?5 WHERE execution_id = ?1",
        params![execution_id, now.to_string(), detail.as_str(), error, evidence_id.to_string()],
    )
    .doing("storing an outcome")?;
    Ok(())
}

/// The evidence that outcomes name and that is not there.
pub fn unproved(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = db
        .prepare(
            "SELECT evidence_id FROM executions
             WHERE evidence_id IS NOT NULL AND evidence_id NOT IN (SELECT bundle_id FROM evidence) ORDER BY rowid",
        )
        .doing("reading outcomes")?;
    statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).doing("reading outcomes")
}

/// Whether there is an intent without an outcome for this part of this check of this machine: something may still
/// be running there.
pub fn any_open(db: &Connection, key: &Key) -> Result<bool, StoreError> {
    db.query_row(
        "SELECT EXISTS (SELECT 1 FROM executions e JOIN incidents i USING (incident_id)
                        WHERE e.host_id = ?1 AND completed_at IS NULL AND check_type = ?2 AND subject = ?3)",
        [&key.host_id, &key.check_type, &key.subject],
        |row| row.get(0),
    )
    .doing("reading open intents")
}

/// The intents of a machine that have no outcome, oldest first.
pub fn open_on<P: DeserializeOwned>(db: &Connection, host_id: &str) -> Result<Vec<Open<P>>, StoreError> {
    let mut statement = db
        .prepare(
            "SELECT execution_id, plan, started_at, may_run_until FROM executions
             WHERE host_id = ?1 AND completed_at IS NULL ORDER BY rowid",
        )
        .doing("reading open intents")?;
    let rows = statement
        .query_map([host_id], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        })
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .doing("reading open intents")?;
    rows.into_iter()
        .map(|(execution_id, plan, started_at, may_run_until)| {
            let plan = serde_json::from_str(&plan)
                .map_err(|error| StoreError::Form { what: "an intent", detail: error.to_string() })?;
            Ok(Open { execution_id, plan, started_at: time(&started_at)?, may_run_until: time(&may_run_until)? })
        })
        .collect()
}
