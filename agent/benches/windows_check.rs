//! How long one round of checks of a Windows server takes, and what more servers cost: `cargo measure windows_check`.
//!
//! Against winsim in this process, over plain HTTP with every message sealed, on warm connections. The peer is pywinrm with
//! the same scripts fed the same way to the same server; the limit is 500 ms a server.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and prints what it measured"
)]

use msp_agent::measure::Windows;
use msp_suite::python;
use msp_winsim::{Account, Identity, Profile, Server, ServerConfig};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const USER: &str = "msp-svc";
const PASSWORD: &str = "Correct-Horse-9";
const ROUNDS: usize = 15;
const LIMIT_MS: f64 = 500.0;

fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut servers = Vec::new();
        for n in 0..8 {
            servers.push(server(n).await);
        }
        let addresses: Vec<_> = servers.iter().map(|server| server.http_address().unwrap()).collect();
        let one = time(&addresses[..1]).await;
        println!(
            "windows_check: a warm check of one server, {} detect phases: {one:.0} ms; ratio to the limit of {LIMIT_MS:.0} ms: {:.2}",
            Windows::detect_scripts().len(),
            one / LIMIT_MS
        );
        match pywinrm(addresses[0]).await {
            Ok(peer) => println!("windows_check: pywinrm, the same scripts: {peer:.0} ms; ratio {:.2}", one / peer),
            Err(reason) => println!("windows_check: no peer in this run: {reason}"),
        }
        for count in [2, 4, 8] {
            let all = time(&addresses[..count]).await;
            println!(
                "windows_check: {count} servers at once: {all:.0} ms, {:.0} ms a server; ratio to one alone: {:.2}",
                all / count as f64,
                all / count as f64 / one
            );
        }
    });
}

async fn server(n: u8) -> Server {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 71 + n));
    let any = SocketAddr::new(ip, 0);
    let folder = tempfile::tempdir().unwrap();
    Server::start(ServerConfig {
        profile: Profile::Member,
        hostname: format!("FS{n:02}"),
        listen: any,
        http: Some(any),
        drift: any,
        account: Account { user: USER.to_owned(), password: PASSWORD.to_owned() },
        identity: Some(Identity::create_in(folder.path(), ip, "FS").unwrap()),
        read_timeout: Duration::from_secs(30),
    })
    .await
    .unwrap()
}

fn median(mut taken: Vec<f64>) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}

/// Milliseconds of a round on all of them at once.
async fn time(addresses: &[SocketAddr]) -> f64 {
    let windows = Windows::reach(addresses, USER, PASSWORD).unwrap();
    // The first logs on.
    windows.check().await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        windows.check().await.unwrap();
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    median(taken)
}

async fn pywinrm(address: SocketAddr) -> Result<f64, String> {
    let python = python::interpreter()?;
    let asked = json!({
        "url": format!("http://{address}/wsman"), "user": USER, "password": PASSWORD, "rounds": ROUNDS + 1,
        "bootstrap": Windows::bootstrap(), "scripts": Windows::detect_scripts(),
    });
    let run = move || {
        let mut child = Command::new(python)
            .arg(python::peers().join("measure.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).map_err(|error| error.to_string())?;
        child.wait_with_output().map_err(|error| error.to_string())
    };
    // The server lives in this process: it must be able to answer meanwhile.
    let done = tokio::task::spawn_blocking(run).await.map_err(|error| error.to_string())??;
    let said: Value = serde_json::from_slice(&done.stdout).map_err(|error| error.to_string())?;
    let taken: Vec<_> = said["milliseconds"].as_array().unwrap().iter().filter_map(Value::as_f64).skip(1).collect();
    Ok(median(taken))
}
