//! Orders: what is signed, who gets it, and what became of it.

use crate::clinic::{Agent, Clinic, SITE, Server, good, now, problem};
use jiff::{SignedDuration, ToSpan};
use msp_contracts::api::{OrderReply, PendingOrders};
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::ids::Counter;
use msp_contracts::order::{Order, OrderAction};
use serde_json::{Value, json};

const TTL: i64 = 900;

async fn pending(agent: &Agent, server: &Server) -> Vec<Envelope> {
    let path = format!("/api/sites/{}/appliances/{}/orders/pending", agent.site, agent.appliance);
    let reply: PendingOrders = good(agent.get(server, &path).await).await;
    assert!(reply.orders.iter().all(|order| Order::verify(&order.envelope, &[agent.central]).is_ok()));
    reply.orders.into_iter().map(|order| order.envelope).collect()
}

fn read(envelope: &Envelope, agent: &Agent) -> Order {
    Order::verify(envelope, &[agent.central]).unwrap()
}

async fn acknowledge(agent: &Agent, server: &Server, order: &Value) -> reqwest::Response {
    let id = order["order_id"].as_str().unwrap();
    let body = json!({ "schema_version": 1, "order_id": id });
    agent.post(server, &format!("/api/orders/{id}/acknowledge"), &body).await
}

async fn complete(agent: &Agent, server: &Server, order: &Value, success: bool, outcome: &str) -> reqwest::Response {
    let id = order["order_id"].as_str().unwrap();
    let body = json!({ "schema_version": 1, "order_id": id, "success": success, "result": { "outcome": outcome } });
    agent.post(server, &format!("/api/orders/{id}/complete"), &body).await
}

fn targets(clinic: &Clinic) {
    let file = clinic.file("targets.yaml", "- {hostname: DC01, ip_address: 192.168.10.5}\n");
    clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, &file]);
}

#[tokio::test]
async fn an_order_reaches_its_appliance_alone_and_in_a_form_that_it_accepts() {
    let clinic = Clinic::new();
    let (agent, other) = (clinic.issue("apl-1"), clinic.issue("apl-2"));
    targets(&clinic);
    let server = clinic.serve();
    agent.reports(&server, false).await;
    let file = clinic.root().join("order.json");
    let runbook =
        ["run-runbook", "RB-WIN-SVC-001", "--host", "DC01", "-p", "service=DNS", "--out", file.to_str().unwrap()];
    let first = clinic.order("apl-1", &runbook);
    let firewall = clinic.order("apl-1", &["run-runbook", "RB-WIN-FIREWALL-001", "--host", "192.168.10.5"]);
    clinic.order("apl-1", &["sync-now", "--expires-in", "5m", "--execute-by", "2h"]);

    let served = pending(&agent, &server).await;
    let orders: Vec<Order> = served.iter().map(|envelope| read(envelope, &agent)).collect();
    let mut highest = None;
    for order in &orders {
        let now = now();
        order.check(SITE, "apl-1", &agent.chain_id, now, highest, TTL).unwrap();
        assert!(order.check(SITE, "apl-2", &agent.chain_id, now, highest, TTL).is_err());
        assert!(order.check(SITE, "apl-1", &other.chain_id, now, highest, TTL).is_err());
        highest = Some(order.stamp.sequence);
    }
    assert_eq!(highest, Some(Counter(3)));
    let parameters = [("service".to_owned(), "DNS".to_owned())].into();
    let (runbook_id, host_id) = ("RB-WIN-SVC-001".to_owned(), "DC01".to_owned());
    assert_eq!(orders[0].action, OrderAction::RunRunbook { runbook_id, host_id, parameters });
    assert_eq!((orders[0].issued_by.as_str(), orders[0].reason.as_str()), ("alice", "ticket 4711"));
    let life = |order: &Order| order.stamp.expires.duration_since(order.stamp.issued);
    let wait = |order: &Order| order.execute_by.duration_since(order.stamp.issued);
    assert_eq!((life(&orders[1]), wait(&orders[1])), (SignedDuration::from_mins(15), SignedDuration::from_hours(24)));
    assert_eq!((life(&orders[2]), wait(&orders[2])), (SignedDuration::from_mins(5), SignedDuration::from_hours(2)));
    assert_eq!(std::fs::read(file).unwrap(), served[0].to_bytes().unwrap());

    // The check-in's reply brings the same, and nobody else's door does.
    let reply = agent.reports(&server, false).await;
    assert_eq!(reply.orders.iter().map(|order| &order.envelope).collect::<Vec<_>>(), served.iter().collect::<Vec<_>>());
    other.reports(&server, false).await;
    assert!(pending(&other, &server).await.is_empty());
    let path = format!("/api/sites/{SITE}/appliances/apl-1/orders/pending");
    let refused = problem(other.get(&server, &path).await, 403, "wrong_appliance").await;
    assert_eq!(refused.field.as_deref(), Some("id"));
    let stranger = clinic.issue_for("clinic-b", "apl-1");
    problem(stranger.get(&server, &path).await, 403, "wrong_site").await;
    for order in [&first, &firewall] {
        problem(acknowledge(&other, &server, order).await, 404, "unknown_order").await;
        problem(complete(&stranger, &server, order, true, "fixed").await, 404, "unknown_order").await;
        assert_eq!(clinic.order_now(order)["state"], "pending");
    }
}

