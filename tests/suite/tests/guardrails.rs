//! The guardrails through the real programs: what each holds back is not touched, leaves its name in the evidence
//! once, and goes on when it may. The document that lists them names code and tests that there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan};
use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_lab::watch::{Incident, Known};
use msp_suite::agent::{PATIENCE, bundle, changes, json, opened, run, set, wait};
use msp_suite::central::{Puppet, now};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const DNS: Drift = Drift::ServiceStopped("DNS");
const KDC: Drift = Drift::ServiceStopped("Kdc");
const TIME: Drift = Drift::ServiceStopped("W32Time");
const FIREWALL: Drift = Drift::FirewallProfileOff("Public");

/// The newest incident of this drift on the domain controller.
fn newest<'a>(known: &'a Known, ip: &str, drift: Drift) -> Option<&'a Incident> {
    known.of(ip, drift, &[])
}

/// Stops the agent, changes its configuration and its state, and starts it again.
async fn restart(clinic: &mut Clinic, lines: &str, state: &str) {
    clinic.stop_agent().await;
    set(clinic, lines).unwrap();
    let db = Connection::open(clinic.path().join("agent/state/agent.db")).unwrap();
    db.execute_batch(state).unwrap();
    drop(db);
    clinic.start_agent().unwrap();
}

async fn inject(clinic: &Clinic, drift: Drift) {
    clinic.controller.as_ref().unwrap().inject(drift).await.unwrap();
}

async fn touched(clinic: &Clinic, drift: Drift) -> usize {
    changes(clinic.controller.as_ref().unwrap(), drift).await.unwrap()
}

/// Waits until the newest incident of this drift ended so, and returns it with the bundle that proves it.
async fn ended(clinic: &mut Clinic, drift: Drift, outcome: &str) -> (Incident, Value) {
    let ip = clinic.controller.as_ref().unwrap().winrm.ip().to_string();
    let so = |known: &Known| newest(known, &ip, drift).is_some_and(|one| one.outcome.as_deref() == Some(outcome));
    let known = wait(clinic, &format!("{} ends {outcome}", drift.words()), so).await.unwrap();
    let one = newest(&known, &ip, drift).unwrap().clone();
    let proof = bundle(clinic, one.evidence_id.as_deref().unwrap()).unwrap();
    (one, proof)
}

