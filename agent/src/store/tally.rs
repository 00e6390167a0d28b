//! Counts over the whole state, for the status file and the metrics.

use super::{Doing, StoreError, evidence};
use crate::model::status::Tally;
use rusqlite::Connection;
use std::collections::BTreeMap;

fn grouped(db: &Connection, sql: &str) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut statement = db.prepare_cached(sql).doing("counting")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.and_then(Iterator::collect).doing("counting")
}

/// The counts; the number of servers is the caller's to add.
pub fn tally(db: &Connection) -> Result<Tally, StoreError> {
    Ok(Tally {
        servers: 0,
        checks: grouped(db, "SELECT status, count(*) FROM statuses GROUP BY status")?,
        incidents: grouped(db, "SELECT state, count(*) FROM incidents GROUP BY state")?,
        outcomes: grouped(db, "SELECT detail, count(*) FROM executions WHERE detail IS NOT NULL GROUP BY detail")?,
        evidence: evidence::last(db)?.map_or(0, |last| last.sequence),
    })
}
