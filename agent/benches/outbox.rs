//! How many reports a second the agent's outbox takes from many writers at once: `cargo measure outbox`.
//!
//! The peer is rusqlite by hand, one thread, the same table, the same number of rows a transaction, WAL and
//! synchronous=FULL: what the disk gives. The agent pays a channel, a savepoint and an answer for each row besides.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and prints what it measured"
)]

use jiff::Timestamp;
use msp_agent::measure::Outbox;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const WRITERS: usize = 64;
const ROWS_OF_A_WRITER: usize = 150;
const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let body = Arc::new(json!({
        "schema_version": 1, "execution_id": "5e0bd7ba-24ab-4d86-9c2e-fb0f0f0a9a11", "incident_id": "INC-0123456789ab",
        "site_id": "clinic-a", "host_id": "192.0.2.7", "rule_id": "L1-WIN-SVC-001", "runbook_id": "RB-WIN-SVC-001",
        "level": "L1", "outcome": "success", "detail": "fixed", "evidence_id": "CB-2026-11-21-0001",
        "started_at": "2026-11-21T04:00:00Z", "completed_at": "2026-11-21T04:00:01Z",
    }));
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    // In turn, so that what else the machine does meets both.
    for _ in 0..ROUNDS {
        ours.push(runtime.block_on(agent(Arc::clone(&body))));
        peers.push(by_hand(&body));
    }
    let (ours, peer) = (median(ours), median(peers));
    println!(
        "outbox: {ours:.0} rows a second from {WRITERS} writers; rusqlite by hand, {WRITERS} rows a transaction: {peer:.0}; \
         ratio {:.2} (aim: 0.8)",
        ours / peer
    );
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn rate(began: Instant) -> f64 {
    (WRITERS * ROWS_OF_A_WRITER) as f64 / began.elapsed().as_secs_f64()
}

fn count(folder: &Path) -> usize {
    let db = Connection::open(folder.join("agent.db")).unwrap();
    db.query_row("SELECT count(*) FROM outbox", [], |row| row.get::<_, u64>(0)).unwrap().try_into().unwrap()
}

async fn agent(body: Arc<Value>) -> f64 {
    let folder = folder();
    let outbox = Outbox::open(folder.path(), Timestamp::now()).unwrap();
    let began = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (outbox, body) = (outbox.clone(), Arc::clone(&body));
            tokio::spawn(async move {
                for row in 0..ROWS_OF_A_WRITER {
                    outbox.owe(format!("{writer}-{row}"), Arc::clone(&body), Timestamp::now()).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let rate = rate(began);
    assert_eq!(count(folder.path()), WRITERS * ROWS_OF_A_WRITER);
    rate
}

fn by_hand(body: &Value) -> f64 {
    let folder = folder();
    drop(Outbox::open(folder.path(), Timestamp::now()).unwrap());
    let mut db = Connection::open(folder.path().join("agent.db")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    let began = Instant::now();
    for row in 0..ROWS_OF_A_WRITER {
        let group = db.transaction().unwrap();
        {
            let mut insert = group
                .prepare_cached(
                    "INSERT INTO outbox (kind, key, path, body, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (kind, key) DO NOTHING",
                )
                .unwrap();
            for writer in 0..WRITERS {
                let body = serde_json::to_vec(body).unwrap();
                let now = Timestamp::now().to_string();
                insert.execute(params!["execution", format!("{writer}-{row}"), "/executions", body, now]).unwrap();
            }
        }
        group.commit().unwrap();
    }
    let rate = rate(began);
    drop(db);
    assert_eq!(count(folder.path()), WRITERS * ROWS_OF_A_WRITER);
    rate
}
