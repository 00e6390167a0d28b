//! The tables, as migrations: an older file is brought up to date, a newer one is refused.

use super::{StoreError, opening};
use rusqlite::Connection;
use rusqlite_migration::{M, Migrations, SchemaVersion};
use std::path::Path;

const STEPS: &[M<'static>] =
    &[M::up(include_str!("migrations/0001_start.sql")), M::up(include_str!("migrations/0002_order_envelopes.sql"))];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

fn too_new(file: &Path) -> StoreError {
    StoreError::TooNew { file: file.to_owned() }
}

pub fn migrate(db: &mut Connection, file: &Path) -> Result<(), StoreError> {
    MIGRATIONS.to_latest(db).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => opening(file, err),
        _ => too_new(file),
    })
}

pub fn require_current(db: &Connection, file: &Path) -> Result<(), StoreError> {
    match MIGRATIONS.current_version(db) {
        Ok(SchemaVersion::Inside(_)) => Ok(()),
        Ok(SchemaVersion::NoneSet) => Err(StoreError::Absent { file: file.to_owned() }),
        Ok(SchemaVersion::Outside(_)) => Err(too_new(file)),
        Err(rusqlite_migration::Error::RusqliteError { err, .. }) => Err(opening(file, err)),
        Err(_) => Err(too_new(file)),
    }
}
