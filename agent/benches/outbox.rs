//! How many reports a second the agent's outbox takes from many writers at once: `cargo measure outbox`.
//!
//! The peer is rusqlite by hand, one thread, the same file and table, the same number of rows a transaction, WAL and
//! synchronous=FULL: what the disk gives. The agent pays a channel, a savepoint and an answer for each row besides.
//!
//! After each flush a thread has to get a processor again. Where others want it too, both wait for it most of the time,
//! and their ratio says nothing: so of many rounds the best counts, and how long it waited for a processor is printed.
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
use std::time::{Duration, Instant};

const WRITERS: usize = 64;
const ROWS_OF_A_WRITER: usize = 150;
const ROUNDS: usize = 15;
/// Waiting longer than this part of a round, the machine was measured and not the outbox.
const BUSY: f64 = 0.2;

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
    let (ours, peer) = (best(ours), best(peers));
    println!(
        "outbox: {:.0} rows a second from {WRITERS} writers; rusqlite by hand, {WRITERS} rows a transaction: {:.0}; \
         ratio {:.2} (aim: 0.8)",
        ours.rate,
        peer.rate,
        ours.rate / peer.rate
    );
    let (ours, peer) = (ours.waited, peer.waited);
    let verdict = if ours.max(peer) > BUSY { ": the machine is busy, and the ratio says little" } else { "" };
    println!("  waited for a processor: {:.0} % and {:.0} % of the time{verdict}", ours * 100.0, peer * 100.0);
}

/// One round: rows a second, and the part of its time in which the thread that writes waited for a processor.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    waited: f64,
}

fn best(rounds: Vec<Round>) -> Round {
    rounds.into_iter().max_by(|one, other| one.rate.total_cmp(&other.rate)).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// How long this process's thread whose name begins so has waited for a processor, in seconds.
fn waited(thread: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let read = |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
    let of: Vec<_> = tasks.filter(|task| read(task, "comm").starts_with(thread)).collect();
    let nanoseconds = |task: &std::path::PathBuf| read(task, "schedstat").split(' ').nth(1)?.parse::<f64>().ok();
    of.iter().filter_map(nanoseconds).sum::<f64>() / 1e9
}

fn round(began: Instant, waited: f64) -> Round {
    let took = began.elapsed().as_secs_f64();
    Round { rate: (WRITERS * ROWS_OF_A_WRITER) as f64 / took, waited: waited / took }
}

/// Waits until nobody has the database open: the next round has the disk to itself.
fn closed(folder: &Path) {
    while folder.join("agent.db-wal").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn count(folder: &Path) -> usize {
    let db = Connection::open(folder.join("agent.db")).unwrap();
    db.query_row("SELECT count(*) FROM outbox", [], |row| row.get::<_, u64>(0)).unwrap().try_into().unwrap()
}

async fn agent(body: Arc<Value>) -> Round {
    let folder = folder();
    let outbox = Outbox::open(folder.path(), Timestamp::now()).unwrap();
    let (before, began) = (waited("store"), Instant::now());
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
    let round = round(began, waited("store") - before);
    drop(outbox);
    closed(folder.path());
    assert_eq!(count(folder.path()), WRITERS * ROWS_OF_A_WRITER);
    round
}

fn by_hand(body: &Value) -> Round {
    let folder = folder();
    drop(Outbox::open(folder.path(), Timestamp::now()).unwrap());
    closed(folder.path());
    let mut db = Connection::open(folder.path().join("agent.db")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    // The first thread has the program's name.
    let (before, began) = (waited("outbox"), Instant::now());
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
    let round = round(began, waited("outbox") - before);
    drop(db);
    assert_eq!(count(folder.path()), WRITERS * ROWS_OF_A_WRITER);
    round
}