#[tokio::test]
async fn reports_about_an_order_are_taken_once_and_the_first_word_stands() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.reports(&server, false).await;
    let order = clinic.order("apl-1", &["sync-now"]);
    for duplicate in [false, true] {
        let reply: OrderReply = good(acknowledge(&agent, &server, &order).await).await;
        assert_eq!(reply.duplicate, duplicate);
        assert_eq!(clinic.order_now(&order)["state"], "acknowledged");
    }
    assert!(pending(&agent, &server).await.is_empty());
    for (success, outcome, duplicate) in [(true, "fixed", false), (true, "fixed", true), (false, "failed", true)] {
        let reply: OrderReply = good(complete(&agent, &server, &order, success, outcome).await).await;
        assert_eq!(reply.duplicate, duplicate);
    }
    let now = clinic.order_now(&order);
    assert_eq!((&now["state"], &now["completion"]["success"]), (&json!("completed"), &json!(true)));
    assert_eq!(now["completion"]["result"], json!({ "outcome": "fixed" }));
    let log = std::fs::read_to_string(clinic.log()).unwrap();
    assert!(log.contains("completed before with another result"), "{log}");

    let refused = clinic.order("apl-1", &["run-check", "--check", "firewall", "--host", "apl-1"]);
    let _: OrderReply = good(complete(&agent, &server, &refused, false, "refused").await).await;
    assert_eq!(clinic.order_now(&refused)["state"], "refused");
    let listed: Value =
        serde_json::from_str(&clinic.command(["order", "list"], &["--state", "refused", "--json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["order_id"], refused["order_id"]);
}

#[tokio::test]
async fn an_order_that_was_accepted_in_time_counts_however_late_we_hear_of_it() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.reports(&server, false).await;
    let order = clinic.order("apl-1", &["sync-now", "--expires-in", "1s"]);
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert!(pending(&agent, &server).await.is_empty());
    assert_eq!(clinic.order_now(&order)["state"], "expired");
    let reply: OrderReply = good(acknowledge(&agent, &server, &order).await).await;
    assert!(!reply.duplicate);
    assert_eq!(clinic.order_now(&order)["state"], "acknowledged");
}

#[tokio::test]
async fn a_revoked_order_is_not_served_and_its_revocation_is() {
    let clinic = Clinic::new();
    let (agent, other) = (clinic.issue("apl-1"), clinic.issue("apl-2"));
    let server = clinic.serve();
    agent.reports(&server, false).await;
    other.reports(&server, false).await;
    let (order, done) = (clinic.order("apl-1", &["set-dry-run", "on"]), clinic.order("apl-1", &["sync-now"]));
    let id = order["order_id"].as_str().unwrap();
    let why = ["--reason", "no longer needed"];
    // Only under the name of its own appliance.
    let said = clinic.command_refused(["order", "issue"], &[&[SITE, "apl-2", "revoke", id], &why[..]].concat());
    assert!(said.contains(id), "{said}");
    let _: OrderReply = good(complete(&agent, &server, &done, true, "fixed").await).await;
    let revocation = clinic.order("apl-1", &["revoke", id]);
    assert_eq!(clinic.order_now(&order)["state"], "revoked");
    let served = pending(&agent, &server).await;
    assert_eq!(served.len(), 1);
    let found = read(&served[0], &agent);
    assert_eq!(found.order_id.as_str(), revocation["order_id"].as_str().unwrap());
    assert!(matches!(&found.action, OrderAction::Revoke { order_id } if order_id.as_str() == id));
    for (again, expected) in [
        (id, "is revoked"),
        (done["order_id"].as_str().unwrap(), "is completed"),
        (found.order_id.as_str(), "itself a revocation"),
        ("ORD-000000000000", "no order ORD-000000000000"),
    ] {
        let said = clinic.command_refused(["order", "issue"], &[&[SITE, "apl-1", "revoke", again], &why[..]].concat());
        assert!(said.contains(expected), "{said}");
    }
    // What was done before the revocation came was done.
    let _: OrderReply = good(complete(&agent, &server, &order, true, "fixed").await).await;
    assert_eq!(clinic.order_now(&order)["state"], "completed");
}

#[tokio::test]
async fn what_an_appliance_would_refuse_is_not_signed() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    clinic.issue("apl-2");
    targets(&clinic);
    let issue = |what: &[&str]| {
        let further = [&[SITE, "apl-1"], what, &["--reason", "ticket 4711"]].concat();
        clinic.command_refused(["order", "issue"], &further)
    };
    let server = clinic.serve();
    agent.check_in(&server).await;
    let said = issue(&["sync-now"]);
    assert!(said.contains("clinic-a/apl-1 never reported the id of its state"), "{said}");
    agent.reports(&server, false).await;
    let own = std::fs::read_to_string(clinic.dir().join("signing.pub")).unwrap();
    let (stranger, weak) = (msp_contracts::keys::public_to_hex(&agent.key.verifying_key()), "0".repeat(64));
    for (what, expected) in [
        (vec!["run-runbook", "RB-WIN-FIREWAL-001", "--host", "DC01"], "did you mean \"RB-WIN-FIREWALL-001\""),
        (vec!["run-runbook", "format-c", "--host", "DC01"], "runbook \"format-c\" is not shipped"),
        (vec!["run-runbook", "RB-WIN-SVC-001", "--host", "DC01"], "needs the parameter service"),
        (
            vec!["run-runbook", "RB-WIN-SVC-001", "--host", "DC01", "-p", "service=DNS; rm"],
            "does not admit service = \"DNS; rm\"",
        ),
        (vec!["run-runbook", "RB-WIN-SVC-001", "--host", "DC01", "-p", "servic=DNS"], "did you mean \"service\""),
        (vec!["run-runbook", "RB-WIN-FIREWALL-001", "--host", "DC1"], "did you mean \"DC01\""),
        (vec!["run-runbook", "RB-WIN-FIREWALL-001", "--host", "192.168.10.50"], "is no server of clinic-a"),
        (vec!["run-runbook", "RB-WIN-FIREWALL-001", "--host", "apl-1"], "is no server of clinic-a"),
        (vec!["run-check", "--host", "apl-2"], "is no server of clinic-a"),
        (vec!["rotate-keys", "abcd"], "64 hexadecimal characters"),
        (vec!["rotate-keys", &weak], "weak"),
        (vec!["rotate-keys", own.trim(), own.trim()], "stands twice"),
        (vec!["rotate-keys", &stranger], "must include"),
        (vec!["kill-switch", "on"], "kill-switch engage"),
        (vec!["sync-now", "--expires-in", "25h"], "1 second to 24 hours"),
        (vec!["sync-now", "--expires-in=-5m"], "1 second to 24 hours"),
        (vec!["sync-now", "--execute-by", "1m"], "must lie after"),
        (vec!["sync-now", "--execute-by", "800h"], "within 30 days"),
        (vec!["sync-now", "--by", "eve\u{1b}[2J"], "control characters"),
    ] {
        let said = issue(&what);
        assert!(said.contains(expected), "{what:?}: {said}");
    }
    let further = [SITE, "apl-1", "sync-now", "--reason", " "];
    assert!(clinic.command_refused(["order", "issue"], &further).contains("the reason"));
    let further = [SITE, "apl-9", "sync-now", "--reason", "ticket"];
    assert!(clinic.command_refused(["order", "issue"], &further).contains("no appliance clinic-a/apl-9"));
    assert_eq!(clinic.command(["order", "list"], &["--json"]).trim(), "[]");
    // The numbers of refused orders are not used up, and valid keys are accepted.
    let at = (now() + 2.hours()).to_string();
    let order = clinic.order("apl-1", &["rotate-keys", own.trim(), &stranger, "--execute-by", &at]);
    assert_eq!(order["sequence"], "1");
}

