//! Orders of Central Command: what an attacker tries is refused, and what is accepted is seen through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jiff::SignedDuration;
use msp_contracts::api::WindowsTarget;
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::ids::{Counter, OrderId};
use msp_contracts::keys;
use msp_contracts::order::{Order, OrderAction};
use msp_lab::Progress;
use msp_lab::clinic::Clinic;
use msp_lab::drift::Drift;
use msp_suite::agent::{PATIENCE, json, run, wait};
use msp_suite::central::{Puppet, now};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(100);

/// Asks until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if so() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("waited {PATIENCE:?} until {what}");
}

fn entry(hostname: &str, address: std::net::SocketAddr) -> WindowsTarget {
    let entry = json!({ "hostname": hostname, "ip_address": address.ip(), "port": address.port() });
    serde_json::from_value(entry).unwrap()
}

/// A clinic without Windows servers whose Central Command is in the test's hands; the agent has checked in.
async fn bare() -> (Clinic, Puppet) {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    let puppet = Puppet::start(&clinic, vec![]).await.unwrap();
    clinic.write_config(puppet.address()).unwrap();
    clinic.start_agent().unwrap();
    until("the agent has checked in", || puppet.says().chain.is_some()).await;
    (clinic, puppet)
}

/// The orders as the agent lists them, oldest first.
fn listed(clinic: &Clinic) -> Vec<Value> {
    let (_, listed) = json(&["orders", "list", "--json", "--config", &clinic.config()]).unwrap();
    let mut orders = listed["orders"].as_array().unwrap().clone();
    orders.reverse();
    orders
}

fn of(clinic: &Clinic, id: &OrderId) -> Value {
    listed(clinic).into_iter().find(|one| one["order_id"] == id.as_str()).unwrap_or(Value::Null)
}

/// The agent's evidence about orders: bundle kind `order`, by the order's id.
fn proved(clinic: &Clinic) -> Vec<Value> {
    let (_, listed) = json(&["evidence", "list", "--json", "--config", &clinic.config()]).unwrap();
    let ids = listed["evidence"].as_array().unwrap().iter().filter(|one| one["kind"] == "order");
    ids.map(|one| {
        let id = one["bundle_id"].as_str().unwrap();
        json(&["evidence", "show", id, "--config", &clinic.config()]).unwrap().1
    })
    .collect()
}