/// Waits as [`ended`] does, and until the evidence names this guardrail; returns its reason too.
async fn held(clinic: &mut Clinic, drift: Drift, outcome: &str, by: &str) -> (Incident, String) {
    let mut last = Value::Null;
    for _ in 0..50 {
        let (one, proof) = ended(clinic, drift, outcome).await;
        if proof["plan"]["refused_by"] == by {
            return (one, proof["plan"]["reason"].as_str().unwrap().to_owned());
        }
        last = proof;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{by} does not hold it: {last:#}")
}

/// How many bundles tell of an incident.
fn bundles(clinic: &Clinic, incident: &Incident) -> usize {
    let (_, listed) =
        json(&["evidence", "list", "--incident", &incident.incident_id, "--json", "--config", &clinic.config()])
            .unwrap();
    listed["evidence"].as_array().unwrap().len()
}

async fn tickets(clinic: &Clinic, incident: &Incident) -> Vec<Value> {
    let dir = clinic.central_dir();
    let printed = succeed("msp-central", &["list", "escalations", "--dir", &dir, "--site", SITE, "--json"]).await;
    let all: Vec<Value> = serde_json::from_slice(&printed.unwrap()).unwrap();
    all.into_iter().filter(|ticket| ticket["incident_id"] == incident.incident_id.as_str()).collect()
}

/// Several more rounds: nothing is told again and again.
async fn several_rounds() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_restart_releases_the_kill_switch_and_what_waited_for_it_is_healed_afterwards() {
    let mut clinic = opened().await.unwrap();
    restart(&mut clinic, "", "INSERT INTO facts VALUES ('kill_switch', 'a pilot gone wrong')").await;
    inject(&clinic, DNS).await;
    let (one, reason) = held(&mut clinic, DNS, "deferred", "kill_switch").await;
    assert_eq!(reason, "the kill switch is engaged: a pilot gone wrong");
    restart(&mut clinic, "", "").await;
    several_rounds().await;
    assert_eq!((touched(&clinic, DNS).await, bundles(&clinic, &one)), (0, 1));
    let matched = format!("incident_id={}", one.incident_id);
    let matches =
        clinic.agent_log().lines().filter(|line| line.contains("L1 rule matched") && line.contains(&matched)).count();
    assert_eq!(matches, 1, "said once, not with every round and not with every start");
    restart(&mut clinic, "", "DELETE FROM facts WHERE name = 'kill_switch'").await;
    ended(&mut clinic, DNS, "fixed").await;
    assert_eq!(touched(&clinic, DNS).await, 1);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_disturbs_people_waits_for_the_window_which_is_named_and_the_rest_is_healed() {
    let mut clinic = opened().await.unwrap();
    // On the day after tomorrow: closed now and for a day at least.
    let day = now().to_zoned(TimeZone::UTC).date() + 2.days();
    let name = day.strftime("%a").to_string().to_lowercase();
    let lines = format!(
        "disruptive_from: medium\nmaintenance_window: 02:00-04:00\nmaintenance_window_days: [{name}]\nmaintenance_window_timezone: UTC"
    );
    restart(&mut clinic, &lines, "").await;
    inject(&clinic, FIREWALL).await;
    inject(&clinic, DNS).await;
    let (one, reason) = held(&mut clinic, FIREWALL, "deferred", "maintenance_window").await;
    assert!(reason.ends_with(&format!("which opens {} {day} 02:00 UTC", day.strftime("%a"))), "{reason}");
    ended(&mut clinic, DNS, "fixed").await;
    several_rounds().await;
    assert_eq!((touched(&clinic, FIREWALL).await, bundles(&clinic, &one)), (0, 1));
    let checked = run(&["check-config", &clinic.config()]).unwrap();
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains(&format!("{day} 02:00 UTC")) && checked.contains("1000 heals an hour"), "{checked}");
    // Without a window it is healed, because Central Command's word is fresh.
    restart(&mut clinic, "maintenance_window_enabled: false", "").await;
    ended(&mut clinic, FIREWALL, "fixed").await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runbook_that_the_site_does_not_allow_goes_to_a_person_and_a_full_hour_holds_the_next_heal_back() {
    let mut clinic = opened().await.unwrap();
    restart(&mut clinic, "runbook_allowlist: [RB-WIN-SVC-001]\nheals_per_host_per_hour: 1", "").await;
    inject(&clinic, FIREWALL).await;
    let (one, reason) = held(&mut clinic, FIREWALL, "escalated", "allowlist").await;
    assert!(reason.contains("RB-WIN-FIREWALL-001 (runbook_allowlist)"), "{reason}");
    inject(&clinic, DNS).await;
    ended(&mut clinic, DNS, "fixed").await;
    inject(&clinic, KDC).await;
    let (waits, reason) = held(&mut clinic, KDC, "deferred", "rate_limit").await;
    assert!(reason.contains("heals_per_host_per_hour: 1"), "{reason}");
    restart(&mut clinic, "", "").await;
    several_rounds().await;
    assert_eq!((touched(&clinic, KDC).await, touched(&clinic, FIREWALL).await, bundles(&clinic, &waits)), (0, 0, 1));
    wait(&mut clinic, "the ticket has arrived", |known| known.outbox.pending == 0).await.unwrap();
    assert_eq!(tickets(&clinic, &one).await.len(), 1);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heal_that_keeps_coming_undone_ends_with_a_person_who_is_told_so_in_one_ticket() {
    let mut clinic = opened().await.unwrap();
    // A rule of the site that leaves nothing alone for ten minutes, as the built-in one would.
    let rule = "rules:\n  - id: SITE-SVC\n    name: Service stopped\n    priority: 1\n    cooldown_seconds: 0\n    conditions:\n      \
                - {field: check_type, operator: eq, value: services}\n      - {field: details.service_running, operator: eq, value: false}\n    \
                action: run_windows_runbook\n    action_params: {runbook_id: RB-WIN-SVC-001, service: {from: details.service}}\n";
    std::fs::write(clinic.path().join("agent/rules/site.yaml"), rule).unwrap();
    restart(&mut clinic, "flap_limit: 2", "").await;
    for healed in 1..=2 {
        inject(&clinic, DNS).await;
        for _ in 0..300 {
            if touched(&clinic, DNS).await == healed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ended(&mut clinic, DNS, "fixed").await;
    }
    inject(&clinic, DNS).await;
    let (one, reason) = held(&mut clinic, DNS, "escalated", "flapping").await;
    assert!(reason.starts_with("healed 2 times since ") && reason.contains("something else undoes it"), "{reason}");
    restart(&mut clinic, "", "").await;
    several_rounds().await;
    wait(&mut clinic, "the ticket has arrived", |known| known.outbox.pending == 0).await.unwrap();
    let tickets = tickets(&clinic, &one).await;
    assert_eq!(tickets.len(), 1, "{tickets:#?}");
    assert_eq!(tickets[0]["reason"], json!(reason));
    assert_eq!(touched(&clinic, DNS).await, 2);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_heals_fail_is_left_alone_until_the_pause_is_over_and_then_one_heal_decides() {
    let mut clinic = opened().await.unwrap();
    restart(&mut clinic, "breaker_failures: 2", "").await;
    for drift in [DNS, KDC] {
        let (_, Some(service)) = drift.check() else { panic!("no service") };
        let dc01 = clinic.controller.as_ref().unwrap();
        dc01.send(&json!({ "kind": "service_start_fails", "service": service, "fails": true })).await.unwrap();
        inject(&clinic, drift).await;
        ended(&mut clinic, drift, "failed").await;
    }
    inject(&clinic, TIME).await;
    let (one, reason) = held(&mut clinic, TIME, "deferred", "circuit_breaker").await;
    assert!(reason.starts_with("the last 2 heals of this machine failed: it is left alone until "), "{reason}");
    several_rounds().await;
    assert_eq!((touched(&clinic, TIME).await, bundles(&clinic, &one)), (0, 1));
    // Half an hour later.
    let earlier = "UPDATE executions SET completed_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-31 minutes') WHERE plan <> 'null'";
    restart(&mut clinic, "", earlier).await;
    ended(&mut clinic, TIME, "fixed").await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_disturbs_people_waits_while_central_command_is_silenced_and_while_the_clock_is_off_its_clock() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.start_servers().await.unwrap();
    let dc01 = clinic.controller.as_ref().unwrap();
    let target = json!({ "hostname": "DC01", "ip_address": dc01.winrm.ip(), "port": dc01.winrm.port() });
    let puppet = Puppet::start(&clinic, vec![serde_json::from_value(target).unwrap()]).await.unwrap();
    clinic.write_config(puppet.address()).unwrap();
    set(&clinic, "disruptive_from: medium\nmaintenance_window_enabled: false").unwrap();
    clinic.start_agent().unwrap();
    for _ in 0..PATIENCE.as_millis() / 100 {
        if clinic.agent_log().contains("checked in with Central Command") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // An old word of Central Command, again and again, is no word.
    puppet.says().fresh_for = None;
    restart(&mut clinic, "", "UPDATE facts SET value = '2026-01-01T00:00:00Z' WHERE name = 'fresh_until'").await;
    inject(&clinic, FIREWALL).await;
    held(&mut clinic, FIREWALL, "deferred", "freshness").await;
    // It speaks, and its clock says something else.
    puppet.says().ahead = SignedDuration::from_mins(10);
    puppet.says().fresh_for = Some(SignedDuration::from_mins(15));
    let (one, reason) = held(&mut clinic, FIREWALL, "deferred", "clock_sanity").await;
    assert!(reason.contains(" s behind Central Command's at the last check-in"), "{reason}");
    several_rounds().await;
    assert_eq!((touched(&clinic, FIREWALL).await, bundles(&clinic, &one)), (0, 2));
    puppet.says().ahead = SignedDuration::ZERO;
    ended(&mut clinic, FIREWALL, "fixed").await;
    clinic.close().await;
}

/// The repository's root.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What stands between back quotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What is wrong with a row's code and tests: files that are not there, tests that their file does not have.
fn wrong(code: &str, tests: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let paths = quoted(code);
    wrong.extend(paths.iter().filter(|path| !root().join(path).is_file()).map(|path| format!("there is no {path}")));
    let (mut source, mut named) = (None, 0);
    for word in quoted(tests) {
        if word.contains('/') {
            source = std::fs::read_to_string(root().join(word)).ok();
            continue;
        }
        named += 1;
        let text = source.as_deref().unwrap_or_default();
        // Right above it, at most under another attribute.
        let lines: Vec<_> = text.lines().collect();
        let here = lines.iter().position(|line| line.contains(&format!("fn {word}(")));
        let attributes = here.map(|here| lines[here.saturating_sub(2)..here].concat()).unwrap_or_default();
        if !attributes.contains("#[test]") && !attributes.contains("#[tokio::test") {
            wrong.push(format!("there is no test {word} where the page says"));
        }
    }
    if paths.is_empty() || named == 0 {
        wrong.push(format!("no code or no test is named: {code} {tests}"));
    }
    wrong
}

#[test]
fn the_page_on_guardrails_names_code_and_tests_that_there_are_and_every_name_that_evidence_uses() {
    let page = std::fs::read_to_string(root().join("docs/guardrails.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| what it promises |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let numbers: Vec<_> = rows.iter().filter(|row| row.len() == 6).map(|row| row[0].to_owned()).collect();
    assert_eq!(numbers, (1..=10).map(|number| number.to_string()).collect::<Vec<_>>());
    let all: Vec<_> = rows.iter().flat_map(|row| wrong(row[row.len() - 2], row[row.len() - 1])).collect();
    assert!(all.is_empty(), "{all:#?}");
    let names = std::fs::read_to_string(root().join("agent/src/model/guardrail.rs")).unwrap();
    let names: Vec<_> =
        names.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split('"').nth(1)).collect();
    let told: Vec<_> = rows.iter().flat_map(|row| quoted(row[row.len() - 3])).collect();
    let untold: Vec<_> = names.iter().filter(|name| !told.contains(name)).collect();
    assert!(names.len() > 10 && untold.is_empty(), "{untold:?} of {names:?}");
}

#[test]
fn a_row_that_names_what_is_not_there_is_found() {
    assert!(
        wrong("`agent/src/guard.rs`", "`agent/src/guard/tests.rs`: `what_the_site_does_not_allow_goes_to_a_person`")
            .is_empty()
    );
    for (code, tests) in [
        ("`agent/src/nothing.rs`", "`agent/src/guard/tests.rs`: `what_the_site_does_not_allow_goes_to_a_person`"),
        ("`agent/src/guard.rs`", "`agent/src/guard/tests.rs`: `no_such_test`"),
        ("`agent/src/guard.rs`", "`agent/src/guard/nothing.rs`: `what_the_site_does_not_allow_goes_to_a_person`"),
        ("`agent/src/guard.rs`", "`agent/src/guard/tests.rs`: `disruptive`"),
        ("`agent/src/guard.rs`", ""),
    ] {
        assert_eq!(wrong(code, tests).len(), 1, "{code} {tests}");
    }
}
