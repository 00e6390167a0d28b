//! `cargo lab`, as a newcomer runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use msp_lab::process::program;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn one_round_heals_all_seven_kinds_shows_every_other_case_and_prints_one_document() {
    // What configures somebody's agent does not configure the lab's.
    let mut lab = Command::new(program("msp-lab").unwrap());
    let done = lab.args(["--once", "--json"]).env("MSP_DRY_RUN", "true").env("MSP_LOG", "debug").output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let document: Value = serde_json::from_slice(&done.stdout).expect("one JSON document and nothing else");
    assert_eq!(document["ok"], true, "{document:#}\n{said}");
    assert_eq!(document["outbox"]["pending"], 0);
    assert_eq!(document["evidence"]["chain_ok"], true);
    let drifts = document["drifts"].as_array().unwrap();
    let healed: Vec<_> = drifts
        .iter()
        .map(|d| (d["target"].as_str().unwrap(), d["check"].as_str().unwrap(), d["runbook"].as_str().unwrap()))
        .collect();
    assert_eq!(
        healed,
        [
            ("FS01", "encryption", "RB-WIN-ENCRYPTION-001"),
            ("FS01", "patching", "RB-WIN-PATCH-001"),
            ("FS01", "firewall", "RB-WIN-FIREWALL-001"),
            ("DC01", "services", "RB-WIN-SVC-001"),
            ("FS01", "antivirus", "RB-WIN-AV-001"),
            ("FS01", "logging", "RB-WIN-LOGGING-001"),
            ("FS01", "backup", "RB-WIN-BACKUP-001"),
            ("DC01", "directory", "RB-WIN-AD-001"),
        ]
    );
    for drift in drifts {
        assert_eq!((&drift["level"], &drift["outcome"]), (&1.into(), &"fixed".into()), "{drift:#}");
        assert_eq!(drift["evidence_verified"], true, "{drift:#}");
        assert!(drift["detected_ms"].as_u64().unwrap() <= drift["healed_ms"].as_u64().unwrap(), "{drift:#}");
    }
    assert!(document["evidence"]["count"].as_u64().unwrap() > 2);
    let cases = document["cases"].as_array().unwrap();
    assert!(cases.iter().all(|case| case["ok"] == true && case["reason"] != ""), "{cases:#?}");
    let of = |situation: &str| {
        let found = cases.iter().filter(|case| case["situation"] == situation);
        found.map(|c| (c["target"].as_str().unwrap(), c["check"].as_str().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(of("deferred"), [("FS01", "encryption"), ("FS01", "patching")]);
    assert_eq!(of("escalated"), [("FS02", "encryption"), ("FS02", "patching")]);
    assert_eq!(of("pending"), [("WS01", "encryption"), ("CORE01", "patching"), ("DC01", "backup")]);
    let lacking = of("unsupported");
    for one in [
        ("CORE01", "backup"),
        ("WS01", "backup"),
        ("AV01", "antivirus"),
        ("OLD01", "encryption"),
        ("FS01", "directory"),
    ] {
        assert!(lacking.contains(&one), "{lacking:?}");
    }
    // Compliant at the end is exactly what the machine has and what is right on it.
    for one in document["statuses"].as_array().unwrap() {
        let (target, check) = (one["target"].as_str().unwrap(), one["check"].as_str().unwrap());
        let wanted = if lacking.contains(&(target, check)) { "unsupported" } else { "compliant" };
        assert!(one["status"] == wanted || check == "services" && one["status"] == "unsupported", "{one:#}");
    }

    let orders = document["orders"].as_array().unwrap();
    let ended: Vec<_> = orders.iter().map(|o| (o["class"].as_str().unwrap(), o["state"].as_str().unwrap())).collect();
    assert_eq!(ended, [("run_check", "done"), ("set_dry_run", "refused")], "{orders:#?}");
    assert!(orders[1]["reason"].as_str().unwrap().contains("order_ttl"), "{orders:#?}");
    assert!(orders.iter().all(|o| o["evidence_id"].is_string() && o["reported"] == true), "{orders:#?}");
}

#[test]
fn after_half_a_minute_of_chaos_everything_is_healed_once_or_with_a_person_and_proved() {
    let done =
        Command::new(program("msp-lab").unwrap()).args(["--chaos", "--minutes", "0.5", "--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let account: Value = serde_json::from_slice(&done.stdout).expect(&said);
    assert!(done.status.success() && account["ok"] == true, "{account:#}\n{said}");
    let count = |of: &Value| of.as_u64().unwrap();
    assert!(count(&account["happened"]["drifts"]) >= 2, "{account:#}");
    assert!(count(&account["healed"]) + count(&account["escalated"]) >= 2, "{account:#}");
    assert_eq!((&account["healed_twice"], &account["pending"]), (&0.into(), &0.into()));
    assert_eq!(account["evidence"]["chain_ok"], true);
}

#[test]
fn a_round_that_cannot_begin_says_so_in_the_one_document_and_on_stderr() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("somebodys-file"), "").unwrap();
    let keep = folder.path().display().to_string();
    let done = Command::new(program("msp-lab").unwrap()).args(["--once", "--json", "--keep", &keep]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&done.stdout).expect("one JSON document all the same");
    assert_eq!((&document["ok"], &document["drifts"]), (&false.into(), &Value::Array(vec![])));
    assert!(String::from_utf8_lossy(&done.stderr).contains("holds files already"));
}

#[test]
fn a_running_lab_stops_within_two_seconds_and_leaves_no_process_behind() {
    let mut lab =
        Command::new(program("msp-lab").unwrap()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(lab.stderr.take().unwrap()).lines();
    let running = lines.any(|line| line.unwrap().contains("Ctrl-C stops everything"));
    assert!(running, "the lab ended before it ran");
    let children = children_of(lab.id());
    assert!(children.len() >= 4, "Central Command, an agent and two servers: {children:?}");

    let interrupted = Instant::now();
    kill_process(Pid::from_raw(lab.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    // Nobody reads its last lines otherwise.
    lines.for_each(drop);
    let status = lab.wait().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(2), "{:?}", interrupted.elapsed());
    assert!(status.success(), "{status}");
    let left: Vec<_> = children.iter().filter(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()).collect();
    assert!(left.is_empty(), "{left:?} still run");
}

/// The children of a process, as /proc lists them.
fn children_of(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        // "pid (name) state ppid ...": the name may hold anything but the last ')'.
        let text = stat(*pid);
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1).and_then(|ppid| ppid.parse().ok()) == Some(parent)
    })
    .collect()
}
