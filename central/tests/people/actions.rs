//! What people do: orders, the kill switch, shutting somebody out. All of it is in the audit trail.

use super::{PERSON, inside, trail};
use crate::clinic::{Clinic, SITE};
use reqwest::StatusCode;
use serde_json::{Value, json};

const TO: (&str, &str) = ("to", "clinic-a/apl-1");

fn targets(clinic: &Clinic) {
    let file = clinic.file("targets.json", &json!([{ "hostname": "DC01", "ip_address": "192.168.10.5" }]).to_string());
    clinic.command(["targets", "set"], &["--site", SITE, &file]);
}

#[tokio::test]
async fn an_order_of_a_form_is_signed_and_waits_for_its_appliance() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.reports(&server, false).await;
    targets(&clinic);
    let mut visitor = inside(&clinic, &server).await;
    visitor.get("/orders/new").await.shows(&["DC01 (192.168.10.5)", "RB-WIN-SVC-001", "Check now", "Sync now"]);
    let run = [
        TO,
        ("class", "run_runbook"),
        ("runbook", "RB-WIN-SVC-001"),
        ("host", "192.168.10.5"),
        ("with.service", "DNS"),
        ("reason", "ticket 4711"),
    ];
    for fields in [
        &run[..],
        &[TO, ("class", "run_check"), ("host", ""), ("check", "firewall"), ("reason", "look again")],
        &[TO, ("class", "sync_now"), ("reason", "new rules")],
        &[TO, ("class", "set_dry_run"), ("dry", "true"), ("reason", "maintenance")],
    ] {
        let page = visitor.submit("/orders/new", "/orders/new", fields).await;
        assert!(page.location().starts_with("/orders?issued=ORD-"), "{}", page.location());
        let location = page.location().to_owned();
        visitor.get(&location).await.shows(&["is issued", "waits to be fetched", fields.last().unwrap().1]);
    }
    let reply = agent.reports(&server, false).await;
    assert_eq!(reply.orders.len(), 4);
    let order: Value = serde_json::from_slice(
        &reply.orders[0].envelope.verify("application/vnd.msp.order.v1+json", &[agent.central]).unwrap(),
    )
    .unwrap();
    assert_eq!((&order["issued_by"], &order["reason"]), (&json!(PERSON), &json!("ticket 4711")));
    assert_eq!(order["parameters"]["parameters"], json!({ "service": "DNS" }));

    for (fields, why) in [
        (
            vec![
                TO,
                ("class", "run_runbook"),
                ("runbook", "RB-WIN-SVC-002"),
                ("host", "192.168.10.5"),
                ("reason", "x"),
            ],
            "RB-WIN-SVC-002",
        ),
        (
            vec![
                TO,
                ("class", "run_runbook"),
                ("runbook", "RB-WIN-SVC-001"),
                ("host", "192.168.10.5"),
                ("with.service", "calc.exe"),
                ("reason", "x"),
            ],
            "calc.exe",
        ),
        (
            vec![
                TO,
                ("class", "run_runbook"),
                ("runbook", "RB-WIN-SVC-001"),
                ("host", "10.0.0.1"),
                ("with.service", "DNS"),
                ("reason", "x"),
            ],
            "10.0.0.1",
        ),
        (vec![TO, ("class", "sync_now"), ("reason", " ")], "reason"),
        (vec![TO, ("class", "rm -rf"), ("reason", "x")], "no class of order"),
        (vec![("to", "clinic-a/none"), ("class", "sync_now"), ("reason", "x")], "no appliance"),
        (vec![("to", "nobody"), ("class", "sync_now"), ("reason", "x")], "names no appliance"),
    ] {
        let page = visitor.submit("/orders/new", "/orders/new", &fields).await;
        assert_eq!(page.status, StatusCode::CONFLICT, "{fields:?}: {}", page.text);
        assert!(page.text.contains(why), "{why}: {}", page.text);
    }
    assert_eq!(agent.reports(&server, false).await.orders.len(), 4);
    let rows = trail(&clinic);
    let of = |outcome: &str| rows.iter().filter(|row| row[1] == "issue order" && row[3] == outcome).count();
    assert_eq!((of("done"), of("refused")), (4, 5), "{rows:?}");
    assert!(
        rows.iter().any(|row| row[0] == PERSON
            && row[4].contains("run RB-WIN-SVC-001 on 192.168.10.5 with service DNS: ticket 4711")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn an_order_that_waits_is_taken_back_with_a_reason() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.reports(&server, false).await;
    let mut visitor = inside(&clinic, &server).await;
    let page = visitor.submit("/orders/new", "/orders/new", &[TO, ("class", "sync_now"), ("reason", "x")]).await;
    let id = page.location().split_once('=').unwrap().1.to_owned();
    let page = visitor.submit("/orders", "/orders/revoke", &[("order", &id), ("reason", "not needed")]).await;
    assert!(page.location().starts_with("/orders?issued=ORD-"));
    visitor.get("/orders?show=revoked").await.shows(&[&id, "taken back"]);
    for order in [id.as_str(), "ORD-000000000000", "x"] {
        let page = visitor.submit("/orders", "/orders/revoke", &[("order", order), ("reason", "again")]).await;
        assert_eq!(page.status, StatusCode::CONFLICT, "{order}");
    }
    assert!(trail(&clinic).iter().any(|row| row[1] == "revoke order" && row[2] == id && row[3] == "done"));
}

#[tokio::test]
async fn the_kill_switch_stops_a_site_shows_on_every_page_and_is_released_by_a_signed_order() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.reports(&server, false).await;
    let mut visitor = inside(&clinic, &server).await;
    assert!(!visitor.get("/audit").await.text.contains("Kill switch engaged"));
    let page =
        visitor.submit("/kill-switch", "/kill-switch/engage", &[("site", SITE), ("reason", "a rule does harm")]).await;
    assert_eq!(page.location(), "/kill-switch#clinic-a");
    for path in ["/", "/audit", "/evidence", "/account"] {
        visitor.get(path).await.shows(&["Kill switch engaged: clinic-a", "a rule does harm", PERSON]);
    }
    let reply = agent.reports(&server, false).await;
    assert!(reply.kill_switch);
    assert_eq!(reply.kill_switch_reason.as_deref(), Some("a rule does harm"));
    assert!(agent.reports(&server, true).await.kill_switch);
    visitor.get("/kill-switch").await.shows(&["reports itself stopped", "Release clinic-a"]);
    let page =
        visitor.submit("/kill-switch", "/kill-switch/release", &[("site", SITE), ("reason", "rule withdrawn")]).await;
    assert_eq!(page.location(), "/kill-switch#clinic-a");
    assert!(!visitor.get("/").await.text.contains("Kill switch engaged"));
    let reply = agent.reports(&server, true).await;
    assert!(!reply.kill_switch && reply.orders.len() == 1, "the release is an order");
    visitor.get("/kill-switch").await.shows(&["rule withdrawn", "a rule does harm"]);
    let rows = trail(&clinic);
    let switch: Vec<_> = rows
        .iter()
        .filter(|row| row[1].contains("kill switch"))
        .map(|row| (row[0].as_str(), row[1].as_str(), row[4].as_str()))
        .collect();
    assert_eq!(
        switch,
        [(PERSON, "engage kill switch", "a rule does harm"), (PERSON, "release kill switch", "rule withdrawn")]
    );
    visitor.get("/audit").await.shows(&["engage kill switch", "127.0.0.1", "rule withdrawn"]);
}

