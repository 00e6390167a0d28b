//! What the agent does when it may not, cannot, or was interrupted: it says so, leaves evidence, and touches
//! nothing twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_lab::watch::{Incident, Known};
use msp_suite::agent::{healed, json, opened, run, set, wait};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const DNS: Drift = Drift::ServiceStopped("DNS");
const FIREWALL: Drift = Drift::FirewallProfileOff("Public");

async fn open() -> Clinic {
    opened().await.unwrap()
}

/// Adds lines to the agent's configuration and starts it again.
async fn restart_with(clinic: &mut Clinic, lines: &str) {
    clinic.stop_agent().await;
    set(clinic, lines).unwrap();
    clinic.start_agent().unwrap();
}

fn incident<'a>(known: &'a Known, host_id: &str, drift: Drift) -> Option<&'a Incident> {
    known.of(host_id, drift, &[])
}

async fn changes(server: &msp_lab::drift::Server, drift: Drift) -> usize {
    msp_suite::agent::changes(server, drift).await.unwrap()
}

fn bundle(clinic: &Clinic, id: &str) -> Value {
    msp_suite::agent::bundle(clinic, id).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_and_switched_off_healing_touch_nothing_and_leave_one_refusal_each() {
    let mut clinic = open().await;
    for (line, drift, outcome, reason) in [
        ("dry_run: true\n", DNS, "dry_run", "runs dry"),
        ("healing_enabled: false\n", FIREWALL, "deferred", "healing is switched off"),
    ] {
        restart_with(&mut clinic, line).await;
        let server = clinic.controller.as_ref().unwrap();
        let ip = server.winrm.ip().to_string();
        server.inject(drift).await.unwrap();
        let refused = |known: &Known| incident(known, &ip, drift).is_some_and(|one| one.outcome.is_some());
        wait(&mut clinic, "the plan is refused", refused).await.unwrap();
        // Several more rounds: the same refusal is not told again and again.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let known = wait(&mut clinic, "the refusal has arrived", |known| known.outbox.pending == 0).await.unwrap();
        let one = incident(&known, &ip, drift).unwrap();
        assert_eq!((one.state.as_str(), one.outcome.as_deref()), ("open", Some(outcome)));
        let id = one.evidence_id.clone().unwrap();
        let proof = bundle(&clinic, &id);
        assert_eq!((&proof["kind"], &proof["outcome"]), (&json!("refusal"), &json!("deferred")));
        assert!(proof["plan"]["reason"].as_str().unwrap().contains(reason), "{proof:#}");
        let (_, listed) =
            json(&["evidence", "list", "--incident", &one.incident_id, "--json", "--config", &clinic.config()])
                .unwrap();
        assert_eq!(listed["evidence"].as_array().unwrap().len(), 1, "{listed:#}");
        assert_eq!(changes(clinic.controller.as_ref().unwrap(), drift).await, 0);
    }
    let log = clinic.agent_log();
    assert!(log.contains("[DRY-RUN] Would execute: RB-WIN-SVC-001 with {\"service\":\"DNS\"}"), "{log}");
    assert!(log.contains("L1 rule matched"), "{log}");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_runbook_cannot_mend_goes_to_a_person_once_with_everything_that_was_tried() {
    let mut clinic = open().await;
    let (fs01, dc01) = (clinic.member.as_ref().unwrap(), clinic.controller.as_ref().unwrap());
    let (member, controller) = (fs01.winrm.ip().to_string(), dc01.winrm.ip().to_string());
    // Group Policy turns the profile off: no local setting helps. DNS will not start.
    fs01.send(&json!({ "kind": "firewall_policy", "profile": "Public", "enabled": "False" })).await.unwrap();
    dc01.send(&json!({ "kind": "service_start_fails", "service": "DNS", "fails": true })).await.unwrap();
    dc01.inject(DNS).await.unwrap();
    let escalated = |known: &Known| {
        [(&member, FIREWALL), (&controller, DNS)]
            .iter()
            .all(|(ip, drift)| incident(known, ip, *drift).is_some_and(|one| one.state == "escalated"))
    };
    wait(&mut clinic, "both are with a person", escalated).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let known = wait(&mut clinic, "the tickets have arrived", |known| known.outbox.pending == 0).await.unwrap();

    let dir = clinic.central_dir();
    let printed =
        succeed("msp-central", &["list", "escalations", "--dir", &dir, "--site", SITE, "--json"]).await.unwrap();
    let tickets: Vec<Value> = serde_json::from_slice(&printed).unwrap();
    for (ip, drift, outcome, word) in
        [(&member, FIREWALL, "unsupported", "Group Policy"), (&controller, DNS, "failed", "DNS")]
    {
        let one = incident(&known, ip, drift).unwrap();
        assert_eq!(one.outcome.as_deref(), Some(outcome), "{one:?}");
        let of: Vec<_> = tickets.iter().filter(|ticket| ticket["incident_id"] == one.incident_id.as_str()).collect();
        assert_eq!(of.len(), 1, "one ticket, not one a round: {of:#?}");
        assert!(of[0]["reason"].as_str().unwrap().contains(word), "{:#}", of[0]);
        assert_eq!(of[0]["evidence"], json!([one.evidence_id]));
        let proof = bundle(&clinic, one.evidence_id.as_deref().unwrap());
        assert_eq!((&proof["kind"], &proof["detail"]), (&json!("heal"), &json!(outcome)));
        let phases: Vec<_> = proof["actions"].as_array().unwrap().iter().map(|step| step["phase"].clone()).collect();
        assert_eq!(phases[..2], [json!("remediate"), json!("verify")], "{proof:#}");
        assert_eq!(
            proof["actions"].as_array().unwrap().len(),
            2,
            "nothing was changed, so nothing is undone: {proof:#}"
        );
    }

    // A person mends it: the incident is over, and the agent did not do it.
    let dc01 = clinic.controller.as_ref().unwrap();
    dc01.send(&json!({ "kind": "service_start_fails", "service": "DNS", "fails": false })).await.unwrap();
    dc01.send(&json!({ "kind": "service_running", "service": "DNS" })).await.unwrap();
    let resolved = |known: &Known| incident(known, &controller, DNS).is_some_and(|one| one.state == "resolved");
    wait(&mut clinic, "the incident is over", resolved).await.unwrap();
    assert_eq!(changes(clinic.controller.as_ref().unwrap(), DNS).await, 0);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_that_comes_back_within_the_cooldown_waits_also_after_a_restart() {
    let mut clinic = open().await;
    let ip = clinic.controller.as_ref().unwrap().winrm.ip().to_string();
    clinic.controller.as_ref().unwrap().inject(DNS).await.unwrap();
    wait(&mut clinic, "DNS is healed", |known| healed(known, &ip, "services", Some("DNS"))).await.unwrap();
    clinic.controller.as_ref().unwrap().inject(DNS).await.unwrap();
    let deferred = |known: &Known| {
        let latest = known.incidents.iter().find(|one| one.host_id == ip && one.subject.as_deref() == Some("DNS"));
        latest.is_some_and(|one| one.outcome.as_deref() == Some("deferred"))
    };
    let known = wait(&mut clinic, "the second plan waits", deferred).await.unwrap();
    let latest = known.incidents.iter().find(|one| one.subject.as_deref() == Some("DNS")).unwrap();
    let proof = bundle(&clinic, latest.evidence_id.as_deref().unwrap());
    assert!(proof["plan"]["reason"].as_str().unwrap().contains("cooldown until"), "{proof:#}");
    restart_with(&mut clinic, "").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    wait(&mut clinic, "it still waits", deferred).await.unwrap();
    assert_eq!(changes(clinic.controller.as_ref().unwrap(), DNS).await, 1);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_without_an_outcome_is_looked_at_after_a_restart_and_not_done_again() {
    let mut clinic = open().await;
    let ip = clinic.controller.as_ref().unwrap().winrm.ip().to_string();
    clinic.controller.as_ref().unwrap().inject(DNS).await.unwrap();
    wait(&mut clinic, "DNS is healed", |known| healed(known, &ip, "services", Some("DNS"))).await.unwrap();
    clinic.stop_agent().await;
    // As if the power had gone between the change and the storing of its outcome.
    let db = rusqlite::Connection::open(clinic.path().join("agent/state/agent.db")).unwrap();
    let undone = "UPDATE executions SET completed_at = NULL, detail = NULL, error = NULL, evidence_id = NULL
                  WHERE runbook_id = 'RB-WIN-SVC-001'";
    assert_eq!(db.execute(undone, []).unwrap(), 1);
    db.execute("UPDATE incidents SET state = 'open', resolved_at = NULL WHERE subject = 'DNS'", []).unwrap();
    drop(db);
    clinic.start_agent().unwrap();
    let known =
        wait(&mut clinic, "the intent has an outcome", |known| healed(known, &ip, "services", Some("DNS"))).await;
    let known = known.unwrap();
    let proof = bundle(&clinic, incident(&known, &ip, DNS).unwrap().evidence_id.as_deref().unwrap());
    let phases: Vec<_> = proof["actions"].as_array().unwrap().iter().map(|step| step["phase"].clone()).collect();
    assert_eq!(phases, ["verify"], "only looked at: {proof:#}");
    assert_eq!(changes(clinic.controller.as_ref().unwrap(), DNS).await, 1);
    assert!(clinic.agent_log().contains("interrupted by a restart"));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_central_command_arrive_signed_rank_below_the_built_in_ones_and_go_when_withdrawn() {
    let mut clinic = open().await;
    let finding = clinic.path().join("finding.json");
    std::fs::write(
        &finding,
        r#"{"check_type":"printers","platform":"windows","drift_detected":true,"details":{"jammed":true}}"#,
    )
    .unwrap();
    let finding = finding.display().to_string();
    let config = clinic.config();
    let winner = || {
        let (_, explained) = json(&["rules", "explain", &finding, "--json", "--config", &config]).unwrap();
        explained["winner"].as_str().map(ToOwned::to_owned)
    };
    assert_eq!(winner(), None);
    let rules = clinic.path().join("site-rules.yaml");
    let import = |text: &str| {
        std::fs::write(&rules, text).unwrap();
        let (dir, rules) = (clinic.central_dir(), rules.display().to_string());
        async move { succeed("msp-central", &["rules", "import", "--dir", &dir, "--site", SITE, &rules]).await }
    };
    let rule = "rules:\n  - id: SITE-PRINTER\n    name: Printer jammed\n    conditions:\n      \
                - {field: check_type, operator: eq, value: printers}\n      - {field: details.jammed, operator: eq, value: true}\n    \
                action: escalate\n    action_params: {reason: somebody pulls the paper out, urgency: low}\n";
    import(rule).await.unwrap();
    let mut arrived = None;
    for _ in 0..50 {
        arrived = winner();
        if arrived.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(arrived.as_deref(), Some("SITE-PRINTER"));

    // A file that somebody lays beside it does not outlive the next start, and the signed set does.
    let stray = clinic.path().join("agent/state/rules/synced/stray.yaml");
    std::fs::write(&stray, rule.replace("SITE-PRINTER", "STRAY")).unwrap();
    import("rules: []\n").await.unwrap();
    for _ in 0..50 {
        if winner().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(winner(), None, "what was withdrawn is gone, and so is the stray file");
    assert!(!stray.exists());
    let lint = run(&["rules", "lint", "--config", &config]).unwrap();
    assert_eq!(lint.status.code(), Some(0), "{}", String::from_utf8_lossy(&lint.stdout));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_are_not_tried_again_until_a_file_brings_others() {
    let mut clinic = open().await;
    let server = clinic.controller.as_ref().unwrap();
    let (name, ip) = (server.hostname.clone(), server.winrm.ip().to_string());
    server.send(&json!({ "kind": "refuse_logons", "refuse": true })).await.unwrap();
    let said = format!("{ip}: the server refused the credentials");
    for _ in 0..50 {
        if clinic.agent_log().contains(&said) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(clinic.agent_log().matches(&said).count(), 1, "tried once, not with every round");
    let (_, listed) = json(&["evidence", "list", "--json", "--config", &clinic.config()]).unwrap();
    let of_server: Vec<_> =
        listed["evidence"].as_array().unwrap().iter().filter(|one| one["target"]["host_id"] == ip.as_str()).collect();
    let last = of_server.last().unwrap()["bundle_id"].as_str().unwrap();
    let proof = bundle(&clinic, last);
    assert_eq!(proof["post_state"]["status"], "error", "could not tell, and says so: {proof:#}");
    assert!(!proof.to_string().contains(&clinic.controller.as_ref().unwrap().password));

    let server = clinic.controller.as_ref().unwrap();
    server.send(&json!({ "kind": "refuse_logons", "refuse": false })).await.unwrap();
    server.inject(DNS).await.unwrap();
    // What it has came encrypted from Central Command; a file on the appliance wins.
    let file = clinic.path().join(format!("agent/windows/{name}.yaml"));
    let logon = json!({ "username": "msp-svc", "password": server.password });
    std::fs::write(&file, logon.to_string()).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    wait(&mut clinic, "DNS is healed with the new file", |known| healed(known, &ip, "services", Some("DNS")))
        .await
        .unwrap();
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_does_not_pass_its_check_is_undone_and_goes_to_a_person_as_rolled_back() {
    let mut clinic = open().await;
    // The agent sees both at once: otherwise the first alone might be dealt with before the second is there.
    clinic.stop_agent().await;
    let server = clinic.member.as_ref().unwrap();
    let ip = server.winrm.ip().to_string();
    // Group Policy keeps Public off, and Private is off by hand: turning Private on is not enough.
    server.send(&json!({ "kind": "firewall_policy", "profile": "Public", "enabled": "False" })).await.unwrap();
    server.inject(Drift::FirewallProfileOff("Private")).await.unwrap();
    clinic.start_agent().unwrap();
    let ended = |known: &Known| {
        known.incidents.iter().any(|one| one.host_id == ip && one.outcome.as_deref() == Some("rolled_back"))
    };
    let known = wait(&mut clinic, "the change is rolled back", ended).await.unwrap();
    let one = known.incidents.iter().find(|one| one.outcome.as_deref() == Some("rolled_back")).unwrap();
    assert_eq!(one.state, "escalated", "a failure with a name, never a success: {one:?}");
    let proof = bundle(&clinic, one.evidence_id.as_deref().unwrap());
    let phases: Vec<_> = proof["actions"].as_array().unwrap().iter().map(|step| step["phase"].clone()).collect();
    assert_eq!(phases, ["remediate", "verify", "undo", "verify"], "{proof:#}");
    assert_eq!((&proof["outcome"], &proof["rollback_available"]), (&json!("reverted"), &json!(true)));
    assert_eq!(proof["post_state"]["profiles"]["Private"], "False", "as it was before: {proof:#}");
    clinic.close().await;
}
