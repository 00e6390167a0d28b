//! The guardrails through the real programs: what each holds back is not touched, leaves its name in the evidence
//! once, and goes on when it may. The document that lists them names code and tests that there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_lab::watch::{Incident, Known};
use msp_suite::agent::{bundle, changes, json, opened, run, set, wait};
use rusqlite::Connection;
use serde_json::{Value, json};
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

/// Waits as [`ended`] does, and checks which guardrail the evidence names.
async fn held(clinic: &mut Clinic, drift: Drift, outcome: &str, by: &str) -> (Incident, String) {
    let (one, proof) = ended(clinic, drift, outcome).await;
    assert_eq!(proof["plan"]["refused_by"], json!(by), "{proof:#}");
    (one, proof["plan"]["reason"].as_str().unwrap().to_owned())
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
    // On the day after tomorrow, wherever the sun is: closed now and for a day at least.
    #[allow(clippy::disallowed_methods, reason = "the window has to be closed now")]
    let day =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().checked_add(jiff::Span::new().days(2)).unwrap();
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
    assert!(checked.contains(&format!("{day} 02:00 UTC")) && checked.contains("120 heals an hour"), "{checked}");
    // Without a window it is healed, when Central Command's word is fresh.
    let fresh = "INSERT OR REPLACE INTO facts VALUES ('fresh_until', '2200-01-01T00:00:00Z')";
    restart(&mut clinic, "maintenance_window_enabled: false", fresh).await;
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