fn verified(clinic: &Clinic) {
    let (code, report) = json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!(code, Some(0), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_forged_expired_replayed_damaged_or_for_somebody_else_is_refused_by_name_and_proved() {
    let (mut clinic, mut puppet) = bare().await;
    let stranger = keys::from_seed([9; 32]);
    let dry = || OrderAction::SetDryRun { dry_run: true };
    let first = puppet.give(OrderAction::SetDryRun { dry_run: false });
    until("the first order is done", || puppet.completion(&first.order_id).is_some()).await;

    let mut attacks: Vec<(OrderId, &str)> = Vec::new();
    let mut attack =
        |puppet: &mut Puppet, said, change: &dyn Fn(&mut Order), spoil: &dyn Fn(&Order, Envelope) -> Value| {
            let mut order = puppet.order(dry());
            change(&mut order);
            let envelope = puppet.sign(&order);
            puppet.send(&order.order_id, &spoil(&order, envelope));
            attacks.push((order.order_id, said));
        };
    let as_it_is = |_: &Order, envelope: Envelope| json!(envelope);
    attack(&mut puppet, "none of the 1 trusted keys", &|_| {}, &|order, _| json!(order.sign(&stranger).unwrap()));
    attack(&mut puppet, "does not match the payload", &|_| {}, &|order, envelope| {
        let mut other = order.clone();
        other.reason = "another".to_owned();
        json!(Envelope { payload: other.sign(&stranger).unwrap().payload, ..envelope })
    });
    attack(&mut puppet, "signed more than once", &|_| {}, &|_, mut envelope| {
        envelope.signatures.push(envelope.signatures[0].clone());
        json!(envelope)
    });
    attack(&mut puppet, "no envelope", &|_| {}, &|_, envelope| {
        let text = serde_json::to_string(&envelope).unwrap();
        json!(text[..text.len() / 2])
    });
    attack(&mut puppet, "longer than 65536 bytes", &|order| order.reason = "x".repeat(80_000), &as_it_is);
    attack(&mut puppet, "expired at", &|order| order.stamp.expires = now() - SignedDuration::from_secs(1), &as_it_is);
    attack(&mut puppet, "in the future", &|order| order.stamp.issued = now() + SignedDuration::from_mins(6), &as_it_is);
    attack(
        &mut puppet,
        "allows 900 s (order_ttl)",
        &|order| order.stamp.expires = order.stamp.issued + SignedDuration::from_hours(24),
        &as_it_is,
    );
    attack(&mut puppet, "made for site \"clinic-b\"", &|order| order.stamp.site_id = "clinic-b".into(), &as_it_is);
    attack(&mut puppet, "made for appliance \"other\"", &|order| order.stamp.appliance = "other".into(), &as_it_is);
    attack(&mut puppet, "is a replay", &|order| order.stamp.sequence = Counter(1), &as_it_is);
    attack(
        &mut puppet,
        "before the state was lost",
        &|order| order.chain = "00000000000000aa".to_owned().try_into().unwrap(),
        &as_it_is,
    );
    attack(&mut puppet, "to be carried out by", &|order| order.execute_by = now(), &as_it_is);
    attack(&mut puppet, "schema version 9", &|order| order.schema_version = 9, &as_it_is);
    attack(&mut puppet, "sent as", &|_| {}, &|order, _| {
        let mut other = order.clone();
        other.order_id = OrderId::from_random([7; 6]);
        json!(other.sign(&puppet_key(&clinic)).unwrap())
    });

    // A server that rotates keys signs with both: a stranger's signature beside the trusted one is passed over. Sent
    // once with it and once without, the order is carried out once.
    let twice = puppet.order(OrderAction::SetDryRun { dry_run: false });
    let mut both = puppet.sign(&twice);
    both.signatures.push(twice.sign(&stranger).unwrap().signatures.remove(0));
    puppet.send(&twice.order_id, &both);
    let plain = puppet.sign(&twice);
    puppet.send(&twice.order_id, &plain);
    // Damaged entries hurt no other.
    puppet.says().pending.push(json!("rubbish"));
    let last = puppet.give(OrderAction::SetDryRun { dry_run: false });
    until("the last order is done", || puppet.completion(&last.order_id).is_some()).await;
    // Every pull sends all of them again.
    tokio::time::sleep(Duration::from_millis(2500)).await;

    for (id, said) in &attacks {
        let order = listed(&clinic).into_iter().find(|one| {
            one["state"] == "refused"
                && one["order_id"] == id.as_str()
                && one["reason"].as_str().unwrap().contains(said)
        });
        assert!(
            order.is_some(),
            "{id} is to be refused because {said:?}: {:#?}\n{}",
            listed(&clinic),
            clinic.last_words()
        );
        let completion = puppet.completion(id).unwrap_or_else(|| panic!("{id} was not reported"));
        assert!(!completion.success && completion.error_message.unwrap().contains(said));
    }
    let done: Vec<_> = listed(&clinic).into_iter().filter(|one| one["state"] == "done").collect();
    assert_eq!(done.len(), 3, "{done:#?}");
    let (_, status) = json(&["status", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!(status["status"]["dry_run"], false, "no attack has changed anything");
    // One bundle for each order: attacks, the rubbish, the copy with another signature, and the three that count.
    let bundles = proved(&clinic);
    let refused = bundles.iter().filter(|one| one["post_state"]["order"] == "refused").count();
    assert_eq!(refused, attacks.len() + 2, "{bundles:#?}");
    assert_eq!(bundles.len(), refused + 3);
    verified(&clinic);
    clinic.close().await;
}

fn puppet_key(clinic: &Clinic) -> keys::SigningKey {
    keys::private_from_pem(&std::fs::read_to_string(clinic.path().join("central/signing.pem")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_from_before_the_state_was_lost_does_not_come_back() {
    let (mut clinic, mut puppet) = bare().await;
    let order = puppet.give(OrderAction::SetDryRun { dry_run: true });
    until("the order is done", || puppet.completion(&order.order_id).is_some_and(|done| done.success)).await;
    clinic.stop_agent().await;
    std::fs::remove_dir_all(clinic.path().join("agent/state")).unwrap();
    let before = puppet.says().chain.take();
    clinic.start_agent().unwrap();
    until("the agent has checked in", || puppet.says().chain.is_some()).await;
    assert_ne!(puppet.says().chain, before, "a new state has a new name");
    // It is well within its time, correctly signed, and no sequence is remembered: the state's name gives it away.
    until("the old order is refused", || of(&clinic, &order.order_id)["state"] == "refused").await;
    let reason = of(&clinic, &order.order_id)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("before the state was lost"), "{reason}");
    let fresh = puppet.give(OrderAction::SetDryRun { dry_run: false });
    until("a new order is done", || puppet.completion(&fresh.order_id).is_some_and(|done| done.success)).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_by_an_order_and_the_old_key_is_not_believed_any_more() {
    let (mut clinic, mut puppet) = bare().await;
    let old = puppet_key(&clinic);
    let new = keys::from_seed([5; 32]);
    let none = puppet.give(OrderAction::RotateKeys { server_public_keys: vec![] });
    let rotate = OrderAction::RotateKeys { server_public_keys: vec![keys::public_to_hex(&new.verifying_key())] };
    let rotate = puppet.give(rotate);
    until("the keys are rotated", || puppet.completion(&rotate.order_id).is_some_and(|done| done.success)).await;
    assert!(!puppet.completion(&none.order_id).unwrap().success, "no key at all is refused");
    let forged = puppet.give(OrderAction::SetDryRun { dry_run: true });
    until("the old key is refused", || of(&clinic, &forged.order_id)["state"] == "refused").await;
    puppet.says().key = new;
    clinic.stop_agent().await;
    clinic.start_agent().unwrap();
    let believed = puppet.give(OrderAction::SetDryRun { dry_run: true });
    until("the new key is believed, after a restart too", || {
        puppet.completion(&believed.order_id).is_some_and(|done| done.success)
    })
    .await;
    assert!(old.verifying_key() != puppet.says().key.verifying_key());
    verified(&clinic);
    clinic.close().await;
}

fn firewall(host_id: &str) -> OrderAction {
    OrderAction::RunRunbook {
        runbook_id: "RB-WIN-FIREWALL-001".into(),
        host_id: host_id.into(),
        parameters: BTreeMap::new(),
    }
}

/// A clinic with its servers, healing nothing by itself, whose Central Command is in the test's hands.
async fn with_servers(more: &str) -> (Clinic, Puppet) {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.start_servers().await.unwrap();
    let targets = [&clinic.member, &clinic.controller].map(|server| {
        let server = server.as_ref().unwrap();
        entry(&server.hostname, server.winrm)
    });
    let puppet = Puppet::start(&clinic, targets.to_vec()).await.unwrap();
    clinic.write_config(puppet.address()).unwrap();
    let config = std::fs::read_to_string(clinic.config()).unwrap();
    std::fs::write(clinic.config(), config + more).unwrap();
    // The rule that would heal a firewall by itself is switched off: a person decides here.
    let off = "rules:\n  - {id: L1-WIN-FIREWALL-001, enabled: false}\n  - {id: L1-FIREWALL-001, enabled: false}\n  - {id: L1-FIREWALL-002, enabled: false}\n";
    std::fs::write(clinic.path().join("agent/rules/site.yaml"), off).unwrap();
    clinic.start_agent().unwrap();
    until("the agent has checked in", || puppet.says().chain.is_some()).await;
    (clinic, puppet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_runbook_heals_what_a_person_was_asked_about_once_even_without_central_command() {
    let (mut clinic, mut puppet) = with_servers("").await;
    let server = clinic.member.as_ref().unwrap();
    server.inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    let host = server.winrm.ip().to_string();
    wait(&mut clinic, "a person is asked", |known| {
        known.incidents.iter().any(|one| one.host_id == host && one.check == "firewall" && one.state == "escalated")
    })
    .await
    .unwrap();

    // Named by a part of its address, or by nobody's name, it is refused with the candidates.
    let nobody = puppet.give(firewall("127"));
    let unknown = puppet.give(OrderAction::RunRunbook {
        runbook_id: "RB-WIN-FIREWALL-001".into(),
        host_id: "FS01".into(),
        parameters: BTreeMap::from([("profile".to_owned(), "Public".to_owned())]),
    });
    until("both are refused", || puppet.completion(&unknown.order_id).is_some()).await;
    assert!(puppet.completion(&nobody.order_id).unwrap().error_message.unwrap().contains("FS01 127.0.0.11"));
    assert!(puppet.completion(&unknown.order_id).unwrap().error_message.unwrap().contains("takes no parameter"));

    // Accepted, and Central Command goes away at once: the order is carried out all the same.
    let order = puppet.order(firewall("fs01"));
    puppet.send(&order.order_id, &puppet.sign(&order));
    until("it is carried out", || of(&clinic, &order.order_id)["state"] == "done").await;
    let known = wait(&mut clinic, "the incident is over", |known| {
        known.incidents.iter().any(|one| one.host_id == host && one.check == "firewall" && one.state == "resolved")
    })
    .await
    .unwrap();
    let incident = known.incidents.iter().find(|one| one.check == "firewall" && one.host_id == host).unwrap();
    assert_eq!(
        (incident.outcome.as_deref(), incident.level.as_deref()),
        (Some("fixed"), Some("L3")),
        "a person has decided"
    );
    until("it is reported", || puppet.completion(&order.order_id).is_some()).await;
    let completion = puppet.completion(&order.order_id).unwrap();
    assert!(completion.success, "{completion:?}");
    assert_eq!(completion.result["outcome"], "fixed");
    assert_eq!(completion.result["incident_id"], json!(incident.incident_id));
    assert!(puppet.says().acknowledged.contains(&order.order_id.to_string()));

    // Ordered again, there is nothing to change.
    let again = puppet.give(firewall("FS01"));
    until("it is over", || puppet.completion(&again.order_id).is_some()).await;
    assert_eq!(puppet.completion(&again.order_id).unwrap().result["outcome"], "no_change");
    let server = clinic.member.as_ref().unwrap();
    let changes = server.ledger().await.unwrap();
    let mended = changes.iter().filter(|change| Drift::FirewallProfileOff("Public").is_about(change)).count();
    assert_eq!(mended, 1);
    verified(&clinic);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_order_survives_a_restart_can_be_taken_back_and_ends_when_its_time_is_over() {
    let (mut clinic, mut puppet) = with_servers("healing_enabled: false\n").await;
    let server = clinic.member.as_ref().unwrap();
    server.inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    let late = {
        let mut order = puppet.order(firewall("DC01"));
        order.execute_by = now() + SignedDuration::from_secs(8);
        puppet.send(&order.order_id, &puppet.sign(&order));
        order
    };
    clinic.controller.as_ref().unwrap().inject(Drift::FirewallProfileOff("Domain")).await.unwrap();
    let order = puppet.give(firewall("FS01"));
    until("it waits, and says why", || {
        of(&clinic, &order.order_id)["reason"].as_str().unwrap_or_default().contains("healing_enabled")
    })
    .await;
    clinic.kill_agent().await;
    clinic.start_agent().unwrap();
    let revoke = puppet.give(OrderAction::Revoke { order_id: order.order_id.clone() });
    let twice = puppet.give(OrderAction::Revoke { order_id: order.order_id.clone() });
    until("it is taken back", || puppet.completion(&twice.order_id).is_some()).await;
    assert_eq!(of(&clinic, &order.order_id)["state"], "revoked");
    assert!(puppet.completion(&revoke.order_id).unwrap().success);
    assert!(puppet.completion(&twice.order_id).unwrap().error_message.unwrap().contains("it is revoked"));
    until("the other is too late", || of(&clinic, &late.order_id)["state"] == "late").await;
    until("and says so", || puppet.completion(&late.order_id).is_some()).await;
    let said = puppet.completion(&late.order_id).unwrap().error_message.unwrap();
    assert!(said.contains("not carried out by") && said.contains("healing_enabled"), "{said}");
    assert!(puppet.says().acknowledged.contains(&order.order_id.to_string()));
    for server in [&clinic.member, &clinic.controller] {
        let changes = server.as_ref().unwrap().ledger().await.unwrap();
        assert!(changes.iter().all(|change| change.source != "script"), "nothing was changed: {changes:?}");
    }
    verified(&clinic);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_and_syncs_are_made_at_once_when_they_are_ordered() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    clinic.stop_agent().await;
    clinic.stop_central().await;
    let server = clinic.member.as_ref().unwrap();
    let mut puppet = Puppet::start(&clinic, vec![entry("FS01", server.winrm)]).await.unwrap();
    clinic.write_config(puppet.address()).unwrap();
    // Only orders and the first round make checks: the next turn would be in an hour.
    let config = std::fs::read_to_string(clinic.config()).unwrap() + "host_check_interval: 3600\n";
    std::fs::write(clinic.config(), config).unwrap();
    clinic.start_agent().unwrap();
    until("the agent has checked in", || puppet.says().chain.is_some()).await;
    let one = puppet.give(OrderAction::RunCheck { host_id: Some("FS01".into()), check_type: Some("firewall".into()) });
    let all = puppet.give(OrderAction::RunCheck { host_id: None, check_type: None });
    let typo = puppet.give(OrderAction::RunCheck { host_id: None, check_type: Some("firewal".into()) });
    until("all are over", || [&one, &all, &typo].iter().all(|order| puppet.completion(&order.order_id).is_some()))
        .await;
    let checks =
        |order: &Order| puppet.completion(&order.order_id).unwrap().result["checks"].as_array().unwrap().clone();
    assert_eq!(checks(&one).len(), 1, "{:#?}", checks(&one));
    assert_eq!(checks(&one)[0]["status"], "compliant");
    let hosts: std::collections::BTreeSet<_> = checks(&all).iter().map(|one| one["host_id"].to_string()).collect();
    assert_eq!(hosts.len(), 2, "the server and the appliance: {hosts:?}");
    assert!(puppet.completion(&typo.order_id).unwrap().error_message.unwrap().contains("no check called"));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_in_a_file_is_judged_without_being_accepted() {
    let (mut clinic, mut puppet) = bare().await;
    let file = clinic.path().join("order.json");
    let name = file.display().to_string();
    let verify = |order: &Envelope| {
        std::fs::write(&file, serde_json::to_vec(order).unwrap()).unwrap();
        json(&["orders", "verify", &name, "--json", "--config", &clinic.config()]).unwrap()
    };
    let order = puppet.order(OrderAction::KillSwitch { engaged: true });
    let (code, said) = verify(&puppet.sign(&order));
    assert_eq!((code, &said["accepted"]), (Some(0), &json!(true)), "{said:#}");
    assert_eq!(said["order"]["class"], "kill_switch");
    let (code, said) = verify(&order.sign(&keys::from_seed([9; 32])).unwrap());
    assert_eq!((code, &said["accepted"]), (Some(1), &json!(false)), "{said:#}");
    assert!(listed(&clinic).is_empty(), "nothing was accepted");
    std::fs::write(&file, "{").unwrap();
    let output = run(&["orders", "verify", &name, "--config", &clinic.config()]).unwrap();
    assert_eq!(output.status.code(), Some(2));
    clinic.close().await;
}
