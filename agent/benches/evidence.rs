//! How many bundles of evidence a second are verified: signature, canonical form, hash links, columns, signed end.
//! `cargo measure evidence`
//!
//! The floor is ed25519-dalek's `verify_strict` alone, over the same messages, on as many threads: no verifier that
//! verifies each signature strictly is faster than that.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and prints what it measured"
)]

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::Signature;
use jiff::Timestamp;
use msp_agent::measure::{make_chain, verify_chain};
use msp_contracts::dsse::Envelope;
use msp_contracts::keys::{SigningKey, VerifyingKey};
use rusqlite::Connection;
use std::path::Path;
use std::time::Instant;

const BUNDLES: u32 = 10_000;
const ROUNDS: usize = 5;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let key = SigningKey::from_bytes(&[7; 32]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(make_chain(folder.path(), BUNDLES, &key, Timestamp::now())).unwrap();
    let key = key.verifying_key();
    let signed = messages(folder.path());
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(seconds(|| assert_eq!(verify_chain(folder.path(), key).unwrap(), (u64::from(BUNDLES), 0))));
        floors.push(seconds(|| signatures(&signed, key)));
    }
    let (ours, floor) = (median(ours), median(floors));
    println!(
        "evidence: {BUNDLES} bundles in {ours:.2} s (aim: 1 s on two cores), {:.0} a second; their signatures alone: {floor:.2} s; \
         ratio {:.2}",
        f64::from(BUNDLES) / ours,
        floor / ours
    );
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Each bundle's signed message and its signature.
fn messages(folder: &Path) -> Vec<(Vec<u8>, Signature)> {
    let db = Connection::open(folder.join("agent.db")).unwrap();
    let mut statement = db.prepare("SELECT envelope FROM evidence").unwrap();
    let envelopes = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let one = |envelope: rusqlite::Result<Vec<u8>>| {
        let envelope = Envelope::from_bytes(&envelope.unwrap()).unwrap();
        let payload = BASE64.decode(&envelope.payload).unwrap();
        let kind = &envelope.payload_type;
        let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        message.extend(payload);
        let signature = BASE64.decode(&envelope.signatures[0].sig).unwrap();
        (message, Signature::from_slice(&signature).unwrap())
    };
    envelopes.map(one).collect()
}

fn signatures(signed: &[(Vec<u8>, Signature)], key: VerifyingKey) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for share in signed.chunks(signed.len().div_ceil(threads)) {
            scope.spawn(move || {
                share.iter().for_each(|(message, signature)| key.verify_strict(message, signature).unwrap());
            });
        }
    });
}
