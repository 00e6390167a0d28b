//! Central Command goes away while things drift, comes back ill, then well: nothing is lost, nothing arrives twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_lab::Progress;
use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_suite::agent::{healed, wait};
use msp_suite::stand_in::{StandIn, answer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often Central Command holds each id of a kind.
async fn held(clinic: &Clinic, what: &str, id: &str) -> BTreeMap<String, usize> {
    let dir = clinic.central_dir();
    let printed = succeed("msp-central", &["list", what, "--dir", &dir, "--site", SITE, "--json"]).await.unwrap();
    let document: Value = serde_json::from_slice(&printed).unwrap();
    let mut found = BTreeMap::new();
    // Evidence comes with its chains beside it, the others as a list.
    let rows = document.get("bundles").unwrap_or(&document);
    for row in rows.as_array().unwrap() {
        *found.entry(row[id].as_str().unwrap().to_owned()).or_default() += 1;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_healed_while_central_command_is_away_or_ill_arrives_afterwards_each_report_once() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "everything of the start has arrived", |known| {
        known.outbox.pending == 0 && !known.incidents.is_empty()
    })
    .await
    .unwrap();

    clinic.stop_central().await;
    let (member, controller) = (clinic.member.as_ref().unwrap(), clinic.controller.as_ref().unwrap());
    let (fs01, dc01) = (member.winrm.ip().to_string(), controller.winrm.ip().to_string());
    member.inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    member.inject(Drift::ServiceStopped("W32Time")).await.unwrap();
    controller.inject(Drift::ServiceStopped("DNS")).await.unwrap();
    let offline = wait(&mut clinic, "three drifts are healed without Central Command", |known| {
        healed(known, &fs01, "firewall", None)
            && healed(known, &fs01, "services", Some("W32Time"))
            && healed(known, &dc01, "services", Some("DNS"))
    })
    .await
    .unwrap();
    assert!(offline.outbox.pending > 0, "{offline:?}");

    // Central Command comes back ill.
    let address = clinic.address().unwrap().agents.clone();
    let ill = StandIn::start(&clinic.central_dir(), &address, |_, number| match number % 5 {
        0 => answer("500 Internal Server Error", "", b"boom"),
        1 => answer("429 Too Many Requests", "retry-after: 1\r\n", b""),
        2 => answer("200 OK", "content-type: application/json\r\n", b"{\"no\": \"reply of ours\"}"),
        3 => answer("200 OK", "content-type: text/html\r\n", b"<html>a captive portal</html>"),
        _ => None,
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let posts = ill.asked().iter().filter(|asked| asked.line.starts_with("POST")).count();
    assert!(posts > 4, "only {posts} reports were tried");
    let known = wait(&mut clinic, "the agent answers", |_| true).await.unwrap();
    assert!(known.outbox.pending >= offline.outbox.pending, "{known:?} after {offline:?}");
    assert_eq!(known.outbox.rejected, 0, "an illness is no refusal");
    ill.stop().await;

    // The agent is started again before Central Command is well: what is owed survives it.
    clinic.stop_agent().await;
    clinic.start_agent().unwrap();
    clinic.start_central().await.unwrap();
    let known = wait(&mut clinic, "everything has arrived", |known| known.outbox.pending == 0).await.unwrap();
    assert_eq!(known.outbox.rejected, 0);

    let incidents = held(&clinic, "incidents", "incident_id").await;
    let expected: BTreeMap<_, _> = known.incidents.iter().map(|one| (one.incident_id.clone(), 1)).collect();
    assert_eq!(incidents, expected, "each incident, once");
    let evidence = held(&clinic, "evidence", "bundle_id").await;
    let bundles: Vec<_> = known.incidents.iter().filter_map(|one| one.evidence_id.clone()).collect();
    assert!(bundles.len() >= 3 && bundles.iter().all(|id| evidence.get(id) == Some(&1)), "{bundles:?} in {evidence:?}");
    let (code, verified) =
        msp_suite::agent::json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!((code, &verified["ok"]), (Some(0), &Value::Bool(true)), "{verified:#}");
    assert_eq!(verified["count"], evidence.len(), "each bundle, once");
    assert_eq!(verified["receipts"], verified["count"], "each with its receipt");
    let executions = held(&clinic, "executions", "execution_id").await;
    assert!(executions.len() >= 3 && executions.values().all(|times| *times == 1), "{executions:?}");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appliance_whose_state_was_lost_begins_another_chain_and_everything_arrives() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    let arrived = |known: &msp_lab::watch::Known| known.outbox.pending == 0 && !known.incidents.is_empty();
    wait(&mut clinic, "everything has arrived", arrived).await.unwrap();
    let before = held(&clinic, "evidence", "bundle_id").await.len();
    clinic.stop_agent().await;
    let state = clinic.path().join("agent/state");
    std::fs::rename(&state, clinic.path().join("agent/state.aside")).unwrap();
    clinic.start_agent().unwrap();
    let known = wait(&mut clinic, "everything has arrived again", arrived).await.unwrap();
    assert_eq!(known.outbox.rejected, 0, "{}", clinic.last_words());
    let after = held(&clinic, "evidence", "bundle_id").await;
    assert!(after.len() > before + 5, "{before}, then {}", after.len());
    assert!(after.values().all(|times| *times == 1), "no number twice: {after:?}");
    let (code, verified) =
        msp_suite::agent::json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!((code, &verified["receipts"]), (Some(0), &verified["count"]), "{verified:#}");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_good_stays_visible_blocks_nothing_and_can_be_sent_again() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "everything has arrived", |known| known.outbox.pending == 0 && !known.incidents.is_empty())
        .await
        .unwrap();
    let address = clinic.address().unwrap().agents.clone();
    clinic.stop_central().await;
    // Something that refuses escalations and evidence for good, and is ill for the rest.
    let refusing = StandIn::start(&clinic.central_dir(), &address, |asked, _| {
        let for_good = asked.line.contains("escalations") || asked.line.contains("evidence");
        let status = if for_good { "422 Unprocessable Content" } else { "503 Service Unavailable" };
        answer(status, "", b"no")
    })
    .await
    .unwrap();
    clinic.controller.as_ref().unwrap().inject(Drift::ServiceStopped("DNS")).await.unwrap();
    let known = wait(&mut clinic, "evidence is refused, the incident waits", |known| {
        known.outbox.rejected > 0 && known.outbox.pending > 0
    })
    .await
    .unwrap();
    refusing.stop().await;
    clinic.start_central().await.unwrap();
    let known_after = wait(&mut clinic, "what waited has arrived", |known| known.outbox.pending == 0).await.unwrap();
    assert!(known_after.outbox.rejected >= known.outbox.rejected, "refused is refused: {known_after:?}");

    let config = clinic.config();
    let (code, listed) = msp_suite::agent::json(&["queue", "rejected", "--json", "--config", &config]).unwrap();
    let refused = listed["queue"].as_array().unwrap();
    assert_eq!(code, Some(1), "{listed:#}");
    assert!(refused.iter().all(|one| one["last_error"].as_str().unwrap().contains("422")), "{listed:#}");
    let again = msp_suite::agent::run(&["queue", "retry", "--all", "--config", &config]).unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    wait(&mut clinic, "nothing is owed any more", |known| known.outbox.pending + known.outbox.rejected == 0)
        .await
        .unwrap();
    let (_, verified) = msp_suite::agent::json(&["evidence", "verify", "--json", "--config", &config]).unwrap();
    assert_eq!(verified["receipts"], verified["count"], "every bundle has its receipt now: {verified:#}");
    clinic.close().await;
}
