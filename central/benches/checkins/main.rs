//! How many check-ins a second Central Command takes in on one core: `cargo measure checkins`.
//!
//! The real program, pinned to one core, over mutual TLS on loopback with connections that stay open; the load
//! comes from another core, by a client that does as little as it can. Printed against the aim, with what the
//! server's core did meanwhile (from `/proc/<pid>/stat`), because a busy machine lowers the rate, not the time that
//! one check-in costs. Every reply is read, and afterwards each freshness stamp must be signed and be the only one
//! with its number: speed that hands a number out twice is none.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and prints what it measured"
)]

mod connection;
mod server;

use connection::Connection;
use msp_contracts::api::CheckinReply;
use msp_contracts::dsse::Signed;
use msp_contracts::ids::Counter;
use msp_contracts::keys::VerifyingKey;
use msp_contracts::signed::Freshness;
use server::Server;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Check-ins a second on one core: what is wanted now, and later.
const AIMS: [u32; 2] = [2_000, 5_000];
const SITES: usize = 16;
const CONNECTIONS_OF_AN_APPLIANCE: usize = 4;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cores = server::cores();
    let (own, servers) = (cores[cores.len() - 1], cores[0]);
    // A child inherits where it may run.
    server::pin(servers);
    let server = Server::start(SITES);
    server::pin(own);
    if own == servers {
        println!("one core only: client and server share it, and the rate is of both");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&server));
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    appliance: usize,
    replies: Vec<Vec<u8>>,
    counted: usize,
    latencies: Vec<Duration>,
}

async fn measure(server: &Server) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_OF_AN_APPLIANCE {
        for appliance in 0..SITES {
            let mut connection = Connection::open(server, appliance).await;
            connection.check_in().await;
            connections.push((appliance, connection));
        }
    }
    // To a key that the first check-in has told.
    server.set_credentials();
    let begin = Instant::now() + WARM_UP;
    let end = begin + MEASURED;
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|(appliance, mut connection)| {
            tokio::spawn(async move {
                let mut seen = Seen { appliance, ..Seen::default() };
                loop {
                    let sent = Instant::now();
                    if sent >= end {
                        return seen;
                    }
                    seen.replies.push(connection.check_in().await);
                    let now = Instant::now();
                    if sent >= begin && now < end {
                        seen.counted += 1;
                        seen.latencies.push(now - sent);
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep_until(begin.into()).await;
    let (server_before, client_before) = (server.cpu_time(), server::cpu_time("self"));
    tokio::time::sleep_until(end.into()).await;
    let (server_after, client_after) = (server.cpu_time(), server::cpu_time("self"));
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    verify(&seen, server.public_key);
    report(&seen, server_after - server_before, client_after - client_before);
}

/// Every stamp is signed by the server, and no appliance got a number twice.
fn verify(seen: &[Seen], key: VerifyingKey) {
    let mut numbers: HashSet<(usize, Counter)> = HashSet::new();
    for Seen { appliance, replies, .. } in seen {
        for reply in replies {
            let reply: CheckinReply = serde_json::from_slice(reply).unwrap();
            let fresh = Freshness::verify(&reply.freshness, &[key]).unwrap();
            let told = fresh.windows_targets.iter().filter(|target| target.credentials.is_some()).count();
            assert_eq!(told, server::SERVERS_OF_A_SITE, "every server, with its credentials");
            assert!(numbers.insert((*appliance, fresh.stamp.sequence)), "number {} twice", fresh.stamp.sequence);
        }
    }
}

fn report(seen: &[Seen], server: Duration, client: Duration) {
    let count: usize = seen.iter().map(|seen| seen.counted).sum();
    let rate = count as f64 / MEASURED.as_secs_f64();
    let of = |time: Duration| 100.0 * time.as_secs_f64() / MEASURED.as_secs_f64();
    let each = server.as_secs_f64() / count as f64;
    let mut latencies: Vec<Duration> = seen.iter().flat_map(|seen| seen.latencies.iter().copied()).collect();
    latencies.sort();
    let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize].as_secs_f64() * 1000.0;
    println!(
        "check-ins: {rate:.0} a second on one core, {:.2} of the aim of {} and {:.2} of {}; {} connections, half within \
         {:.1} ms, 99 % within {:.1} ms",
        rate / f64::from(AIMS[0]),
        AIMS[0],
        rate / f64::from(AIMS[1]),
        AIMS[1],
        seen.len(),
        at(0.5),
        at(0.99),
    );
    println!(
        "           the server had {:.0} % of its core, {:.0} µs a check-in (a whole core: {:.0} a second); the client \
         {:.0} % of its own",
        of(server),
        each * 1e6,
        1.0 / each,
        of(client),
    );
}
