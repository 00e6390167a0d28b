//! The evidence chain as it lies on the disk: exact bytes, the signed head, the server's receipts.

use super::{Doing, StoreError};
use jiff::Timestamp;
use msp_contracts::ids::BundleId;
use rusqlite::{Connection, OptionalExtension, params};

/// One bundle as it is stored.
#[derive(Debug, Clone)]
pub struct Row {
    pub sequence: u64,
    pub bundle_id: String,
    pub completed_at: String,
    pub envelope: Vec<u8>,
}

/// Reads a time from the store.
pub(super) fn time(text: &str) -> Result<Timestamp, StoreError> {
    text.parse().map_err(|error: jiff::Error| StoreError::Form { what: "a time", detail: error.to_string() })
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row { sequence: row.get(0)?, bundle_id: row.get(1)?, completed_at: row.get(2)?, envelope: row.get(3)? })
}

const COLUMNS: &str = "SELECT sequence, bundle_id, completed_at, envelope FROM evidence";

/// The last bundle of the chain.
pub fn last(db: &Connection) -> Result<Option<Row>, StoreError> {
    db.query_row(&format!("{COLUMNS} ORDER BY sequence DESC LIMIT 1"), [], row)
        .optional()
        .doing("reading the end of the evidence chain")
}

/// One bundle by its id.
pub fn get(db: &Connection, bundle_id: &str) -> Result<Option<Row>, StoreError> {
    db.query_row(&format!("{COLUMNS} WHERE bundle_id = ?1"), [bundle_id], row).optional().doing("reading evidence")
}

/// Every bundle after `sequence`, oldest first, given to `each` one at a time.
pub fn each<E: From<StoreError>>(db: &Connection, mut visit: impl FnMut(Row) -> Result<(), E>) -> Result<(), E> {
    let mut statement = db.prepare(&format!("{COLUMNS} ORDER BY sequence")).doing("reading evidence")?;
    let mut rows = statement.query([]).doing("reading evidence")?;
    while let Some(found) = rows.next().doing("reading evidence")? {
        visit(row(found).doing("reading evidence")?)?;
    }
    Ok(())
}

/// The number of the last bundle of a day, if there is one: numbers of a day count up along the chain, and it is looked
/// for from the chain's end. (The `+` keeps SQLite from reading, and sorting, the whole day for each new bundle.)
pub fn last_number(db: &Connection, day: jiff::civil::Date) -> Result<Option<u64>, StoreError> {
    let last: Option<String> = db
        .query_row(
            "SELECT bundle_id FROM evidence WHERE +bundle_id GLOB ?1 ORDER BY sequence DESC LIMIT 1",
            [format!("CB-{day}-*")],
            |row| row.get(0),
        )
        .optional()
        .doing("numbering evidence")?;
    let number = last.map(|last| last.parse().map(|id: BundleId| id.number)).transpose();
    number.map_err(|error: msp_contracts::ids::IdError| StoreError::Form {
        what: "a bundle id",
        detail: error.to_string(),
    })
}

/// Stores a bundle and the head that ends with it.
pub fn append(db: &Connection, bundle: &Row, head: &[u8]) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO evidence (sequence, bundle_id, completed_at, envelope) VALUES (?1, ?2, ?3, ?4)",
        params![bundle.sequence, bundle.bundle_id, bundle.completed_at, bundle.envelope],
    )
    .doing("storing evidence")?;
    db.execute(
        "INSERT INTO chain_head (only, envelope) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET envelope = excluded.envelope",
        [head],
    )
    .doing("storing the head of the evidence chain")?;
    Ok(())
}

/// The signed head.
pub fn head(db: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    db.query_row("SELECT envelope FROM chain_head", [], |row| row.get(0))
        .optional()
        .doing("reading the head of the evidence chain")
}

/// Stores Central Command's receipt for a bundle.
pub fn store_receipt(db: &Connection, sequence: u64, envelope: &[u8]) -> Result<(), StoreError> {
    db.execute("INSERT OR REPLACE INTO receipts (sequence, envelope) VALUES (?1, ?2)", params![sequence, envelope])
        .doing("storing a receipt")?;
    Ok(())
}

/// Central Command's receipts, oldest bundle first.
pub fn receipts(db: &Connection) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let mut statement =
        db.prepare("SELECT sequence, envelope FROM receipts ORDER BY sequence").doing("reading receipts")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).doing("reading receipts")
}
