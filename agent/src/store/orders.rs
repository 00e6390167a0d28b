//! Orders of Central Command: each envelope is dealt with once, whatever becomes of it.
//!
//! An accepted order is here before anything is done about it, and waits here until it is over. Refused ones are
//! kept too, the newest of them: the same bytes sent again are known.

use super::evidence::time;
use super::{Doing, StoreError};
use jiff::Timestamp;
use msp_contracts::order::Order;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// Refused orders beyond this many are forgotten, oldest first: a flood must not fill the disk.
const REFUSED_KEPT: u32 = 500;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Verified and stored; waits to be carried out.
    Accepted,
    /// Being carried out: an intent is stored.
    Begun,
    Done,
    Failed,
    /// It did not verify, or could never be carried out.
    Refused,
    /// Taken back by a later order.
    Revoked,
    /// Not carried out by its execute-by time.
    Late,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
            Self::Late => "late",
        }
    }
}

/// What an accepted order waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitsFor {
    /// The machine it is about, by address or host id.
    pub host_id: Option<String>,
    /// The check it is about.
    pub check_type: Option<String>,
    /// The part of the check.
    pub subject: Option<String>,
    /// The machines that have to be looked at yet.
    pub looks: Vec<String>,
}

/// An order that is not over.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub order: Order,
    pub received_at: Timestamp,
    pub check_type: Option<String>,
    /// The machines that have to be looked at yet.
    pub looks: Vec<String>,
    /// Why it was not carried out the last time it was tried.
    pub reason: Option<String>,
}

/// Whether these bytes have been dealt with.
pub fn known(db: &Connection, hash: &str) -> Result<bool, StoreError> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM orders WHERE hash = ?1)", [hash], |row| row.get(0))
        .doing("looking for an order")
}

fn form(error: impl std::fmt::Display) -> StoreError {
    StoreError::Form { what: "an order", detail: error.to_string() }
}

/// Stores an accepted order; `hash` and `envelope` are what came.
pub fn accepted(
    db: &Connection,
    (hash, envelope): (&str, &str),
    order: &Order,
    waits: &WaitsFor,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO orders (hash, order_id, state, class, host_id, check_type, subject, looks, content, received_at, execute_by, envelope)
         VALUES (?1, ?2, 'accepted', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            hash,
            order.order_id.as_str(),
            order.action.class(),
            waits.host_id,
            waits.check_type,
            waits.subject.as_deref().unwrap_or(""),
            serde_json::to_string(&waits.looks).map_err(form)?,
            serde_json::to_string(order).map_err(form)?,
            now.to_string(),
            order.execute_by.to_string(),
            envelope,
        ],
    )
    .doing("storing an order")?;
    Ok(())
}

/// Stores a refused order; `class` where it could be read.
pub fn refused(
    db: &Connection,
    hash: &str,
    order_id: &str,
    class: Option<&str>,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO orders (hash, order_id, state, class, subject, looks, received_at, finished_at, reason)
         VALUES (?1, ?2, 'refused', ?3, '', '[]', ?4, ?4, ?5)",
        params![hash, order_id, class, now.to_string(), reason],
    )
    .doing("storing a refused order")?;
    db.execute(
        "DELETE FROM orders WHERE state = 'refused' AND rowid NOT IN
           (SELECT rowid FROM orders WHERE state = 'refused' ORDER BY rowid DESC LIMIT ?1)",
        [REFUSED_KEPT],
    )
    .doing("forgetting refused orders")?;
    Ok(())
}

/// How many orders were refused since `since`; a time ahead of `now` was written by a clock that was ahead.
pub fn refused_since(db: &Connection, since: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
    // Times are text with as many digits as they need: julianday compares them as times.
    db.query_row(
        "SELECT count(*) FROM orders WHERE state = 'refused'
           AND julianday(received_at) > julianday(?1) AND julianday(received_at) <= julianday(?2)",
        [since.to_string(), now.to_string()],
        |row| row.get(0),
    )
    .doing("counting refused orders")
}

/// How many orders are not over.
pub fn unfinished(db: &Connection) -> Result<u64, StoreError> {
    db.query_row("SELECT count(*) FROM orders WHERE state IN ('accepted', 'begun')", [], |row| row.get(0))
        .doing("counting orders")
}