#[tokio::test]
async fn malformed_reports_about_orders_are_refused_by_field() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.reports(&server, false).await;
    let order = clinic.order("apl-1", &["sync-now"]);
    let id = order["order_id"].as_str().unwrap();
    let good_body = json!({ "schema_version": 1, "order_id": id, "success": true, "result": null });
    let path = format!("/api/orders/{id}/complete");
    let bad = |field: &str, value: Value| {
        let mut body = good_body.clone();
        body[field] = value;
        body
    };
    for (body, field) in [
        (bad("order_id", json!("ORD-000000000000")), "order_id"),
        (bad("order_id", json!("4711")), "order_id"),
        (bad("success", json!("yes")), "success"),
        (bad("result", json!("x".repeat(70_000))), "result"),
        (bad("error_message", json!("x".repeat(9_000))), "error_message"),
        (json!({ "schema_version": 1, "order_id": id }), "success"),
    ] {
        let refused = problem(agent.post(&server, &path, &body).await, 400, "malformed_body").await;
        assert_eq!(refused.field.as_deref(), Some(field));
    }
    let refused =
        problem(agent.post(&server, &path, &bad("schema_version", json!(2))).await, 400, "unsupported_schema");
    assert_eq!(refused.await.field.as_deref(), Some("schema_version"));
    let refused = problem(agent.post(&server, "/api/orders/4711/complete", &good_body).await, 400, "malformed_path");
    assert_eq!(refused.await.field.as_deref(), Some("id"));
    assert_eq!(clinic.order_now(&order)["state"], "pending");
}

