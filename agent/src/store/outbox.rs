//! What is owed to Central Command: rows written in the transaction of what they report.
//!
//! Within a kind the order is kept. A row goes when it is acknowledged; one that the server refuses for
//! good is marked rejected, stays visible and blocks nothing.

use super::{Doing, StoreError};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

/// What a row reports; each kind keeps its own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Incident,
    Evidence,
    Execution,
    Escalation,
    Order,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Incident, Self::Evidence, Self::Execution, Self::Escalation, Self::Order];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Evidence => "evidence",
            Self::Execution => "execution",
            Self::Escalation => "escalation",
            Self::Order => "order",
        }
    }
}

/// One row on its way.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: i64,
    pub kind: Kind,
    pub path: String,
    pub body: Vec<u8>,
    pub attempts: u32,
}

/// Owes `body` to `path`. `key` is unique for what it reports: the same report is owed once.
pub fn owe<T: Serialize>(
    db: &Connection,
    kind: Kind,
    key: &str,
    path: &str,
    body: &T,
    now: Timestamp,
) -> Result<(), StoreError> {
    let body =
        serde_json::to_vec(body).map_err(|error| StoreError::Form { what: "a report", detail: error.to_string() })?;
    db.prepare_cached(
        "INSERT INTO outbox (kind, key, path, body, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (kind, key) DO NOTHING",
    )
    .and_then(|mut insert| insert.execute(params![kind.as_str(), key, path, body, now.to_string()]))
    .doing("storing what is owed to Central Command")?;
    Ok(())
}

/// The oldest row of a kind that still has to be sent.
pub fn oldest(db: &Connection, kind: Kind) -> Result<Option<Row>, StoreError> {
    db.query_row(
        "SELECT id, path, body, attempts FROM outbox WHERE kind = ?1 AND rejected = 0 ORDER BY id LIMIT 1",
        [kind.as_str()],
        |row| Ok(Row { id: row.get(0)?, kind, path: row.get(1)?, body: row.get(2)?, attempts: row.get(3)? }),
    )
    .optional()
    .doing("reading what is owed to Central Command")
}

/// It was acknowledged.
pub fn acknowledged(db: &Connection, id: i64) -> Result<(), StoreError> {
    db.execute("DELETE FROM outbox WHERE id = ?1", [id]).doing("removing what was acknowledged")?;
    Ok(())
}

/// It did not arrive, or the server could not take it now.
pub fn tried(db: &Connection, id: i64, error: &str) -> Result<(), StoreError> {
    db.execute("UPDATE outbox SET attempts = attempts + 1, last_error = ?2 WHERE id = ?1", params![id, error])
        .doing("noting a failed delivery")?;
    Ok(())
}

/// The server refused it for good.
pub fn rejected(db: &Connection, id: i64, error: &str) -> Result<(), StoreError> {
    db.execute(
        "UPDATE outbox SET attempts = attempts + 1, rejected = 1, last_error = ?2 WHERE id = ?1",
        params![id, error],
    )
    .doing("noting a rejected delivery")?;
    Ok(())
}

/// How many rows wait, and how many were rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Depth {
    pub pending: u64,
    pub rejected: u64,
}

/// How many rows wait, and how many were rejected.
pub fn depth(db: &Connection) -> Result<Depth, StoreError> {
    db.query_row(
        "SELECT count(*) FILTER (WHERE rejected = 0), count(*) FILTER (WHERE rejected = 1) FROM outbox",
        [],
        |row| Ok(Depth { pending: row.get(0)?, rejected: row.get(1)? }),
    )
    .doing("counting what is owed to Central Command")
}

/// One row, for people and scripts.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    pub id: i64,
    pub kind: String,
    /// What it reports: the id of an incident, bundle, execution or ticket.
    pub key: String,
    pub created_at: String,
    pub attempts: u32,
    pub rejected: bool,
    pub last_error: Option<String>,
}

/// Every row that is still here, oldest first; only the rejected ones when `rejected_only`.
pub fn list(db: &Connection, rejected_only: bool) -> Result<Vec<Listed>, StoreError> {
    let mut statement = db
        .prepare(
            "SELECT id, kind, key, created_at, attempts, rejected, last_error FROM outbox
             WHERE rejected OR NOT ?1 ORDER BY id",
        )
        .doing("reading the outbox")?;
    let rows = statement.query_map([rejected_only], |row| {
        Ok(Listed {
            id: row.get(0)?,
            kind: row.get(1)?,
            key: row.get(2)?,
            created_at: row.get(3)?,
            attempts: row.get(4)?,
            rejected: row.get(5)?,
            last_error: row.get(6)?,
        })
    });
    rows.and_then(Iterator::collect).doing("reading the outbox")
}

/// Owes rejected rows again: this one, or all of them. How many there were.
pub fn owe_again(db: &Connection, id: Option<i64>) -> Result<usize, StoreError> {
    db.execute("UPDATE outbox SET rejected = 0, attempts = 0 WHERE rejected AND id = ifnull(?1, id)", [id])
        .doing("owing rejected reports again")
}
