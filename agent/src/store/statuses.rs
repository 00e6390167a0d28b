//! The last status of each check of each machine, and how often it stayed compliant since the last roll-up.

use super::evidence::time;
use super::{Doing, StoreError};
use jiff::Timestamp;
use msp_contracts::evidence::RollUpEntry;
use msp_contracts::finding::{CheckStatus, Finding, UnknownStatus};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

/// What a check is of: machine, check, and part of it ("" when it has no parts).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub host_id: String,
    pub check_type: String,
    pub subject: String,
}

impl Key {
    /// What a finding is of.
    pub fn of(finding: &Finding) -> Self {
        Self {
            host_id: finding.host_id.clone(),
            check_type: finding.check_type.clone(),
            subject: finding.subject.clone().unwrap_or_default(),
        }
    }
}

/// A status and since when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub status: CheckStatus,
    pub since: Timestamp,
}

/// Stores the status seen now and returns the one before, if there was one.
pub fn record(db: &Connection, key: &Key, status: CheckStatus, now: Timestamp) -> Result<Option<Held>, StoreError> {
    let before: Option<(String, String)> = db
        .query_row(
            "SELECT status, since FROM statuses WHERE host_id = ?1 AND check_type = ?2 AND subject = ?3",
            [&key.host_id, &key.check_type, &key.subject],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .doing("reading a check's last status")?;
    let now = now.to_string();
    let compliant = status == CheckStatus::Compliant;
    db.execute(
        "INSERT INTO statuses (host_id, check_type, subject, status, since, compliant, first_compliant, last_compliant)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, iif(?6, ?5, NULL), iif(?6, ?5, NULL))
         ON CONFLICT (host_id, check_type, subject) DO UPDATE SET
           since = iif(status = excluded.status, since, excluded.since),
           status = excluded.status,
           compliant = compliant + excluded.compliant,
           first_compliant = ifnull(first_compliant, excluded.first_compliant),
           last_compliant = ifnull(excluded.last_compliant, last_compliant)",
        params![key.host_id, key.check_type, key.subject, status.as_str(), now, compliant],
    )
    .doing("storing a check's status")?;
    let held = |(status, since): (String, String)| {
        let status = status
            .parse()
            .map_err(|error: UnknownStatus| StoreError::Form { what: "a check's status", detail: error.to_string() })?;
        Ok(Held { status, since: time(&since)? })
    };
    before.map(held).transpose()
}

/// One check's status, for people and scripts.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    pub host_id: String,
    pub check: String,
    pub status: String,
    pub since: String,
}

/// The statuses of a machine, or of every one; of one check when it is named.
pub fn on(db: &Connection, host_id: Option<&str>, check_type: Option<&str>) -> Result<Vec<Listed>, StoreError> {
    let mut statement = db
        .prepare(
            "SELECT host_id, check_type || iif(subject = '', '', '/' || subject), status, since FROM statuses
             WHERE host_id = ifnull(?1, host_id) AND check_type = ifnull(?2, check_type)
             ORDER BY host_id, check_type, subject",
        )
        .doing("reading statuses")?;
    let rows = statement.query_map(params![host_id, check_type], |row| {
        Ok(Listed { host_id: row.get(0)?, check: row.get(1)?, status: row.get(2)?, since: row.get(3)? })
    });
    rows.and_then(Iterator::collect).doing("reading statuses")
}

/// Whether any check was ever made.
pub fn any(db: &Connection) -> Result<bool, StoreError> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM statuses)", [], |row| row.get(0)).doing("reading statuses")
}

/// Forgets the parts of a check that were not seen this time: a service that was taken off a server.
pub fn keep_only(db: &Connection, host_id: &str, check_type: &str, subjects: &[String]) -> Result<(), StoreError> {
    let subjects = serde_json::Value::from(subjects).to_string();
    db.execute(
        "DELETE FROM statuses WHERE host_id = ?1 AND check_type = ?2
         AND subject NOT IN (SELECT value FROM json_each(?3))",
        [host_id, check_type, &subjects],
    )
    .doing("forgetting parts of a check")?;
    Ok(())
}

/// What stayed compliant since the last roll-up; the counts begin again.
pub fn take_roll_up(db: &Connection) -> Result<Vec<RollUpEntry>, StoreError> {
    let mut statement = db
        .prepare(
            "SELECT host_id, check_type, subject, compliant, first_compliant, last_compliant FROM statuses
             WHERE compliant > 0 ORDER BY host_id, check_type, subject",
        )
        .doing("reading what stayed compliant")?;
    let rows = statement
        .query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, u32>(3)?,
                row.get::<_, String>(4)?,
                row.get::<_, String>(5)?,
            ))
        })
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .doing("reading what stayed compliant")?;
    let mut entries = Vec::with_capacity(rows.len());
    for (host_id, check_type, subject, compliant, first, last) in rows {
        let check = if subject.is_empty() { check_type } else { format!("{check_type}/{subject}") };
        entries.push(RollUpEntry { host_id, check, compliant, first: time(&first)?, last: time(&last)? });
    }
    db.execute("UPDATE statuses SET compliant = 0, first_compliant = NULL, last_compliant = NULL", [])
        .doing("beginning a new roll-up")?;
    Ok(entries)
}

/// Forgets the machines that are not looked after any more.
pub fn keep_hosts(db: &Connection, host_ids: &[String]) -> Result<(), StoreError> {
    let host_ids = serde_json::Value::from(host_ids).to_string();
    db.execute("DELETE FROM statuses WHERE host_id NOT IN (SELECT value FROM json_each(?1))", [&host_ids])
        .doing("forgetting machines")?;
    Ok(())
}
