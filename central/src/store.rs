//! What Central Command keeps: one SQLite database.
//!
//! Writes go through one connection and begin with BEGIN IMMEDIATE, so that no transaction fails half
//! way because another one wrote first; reads have connections of their own that cannot write. WAL with
//! synchronous FULL: what was answered is on the disk. Check-ins, the most frequent of all calls, share transactions. Another process (the command line beside a
//! running server) is waited for at most [`BUSY_TIMEOUT`].

mod appliances;
mod audit;
mod certificates;
mod chain;
mod chain_states;
mod changes;
mod check_ins;
mod credentials;
mod enrolment;
mod escalations;
mod evidence;
mod evidence_subjects;
mod executions;
mod figures;
mod health;
mod incidents;
mod kill_switch;
mod once;
mod order_state;
mod orders;
mod people;
mod rules;
mod sessions;
mod sites;
mod stamps;
mod standing;
mod targets;

pub(crate) use appliances::ApplianceRow;
pub(crate) use audit::{Action, Actor, AuditRow, Entry};
pub(crate) use certificates::{CertificateRow, Worth};
pub(crate) use chain::{Link, Verdict};
pub(crate) use chain_states::{ChainState, begun_anew};
pub(crate) use check_ins::KeyMismatch;
pub(crate) use credentials::{CredentialRow, Recipient, Sealed};
pub(crate) use enrolment::{Enrolled, Keys, NewToken, NotEnrolled};
pub(crate) use escalations::EscalationRow;
pub(crate) use evidence::{BundleRow, NewEvidence, SuspiciousRow};
pub(crate) use evidence_subjects::{EvidenceFilter, StoredBundle};
pub(crate) use executions::ExecutionRow;
pub(crate) use figures::Figures;
pub(crate) use incidents::{IncidentRow, Resolved};
pub(crate) use kill_switch::{Change, KillSwitchRow};
pub(crate) use once::Once;
pub(crate) use order_state::OrderState;
pub(crate) use orders::{CannotOrder, Noted, OrderFilter, OrderRow, SignedOrder};
pub(crate) use people::PersonRow;
pub(crate) use rules::RuleRow;
pub(crate) use sessions::{ABSOLUTE, CameBy, IDLE, SessionRow};
pub(crate) use sites::SiteRow;
pub(crate) use stamps::StampKind;
pub(crate) use targets::TargetRow;

use crate::clock;
use jiff::Timestamp;
use prometheus_client::metrics::histogram::Histogram;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// How long a write waits for another process to finish its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call waits for a connection before it is told to come again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many reads run at the same time.
const READERS: u32 = 4;

/// The bounds of the measured times of writes, in seconds.
const WRITE_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0];

/// The database did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// It cannot be opened.
    #[error("cannot open the database {} (was it made by `msp-central init`, and may this user write it?)", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    /// Its tables cannot be brought up to date.
    #[error("cannot bring the tables of {} up to date (is it a newer msp-central's database, or another program's?)", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        #[source]
        source: MigrateError,
    },
    /// A statement failed.
    #[error("the database failed while {doing}")]
    Query {
        /// What was being done.
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// What was stored cannot be read back.
    #[error("the database holds {what} that cannot be read")]
    Unreadable {
        /// What it was taken for, with its article.
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// A value does not fit the column it is meant for.
    #[error("{what} cannot be written as JSON")]
    Unwritable {
        /// What it is.
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

/// Names what was being done when a statement failed.
fn during(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Query { doing, source }
}

fn to_json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Unwritable { what, source })
}

fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Unreadable { what, source })
}

/// A time as it is stored.
fn text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Measures how long the pool's one connection is out: a transaction from its beginning to its end.
fn measured(pool: SqlitePoolOptions, seconds: &Histogram) -> SqlitePoolOptions {
    let out_since = Arc::new(Mutex::new(None));
    let (taken, seconds) = (Arc::clone(&out_since), seconds.clone());
    pool.before_acquire(move |_, _| {
        *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::instant());
        Box::pin(async { Ok(true) })
    })
    .after_release(move |_, _| {
        if let Some(since) = out_since.lock().unwrap_or_else(PoisonError::into_inner).take() {
            seconds.observe(since.elapsed().as_secs_f64());
        }
        Box::pin(async { Ok(true) })
    })
}

/// The database, open.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    write_seconds: Histogram,
    check_ins: Arc<check_ins::Queue>,
}

impl Store {
    /// Opens the database at `path`, which must exist, and brings its tables up to date. An empty file is
    /// an empty database.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let open = |source| StoreError::Open { path: path.to_owned(), source };
        // A connection to a file does not break while it lies idle: to try each before its use costs and finds nothing.
        let pool = |connections| {
            let options = SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false);
            options.acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let write_seconds = Histogram::new(WRITE_BUCKETS);
        let writer = measured(pool(1), &write_seconds).connect_with(options.clone()).await.map_err(open)?;
        MIGRATIONS.run(&writer).await.map_err(|source| StoreError::Migrate { path: path.to_owned(), source })?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(open)?;
        Ok(Self { writer, readers, write_seconds, check_ins: Arc::default() })
    }

    /// How long each transaction that may write held the one connection, in seconds.
    pub(crate) fn write_seconds(&self) -> Histogram {
        self.write_seconds.clone()
    }

    /// Begins a transaction that may write.
    async fn write(&self, doing: &'static str) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(during(doing))
    }

    /// Closes every connection; what was written is then in the one file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
