//! The kill switch: told at once, released by signed orders, also to whoever was away.

use crate::clinic::{Agent, Clinic, SITE, now};
use msp_contracts::api::CheckinReply;
use msp_contracts::dsse::Signed;
use msp_contracts::order::{Order, OrderAction};
use rusqlite::params;
use serde_json::Value;

fn engage(clinic: &Clinic, further: &[&str]) {
    clinic.command(["kill-switch", "engage"], &[&[SITE, "--reason", "a bad rule", "--by", "alice"], further].concat());
}

fn release(clinic: &Clinic, further: &[&str]) -> String {
    let further = [&[SITE, "--reason", "rule withdrawn", "--by", "bob"], further].concat();
    clinic.command(["kill-switch", "release"], &further)
}

/// The releases that a reply brings, as the agent accepts them.
fn releases(reply: &CheckinReply, agent: &Agent) -> Vec<Order> {
    let orders = reply.orders.iter().map(|order| Order::verify(&order.envelope, &[agent.central]).unwrap());
    orders
        .inspect(|order| order.check(SITE, &agent.appliance, &agent.chain_id, now(), None, 900).unwrap())
        .filter(|order| order.action == OrderAction::KillSwitch { engaged: false })
        .collect()
}

#[tokio::test]
async fn every_appliance_is_told_at_its_next_check_in_and_released_by_signed_orders() {
    let clinic = Clinic::new();
    let (first, second) = (clinic.issue("apl-1"), clinic.issue("apl-2"));
    let elsewhere = clinic.issue_for("clinic-b", "apl-1");
    let server = clinic.serve();
    for agent in [&first, &second] {
        assert!(!agent.reports(&server, false).await.kill_switch);
    }
    engage(&clinic, &[]);
    for agent in [&first, &second] {
        let reply = agent.reports(&server, false).await;
        assert!(reply.kill_switch);
        assert_eq!(reply.kill_switch_reason.as_deref(), Some("a bad rule"));
    }
    assert!(!elsewhere.reports(&server, false).await.kill_switch);

    // Only the first has said so far that it stopped.
    first.reports(&server, true).await;
    let said = release(&clinic, &[]);
    assert!(said.contains("to apl-1") && !said.contains("to apl-2"), "{said}");
    let reply = first.reports(&server, true).await;
    assert!(!reply.kill_switch && reply.kill_switch_reason.is_none());
    let orders = releases(&reply, &first);
    assert_eq!(orders.len(), 1, "one release, however often it reports");
    assert_eq!((orders[0].issued_by.as_str(), orders[0].reason.as_str()), ("bob", "rule withdrawn"));
    let reply = second.reports(&server, true).await;
    assert_eq!((reply.kill_switch, releases(&reply, &second).len()), (false, 1));
    assert!(releases(&elsewhere.reports(&server, false).await, &elsewhere).is_empty());
}

#[tokio::test]
async fn an_appliance_that_was_away_for_a_week_is_released_when_it_is_back() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    engage(&clinic, &[]);
    agent.reports(&server, true).await;
    release(&clinic, &[]);
    // A week goes by: the release that nobody fetched is long expired, the change long past.
    let week_ago = |column: &str| format!("strftime('%Y-%m-%dT%H:%M:%f000Z', {column}, '-7 days')");
    let (issued, expires, changed) = (week_ago("issued_at"), week_ago("expires"), week_ago("changed_at"));
    let database = clinic.database();
    let aged = database.execute(&format!("UPDATE orders SET issued_at = {issued}, expires = {expires}"), params![]);
    assert_eq!(aged.unwrap(), 1);
    database.execute(&format!("UPDATE kill_switch SET changed_at = {changed}"), params![]).unwrap();
    let reply = agent.reports(&server, true).await;
    assert_eq!((reply.kill_switch, releases(&reply, &agent).len()), (false, 1));
    let listed: Value = serde_json::from_str(&clinic.command(["order", "list"], &["--json"])).unwrap();
    let states: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "expired"]);
}

#[tokio::test]
async fn an_appliance_that_lost_its_state_refuses_the_release_and_gets_another() {
    let clinic = Clinic::new();
    let mut agent = clinic.issue("apl-1");
    let server = clinic.serve();
    engage(&clinic, &[]);
    agent.reports(&server, true).await;
    release(&clinic, &[]);
    let old = clinic.command(["order", "list"], &["--json"]);
    let old: Value = serde_json::from_str(&old).unwrap();
    let id = old[0]["order_id"].as_str().unwrap();
    agent.chain_id = msp_contracts::ids::ChainId::from_random([99; 8]);
    let refusal = serde_json::json!({ "schema_version": 1, "order_id": id, "success": false });
    agent.post(&server, &format!("/api/orders/{id}/complete"), &refusal).await;
    assert_eq!(releases(&agent.reports(&server, true).await, &agent).len(), 1);
}

#[tokio::test]
async fn engaging_again_withdraws_the_release_that_waits() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    engage(&clinic, &[]);
    agent.reports(&server, true).await;
    release(&clinic, &[]);
    engage(&clinic, &["--appliance", "apl-1"]);
    let reply = agent.reports(&server, true).await;
    assert!(reply.kill_switch && reply.orders.is_empty());
    // The switch of the site is released, the one of the appliance is not.
    assert!(release(&clinic, &[]).contains("Still engaged: clinic-a/apl-1"));
    assert!(agent.reports(&server, true).await.kill_switch);
    let said =
        clinic.command_refused(["order", "issue"], &[SITE, "apl-1", "kill-switch", "off", "--reason", "let it work"]);
    assert!(said.contains("kill-switch release"), "{said}");
    release(&clinic, &["--appliance", "apl-1"]);
    let reply = agent.reports(&server, true).await;
    assert_eq!((reply.kill_switch, releases(&reply, &agent).len()), (false, 1));
    let shown: Value = serde_json::from_str(&clinic.command(["kill-switch", "show"], &[SITE, "--json"])).unwrap();
    assert_eq!(shown["changes"].as_array().unwrap().len(), 5);
    assert!(shown["switches"].as_array().unwrap().iter().all(|row| row["engaged"] == false));
}

#[tokio::test]
async fn an_appliance_that_was_stopped_on_the_spot_is_not_released_from_here_unasked() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    assert!(agent.reports(&server, true).await.orders.is_empty());
    assert!(agent.reports(&server, true).await.orders.is_empty());
    // Asked, it is.
    assert!(release(&clinic, &[]).contains("to apl-1"));
    assert_eq!(releases(&agent.reports(&server, true).await, &agent).len(), 1);
}

#[test]
fn a_switch_of_nothing_or_without_a_reason_is_refused() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    for (further, expected) in [
        (vec!["clinic-x", "--reason", "why"], "no site \"clinic-x\""),
        (vec![SITE, "--reason", "why", "--appliance", "apl-7"], "no appliance clinic-a/apl-7"),
        (vec![SITE, "--reason", ""], "the reason"),
        (vec![SITE, "--reason", "a\nb"], "the reason"),
    ] {
        let said = clinic.command_refused(["kill-switch", "engage"], &further);
        assert!(said.contains(expected), "{said}");
    }
    assert!(clinic.command(["kill-switch", "show"], &[]).contains("ever engaged"));
}