#[tokio::test]
async fn the_agents_report_is_shown_and_a_malformed_one_refused_by_field() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    let mut body = agent.report(true);
    body["agent_encryption_key"] = json!("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p");
    let _: msp_contracts::api::CheckinReply = good(agent.post(&server, "/api/appliances/checkin", &body).await).await;
    assert_eq!(clinic.list("appliances")[0]["checkin"], body);
    let table = clinic.ok(&["list", "appliances", "--dir", clinic.dir_text()]);
    assert!(table.contains("STOPPED") && table.contains("3 / 1"), "{table}");
    let rule = json!({ "place": "site.yaml:1:1", "reason": "unknown operator" });
    for (path, value, field) in [
        ("/agent_encryption_key", json!("AGE-SECRET-KEY-1"), "agent_encryption_key"),
        ("/agent/quarantined", json!(vec![rule; 51]), "agent.quarantined"),
        ("/agent/chain", json!("0123"), "agent.chain"),
        ("/agent/started_at", json!("2026-01-02T03:04:05"), "agent.started_at"),
    ] {
        let mut bad = body.clone();
        *bad.pointer_mut(path).unwrap() = value;
        let refused = problem(agent.post(&server, "/api/appliances/checkin", &bad).await, 400, "malformed_body").await;
        assert_eq!(refused.field.as_deref(), Some(field));
    }
}
