//! Central Command goes away while things drift, comes back ill, then well: nothing is lost, nothing arrives twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_contracts::rehearsal::RehearsedTime;
use msp_lab::Progress;
use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_suite::agent::{healed, json, wait};
use msp_suite::relay::Relay;
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
    let mut verified = (None, Value::Null);
    // The first round of checks goes on meanwhile, and each of them makes a bundle.
    for _ in 0..100 {
        verified = msp_suite::agent::json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();
        if verified.1["receipts"] == verified.1["count"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!((verified.0, &verified.1["receipts"]), (Some(0), &verified.1["count"]), "{:#}", verified.1);
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

/// Ids in the order in which somebody stored them.
fn in_order(database: &str, query: &str) -> Vec<String> {
    let db = rusqlite::Connection::open(database).unwrap();
    let mut statement = db.prepare(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// So many times as fast: an hour takes half a minute.
const RATE: f64 = 120.0;

fn seconds(rehearsed: u64) -> Duration {
    Duration::from_secs(rehearsed).div_f64(RATE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_hour_without_central_command_then_errors_then_slow_answers_everything_is_there_once_and_in_order() {
    let mut clinic = Clinic::prepare(None).unwrap().with_poll_interval(30).with_settings("host_check_interval: 600\n");
    #[allow(clippy::disallowed_methods, reason = "a rehearsed time begins at a real one")]
    let real = jiff::Timestamp::now();
    clinic.rehearse(RehearsedTime { real, rehearsed: real, rate: RATE });
    clinic.found().await.unwrap();
    clinic.start_servers().await.unwrap();
    clinic.start_central().await.unwrap();
    let central = clinic.address().unwrap().agents.clone();
    let relay = Relay::start("127.0.0.1:0", &central, Duration::ZERO).await.unwrap();
    let front = relay.address().to_owned();
    clinic.write_config(&front).unwrap();
    clinic.start_agent().unwrap();
    wait(&mut clinic, "everything of the start has arrived", |known| {
        known.outbox.pending == 0 && !known.incidents.is_empty()
    })
    .await
    .unwrap();

    // For an hour the address answers nothing, and things drift meanwhile.
    relay.stop().await;
    let (fs01, dc01) = (clinic.member.as_ref().unwrap(), clinic.controller.as_ref().unwrap());
    let (member, controller) = (fs01.winrm.ip().to_string(), dc01.winrm.ip().to_string());
    fs01.inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    dc01.inject(Drift::ServiceStopped("DNS")).await.unwrap();
    tokio::time::sleep(seconds(1800)).await;
    clinic.member.as_ref().unwrap().inject(Drift::ServiceStopped("W32Time")).await.unwrap();
    tokio::time::sleep(seconds(1800)).await;
    let known = wait(&mut clinic, "all of it is healed without Central Command", |known| {
        healed(known, &member, "firewall", None)
            && healed(known, &controller, "services", Some("DNS"))
            && healed(known, &member, "services", Some("W32Time"))
    })
    .await
    .unwrap();
    assert!(known.outbox.pending >= 12, "{:?}", known.outbox);
    let config = clinic.config();
    let (_, listed) = json(&["queue", "list", "--json", "--config", &config]).unwrap();
    let rows = listed["queue"].as_array().unwrap();
    let tried: Vec<_> = rows.iter().filter(|row| row["attempts"] != 0).collect();
    let kinds: std::collections::BTreeSet<_> = tried.iter().map(|row| row["kind"].to_string()).collect();
    assert!(
        kinds.len() >= 3 && kinds.len() == tried.len(),
        "of each kind the first is tried, and no other: {listed:#}"
    );
    for row in tried {
        assert!(row["last_error"].as_str().unwrap().contains("could not be reached"), "{row:#}");
        // Pauses grow to a minute.
        assert!((10..=75).contains(&row["attempts"].as_u64().unwrap()), "{row:#}");
    }
    let (_, bundles) = json(&["evidence", "list", "--json", "--config", &config]).unwrap();
    let bundles = bundles["evidence"].as_array().unwrap();
    assert!(bundles.iter().any(|one| one["kind"] == "roll_up"), "an hour has passed: {bundles:#?}");

    for (status, headers, said) in
        [("500 Internal Server Error", "", "500"), ("429 Too Many Requests", "retry-after: 45\r\n", "429")]
    {
        let ill =
            StandIn::start(&clinic.central_dir(), &front, move |_, _| answer(status, headers, b"ill")).await.unwrap();
        wait(&mut clinic, "it has answered", |_| {
            let (_, listed) = json(&["queue", "list", "--json", "--config", &config]).unwrap();
            let tried = |row: &&Value| row["attempts"] != 0;
            listed["queue"]
                .as_array()
                .unwrap()
                .iter()
                .filter(tried)
                .all(|row| row["last_error"].as_str().unwrap().contains(&format!("answered {said}")))
        })
        .await
        .unwrap();
        tokio::time::sleep(seconds(180)).await;
        let mut bodies: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for asked in
            ill.asked().into_iter().filter(|asked| asked.line.starts_with("POST") && !asked.line.contains("checkin"))
        {
            bodies.entry(asked.line).or_default().push(asked.body);
        }
        assert!(!bodies.is_empty());
        for (line, of) in bodies {
            assert!(of.iter().all(|body| *body == of[0]), "{line}: the first that is owed keeps its place");
            // Three minutes: at one try a minute, or after what the server asked for.
            assert!(of.len() <= 10, "{line}: {} tries", of.len());
        }
        ill.stop().await;
    }

    // Well again, but each answer takes a second, which is two minutes here.
    let relay = Relay::start(&front, &central, Duration::from_secs(1)).await.unwrap();
    let known = wait(&mut clinic, "everything has arrived", |known| known.outbox.pending == 0).await.unwrap();
    assert_eq!(known.outbox.rejected, 0, "{}", clinic.last_words());
    let log = clinic.agent_log();
    for said in ["a report waits", "could not be reached", "answered 500", "answered 429"] {
        assert!(log.contains(said), "{said}");
    }
    clinic.stop_agent().await;
    relay.stop().await;
    let (code, verified) = json(&["evidence", "verify", "--json", "--config", &config]).unwrap();
    assert_eq!((code, &verified["receipts"]), (Some(0), &verified["count"]), "{verified:#}");
    for (what, id) in [
        ("evidence", "bundle_id"),
        ("incidents", "incident_id"),
        ("executions", "execution_id"),
        ("escalations", "ticket_id"),
    ] {
        let held = held(&clinic, what, id).await;
        assert!(!held.is_empty() && held.values().all(|times| *times == 1), "{what}: {held:?}");
    }
    let agent = clinic.path().join("agent/state/agent.db").display().to_string();
    let central = clinic.path().join("central/central.db").display().to_string();
    for (there, here) in [
        ("SELECT bundle_id FROM evidence ORDER BY rowid", "SELECT bundle_id FROM evidence ORDER BY sequence"),
        ("SELECT incident_id FROM incidents ORDER BY rowid", "SELECT incident_id FROM incidents ORDER BY rowid"),
        (
            "SELECT execution_id FROM executions ORDER BY rowid",
            "SELECT execution_id FROM executions WHERE runbook_id IS NOT NULL ORDER BY completed_at",
        ),
    ] {
        assert_eq!(in_order(&central, there), in_order(&agent, here), "{there}");
    }
    clinic.close().await;
}