#[tokio::test]
async fn one_appliance_is_stopped_and_its_site_goes_on() {
    let clinic = Clinic::new();
    let (first, second, server) = (clinic.issue("apl-1"), clinic.issue("apl-2"), clinic.serve());
    let mut visitor = inside(&clinic, &server).await;
    visitor
        .submit("/kill-switch", "/kill-switch/engage", &[("site", SITE), ("appliance", "apl-1"), ("reason", "odd")])
        .await;
    visitor.get("/").await.shows(&["Kill switch engaged: apl-1 at clinic-a"]);
    assert!(first.reports(&server, false).await.kill_switch);
    assert!(!second.reports(&server, false).await.kill_switch);
}

#[tokio::test]
async fn somebody_else_is_shut_out_with_a_reason_and_nobody_shuts_themselves_out() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    super::add(&clinic, "eve");
    let mut eve = super::Visitor::new(&clinic, &server);
    eve.knock("eve", super::PASSWORD).await;
    assert!(eve.is_in().await);
    for (name, reason, status) in [
        ("eve", " ", StatusCode::CONFLICT),
        (PERSON, "x", StatusCode::CONFLICT),
        ("nobody", "x", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(
            visitor.submit("/people", "/people/disable", &[("name", name), ("reason", reason)]).await.status,
            status,
            "{name}"
        );
    }
    assert!(eve.is_in().await);
    assert_eq!(
        visitor.submit("/people", "/people/disable", &[("name", "eve"), ("reason", "has left")]).await.location(),
        "/people"
    );
    assert!(!eve.is_in().await);
    visitor.get("/people").await.shows(&["disabled"]);
    visitor.submit("/people", "/people/enable", &[("name", "eve"), ("reason", "is back")]).await;
    assert_eq!(eve.knock("eve", super::PASSWORD).await.location(), "/");
    let rows = trail(&clinic);
    assert!(
        rows.iter()
            .any(|row| row[0] == PERSON && row[1] == "disable person" && row[2] == "eve" && row[4] == "has left"),
        "{rows:?}"
    );
}
