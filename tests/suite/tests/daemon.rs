//! The agent as a service: what it tells its manager, how it stops, that it listens on nothing, and that one dead or
//! slow part holds up no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use msp_contracts::api::WindowsTarget;
use msp_lab::Progress;
use msp_lab::clinic::Clinic;
use msp_lab::drift::Drift;
use msp_lab::process::program;
use msp_suite::agent::{PATIENCE, healed, json, run, wait};
use msp_suite::central::Puppet;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// An exit code and the document that was printed.
type Answer = (Option<i32>, serde_json::Value);

/// The agent of a clinic, started by hand as a service manager would.
fn service(clinic: &Clinic, variables: &[(&str, &str)]) -> Child {
    let mut agent = Command::new(program("msp-agent").unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MSP_") {
            agent.env_remove(name);
        }
    }
    agent.args(["run", "--config", &clinic.config()]).envs(variables.iter().copied());
    agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

/// Sends `signal` and says how long the agent took to end, and whether it ended well.
fn ends(mut agent: Child, signal: Signal) -> (Duration, bool) {
    let asked = Instant::now();
    kill_process(pid(&agent), signal).unwrap();
    let status = agent.wait().unwrap();
    (asked.elapsed(), status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_that_it_is_ready_how_it_stands_that_it_lives_and_that_it_stops() {
    let clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.write_config("127.0.0.1:9").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let agent = service(&clinic, &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "900000")]);
    let heard = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let mut said: Vec<String> = Vec::new();
    while said.iter().filter(|one| *one == "WATCHDOG=1").count() < 4 {
        said.push(heard());
    }
    assert!(said.contains(&"READY=1".to_owned()), "{said:?}");
    let stands = said.iter().find(|one| one.starts_with("STATUS=")).unwrap();
    assert!(stands.contains("Central Command is not reached"), "{stands}");
    // A hang feeds no watchdog.
    kill_process(pid(&agent), Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    manager.set_nonblocking(true).unwrap();
    while manager.recv(&mut [0; 4096]).is_ok() {}
    std::thread::sleep(Duration::from_millis(1200));
    assert!(manager.recv(&mut [0; 4096]).is_err(), "a stopped process has said something");
    manager.set_nonblocking(false).unwrap();
    kill_process(pid(&agent), Signal::CONT).unwrap();
    let (took, well) = ends(agent, Signal::TERM);
    assert!(well && took < Duration::from_secs(1), "SIGTERM ended it after {took:?}, well: {well}");
    let mut last = Vec::new();
    manager.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = manager.recv(&mut buffer) {
        last.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    assert!(last.iter().any(|one| one.contains("STOPPING=1")), "{last:?}");
}

/// The local ports and paths on which this process listens, of every family.
fn listens(pid: u32) -> Vec<String> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let inodes: HashSet<String> = descriptors
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok()?.to_str().map(ToOwned::to_owned))
        .filter_map(|link| link.strip_prefix("socket:[")?.strip_suffix(']').map(ToOwned::to_owned))
        .collect();
    let mut found = Vec::new();
    // tcp: state 0A is LISTEN. udp: a socket without a peer takes packets from anybody. unix: flag 00010000 is listening.
    for (table, inode, column, value) in [
        ("tcp", 9, 3, "0A"),
        ("tcp6", 9, 3, "0A"),
        ("udp", 9, 2, "00000000:0000"),
        ("udp6", 9, 2, "00000000000000000000000000000000:0000"),
        ("unix", 6, 3, "00010000"),
    ] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let ours = fields.get(inode).is_some_and(|inode| inodes.contains(*inode));
            if ours && fields.get(column) == Some(&value) {
                found.push(format!("{table} {line}"));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_working_agent_listens_on_nothing() {
    // The test can tell: of itself, which listens, it says so.
    let _listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(listens(std::process::id()).len(), 1);

    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "the loop turns", |known| known.outbox.pending == 0 && !known.incidents.is_empty())
        .await
        .unwrap();
    let (code, status) = json(&["status", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!(code, Some(0), "{status:#}");
    let pid = u32::try_from(status["status"]["pid"].as_u64().unwrap()).unwrap();
    for _ in 0..20 {
        assert_eq!(listens(pid), Vec::<String>::new());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_how_the_agent_stands_and_the_exit_code_whether_it_is_well() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    let mut puppet = Puppet::start(&clinic, vec![]).await.unwrap();
    clinic.write_config(puppet.address()).unwrap();
    let config = std::fs::read_to_string(clinic.config()).unwrap() + "metrics_textfile: agent.prom\n";
    std::fs::write(clinic.config(), config).unwrap();
    let ask = |clinic: &Clinic| json(&["status", "--json", "--config", &clinic.config()]).unwrap();
    let never = run(&["status", "--config", &clinic.config()]).unwrap();
    assert_eq!(never.status.code(), Some(2), "{}", String::from_utf8_lossy(&never.stderr));
    clinic.start_agent().unwrap();
    let until = |clinic: &Clinic, what: &str, so: &dyn Fn(&Answer) -> bool| {
        for _ in 0..PATIENCE.as_millis() / 100 {
            if clinic.path().join("agent/state/status.json").exists() && so(&ask(clinic)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("waited until {what}: {:#}", ask(clinic).1);
    };
    until(&clinic, "it has checked in", &|(code, said)| {
        *code == Some(0) && said["status"]["central"]["reached"] == true
    });
    // The word to stop needs no signature; it outlives a restart and a server that has forgotten it; to go on needs one.
    puppet.says().kill_switch = true;
    until(&clinic, "the kill switch is engaged", &|(code, said)| {
        *code == Some(1) && said["status"]["kill_switch"] == "a drill"
    });
    puppet.says().kill_switch = false;
    clinic.kill_agent().await;
    until(&clinic, "it is known that it does not run", &|(code, said)| *code == Some(1) && said["running"] == false);
    clinic.start_agent().unwrap();
    std::thread::sleep(Duration::from_secs(7));
    until(&clinic, "it runs, and is still stopped", &|(code, said)| {
        *code == Some(1) && said["running"] == true && said["status"]["kill_switch"] == "a drill"
    });
    puppet.give(msp_contracts::order::OrderAction::KillSwitch { engaged: false });
    until(&clinic, "the kill switch is released", &|(code, said)| {
        *code == Some(0) && said["status"]["kill_switch"].is_null()
    });
    let text = run(&["status", "--config", &clinic.config()]).unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for said in ["runs (pid", "last contact", " reports wait, 0 refused", "kill switch     off"] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    // The same for a collector: exactly the metrics that are documented.
    let numbers = std::fs::read_to_string(clinic.path().join("agent/agent.prom")).unwrap();
    let scrape = prometheus_parse::Scrape::parse(numbers.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let written: BTreeSet<_> = scrape.samples.iter().map(|sample| sample.metric.clone()).collect();
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let documented = document.lines().filter_map(|line| line.strip_prefix("| `msp_agent_")?.split('`').next());
    let documented: BTreeSet<_> = documented.map(|name| format!("msp_agent_{name}")).collect();
    // What is counted by kind is there once something was counted.
    let missing: Vec<_> = documented.difference(&written).filter(|name| *name != "msp_agent_plans").collect();
    assert!(missing.is_empty() && written.is_subset(&documented), "{missing:?} are missing; written: {written:?}");
    let value = |name: &str| scrape.samples.iter().find(|sample| sample.metric == name).unwrap().value.clone();
    assert_eq!(value("msp_agent_central_reached"), prometheus_parse::Value::Gauge(1.0));
    clinic.close().await;
}

fn entry(hostname: &str, address: &str, port: u16) -> WindowsTarget {
    serde_json::from_value(json!({ "hostname": hostname, "ip_address": address, "port": port })).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_dead_server_nor_a_central_command_that_never_answers_holds_up_a_heal_and_the_end_comes_in_time() {
    // Both take the connection and never say a word.
    let (server, central) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.start_servers().await.unwrap();
    let member = clinic.member.as_ref().unwrap();
    let (host, port) = (member.winrm.ip().to_string(), member.winrm.port());
    let hung = server.local_addr().unwrap();
    let logon = clinic.path().join("agent/windows/FS01.yaml");
    std::fs::copy(&logon, clinic.path().join("agent/windows/HUNG.yaml")).unwrap();
    let targets = vec![entry("HUNG", "127.0.0.1", hung.port()), entry("FS01", &host, port)];
    let puppet = Puppet::start(&clinic, targets).await.unwrap();
    clinic.write_config(puppet.address()).unwrap();
    clinic.start_agent().unwrap();
    wait(&mut clinic, "the inventory is known", |known| {
        known.incidents.iter().any(|one| one.host_id == host) || known.outbox.pending > 0
    })
    .await
    .unwrap();
    clinic.stop_agent().await;
    clinic.write_config(&central.local_addr().unwrap().to_string()).unwrap();
    clinic.start_agent().unwrap();
    clinic.member.as_ref().unwrap().inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    wait(&mut clinic, "the other server is healed", |known| healed(known, &host, "firewall", None)).await.unwrap();
    clinic.stop_agent().await;

    // In the middle of all that hangs, it ends within a second all the same.
    let agent = service(&clinic, &[]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (took, well) = ends(agent, Signal::INT);
    assert!(well && took < Duration::from_secs(1), "SIGINT ended it after {took:?}, well: {well}");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_synced_at_once_when_a_person_asks_with_and_without_a_running_agent() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "the first sync", |known| known.outbox.pending == 0 && !known.incidents.is_empty())
        .await
        .unwrap();
    clinic.stop_agent().await;
    // The next turn would be in an hour.
    let config =
        std::fs::read_to_string(clinic.config()).unwrap().replace("poll_interval: 1\n", "poll_interval: 3600\n");
    std::fs::write(clinic.config(), config).unwrap();
    let sync = |clinic: &Clinic| {
        let (code, said) = json(&["rules", "sync", "--now", "--json", "--config", &clinic.config()]).unwrap();
        assert_eq!(code, Some(0), "{said:#}");
        said["rules"]["synced_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    let without = sync(&clinic);
    clinic.start_agent().unwrap();
    let status = clinic.path().join("agent/state/status.json");
    let before = std::fs::metadata(&status).unwrap().modified().unwrap();
    while std::fs::metadata(&status).unwrap().modified().unwrap() == before {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (first, second) = (sync(&clinic), sync(&clinic));
    assert!(without < first && first < second, "{without} {first} {second}");
    clinic.stop_agent().await;
    clinic.stop_central().await;
    let refused = run(&["rules", "sync", "--now", "--config", &clinic.config()]).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("could not be reached"));
    clinic.close().await;
}