/// Whether an order of this id was ever accepted.
pub fn was_accepted(db: &Connection, order_id: &str) -> Result<Option<(State, Order)>, StoreError> {
    let found = db
        .query_row("SELECT state, content FROM orders WHERE order_id = ?1 AND state <> 'refused'", [order_id], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()
        .doing("reading an order")?;
    found.map(|(found, content)| Ok((state(&found)?, serde_json::from_str(&content).map_err(form)?))).transpose()
}

fn state(text: &str) -> Result<State, StoreError> {
    use State::{Accepted, Begun, Done, Failed, Late, Refused, Revoked};
    let all = [Accepted, Begun, Done, Failed, Refused, Revoked, Late];
    all.into_iter().find(|one| one.as_str() == text).ok_or_else(|| form(format!("state {text:?}")))
}

/// It moves to `to`; `reason` says why it was not carried out.
pub fn moved(
    db: &Connection,
    order_id: &str,
    to: State,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let finished = !matches!(to, State::Accepted | State::Begun);
    db.execute(
        "UPDATE orders SET state = ?2, reason = ?3, finished_at = ?4 WHERE order_id = ?1 AND state <> 'refused'",
        params![order_id, to.as_str(), reason, finished.then(|| now.to_string())],
    )
    .doing("moving an order on")?;
    Ok(())
}

/// It was tried and has to wait, and why.
pub fn waits(db: &Connection, order_id: &str, reason: &str) -> Result<(), StoreError> {
    db.execute("UPDATE orders SET reason = ?2 WHERE order_id = ?1 AND state = 'accepted'", [order_id, reason])
        .doing("noting why an order waits")?;
    Ok(())
}

/// These machines have to be looked at yet.
pub fn looks(db: &Connection, order_id: &str, hosts: &[String]) -> Result<(), StoreError> {
    let hosts = serde_json::to_string(hosts).map_err(form)?;
    db.execute("UPDATE orders SET looks = ?2 WHERE order_id = ?1 AND state = 'accepted'", [order_id, &hosts])
        .doing("noting what an order waits for")?;
    Ok(())
}

const WAITING: &str = "SELECT content, received_at, check_type, looks, reason FROM orders WHERE state = 'accepted'";

/// A row of [`WAITING`] as it is stored.
struct Stored {
    content: String,
    received_at: String,
    check_type: Option<String>,
    looks: String,
    reason: Option<String>,
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        content: row.get(0)?,
        received_at: row.get(1)?,
        check_type: row.get(2)?,
        looks: row.get(3)?,
        reason: row.get(4)?,
    })
}

/// The accepted orders of a class that have not begun, oldest first.
pub fn accepted_of(db: &Connection, class: &str) -> Result<Vec<Waiting>, StoreError> {
    read(db, &format!("{WAITING} AND class = ?1 ORDER BY rowid"), &[&class])
}

/// The accepted order to mend this part of this check of this machine, the oldest one.
pub fn accepted_for(db: &Connection, host_id: &str, check: &str, subject: &str) -> Result<Option<Waiting>, StoreError> {
    let sql = format!(
        "{WAITING} AND class IN ('run_runbook', 'switch_generation') AND host_id = ?1 AND check_type = ?2 AND subject = ?3 ORDER BY rowid LIMIT 1"
    );
    Ok(read(db, &sql, &[&host_id, &check, &subject])?.pop())
}

/// What Central Command signed, of an order that was accepted.
pub fn envelope(db: &Connection, order_id: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT envelope FROM orders WHERE order_id = ?1 AND state <> 'refused'";
    let found = db.query_row(sql, [order_id], |row| row.get::<_, Option<String>>(0)).optional();
    Ok(found.doing("reading an order")?.flatten())
}

/// The accepted orders whose time to be carried out is over.
pub fn overdue(db: &Connection, now: Timestamp) -> Result<Vec<Waiting>, StoreError> {
    let all = read(db, &format!("{WAITING} ORDER BY rowid"), &[])?;
    Ok(all.into_iter().filter(|one| one.order.execute_by <= now).collect())
}

fn read(db: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Waiting>, StoreError> {
    let mut statement = db.prepare(sql).doing("reading orders")?;
    let rows = statement
        .query_map(values, stored)
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .doing("reading orders")?;
    rows.into_iter()
        .map(|row| {
            Ok(Waiting {
                order: serde_json::from_str(&row.content).map_err(form)?,
                received_at: time(&row.received_at)?,
                check_type: row.check_type,
                looks: serde_json::from_str(&row.looks).map_err(form)?,
                reason: row.reason,
            })
        })
        .collect()
}

/// One order, for people and scripts.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub order_id: String,
    pub state: String,
    pub class: Option<String>,
    pub host_id: Option<String>,
    pub received_at: String,
    pub execute_by: Option<String>,
    pub finished_at: Option<String>,
    pub reason: Option<String>,
    pub issued_by: Option<String>,
    pub asked_because: Option<String>,
}

/// Every order that is kept, newest first; only those not over when `unfinished_only`.
pub fn list(db: &Connection, unfinished_only: bool) -> Result<Vec<Listed>, StoreError> {
    let mut statement = db
        .prepare(
            "SELECT order_id, state, class, host_id, received_at, execute_by, finished_at, reason,
                    content ->> 'issued_by', content ->> 'reason'
             FROM orders WHERE NOT ?1 OR state IN ('accepted', 'begun') ORDER BY rowid DESC",
        )
        .doing("reading orders")?;
    let rows = statement.query_map([unfinished_only], |row| {
        Ok(Listed {
            order_id: row.get(0)?,
            state: row.get(1)?,
            class: row.get(2)?,
            host_id: row.get(3)?,
            received_at: row.get(4)?,
            execute_by: row.get(5)?,
            finished_at: row.get(6)?,
            reason: row.get(7)?,
            issued_by: row.get(8)?,
            asked_because: row.get(9)?,
        })
    });
    rows.and_then(Iterator::collect).doing("reading orders")
}
