//! What the pages show.

use super::{Visitor, inside};
use crate::clinic::{Clinic, SITE, escalation, execution, good, hash, incident, resolution};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::dsse::Signed;
use msp_contracts::evidence::GENESIS_HASH;
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn an_empty_fleet_says_how_it_begins() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    visitor.get("/").await.shows(&["No site yet", "msp-central issue", "Nothing is wrong"]);
    for (path, said) in [
        ("/incidents", "No such incident"),
        ("/evidence", "No evidence yet"),
        ("/orders", "No such order"),
        ("/orders/new", "No appliance yet"),
        ("/kill-switch", "No switch was ever engaged"),
        ("/rules", "Every rule loaded"),
    ] {
        visitor.get(path).await.shows(&[said]);
    }
}

#[tokio::test]
async fn the_fleet_says_first_what_is_wrong_and_why() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    clinic.issue_for("clinic-b", "apl-9");
    agent.reports(&server, false).await;
    let mut asked = incident(SITE);
    asked["raw_data"] = json!({
        "subject": "DNS", "diff": ["DNS is stopped, wanted running"], "recommended_action": "start the service DNS",
        "actual": { "running": false }, "desired": { "running": true },
    });
    asked["incident_type"] = json!("services");
    let mut waits = incident(SITE);
    waits["incident_id"] = json!("INC-aaaaaaaaaaaa");
    waits["severity"] = json!("low");
    for body in [&asked, &waits] {
        let _: Value = good(agent.post(&server, "/incidents", body).await).await;
    }
    let _: Value = good(agent.post(&server, "/api/escalations", &escalation(SITE)).await).await;
    let mut run = execution(SITE);
    run["incident_id"] = json!("INC-aaaaaaaaaaaa");
    run["outcome"] = json!("deferred");
    run["detail"] = json!("deferred");
    run["error"] = json!("outside the maintenance window");
    let _: Value = good(agent.post(&server, "/api/agent/executions", &run).await).await;
    let mut visitor = inside(&clinic, &server).await;
    let page = visitor.get("/").await;
    page.shows(&[
        "Services: DNS on DC01",
        "DNS is stopped, wanted running",
        "needs a person",
        "Firewall on DC01",
        "outside the maintenance window",
        "apl-9 at clinic-b has not checked in yet",
        "1 report of apl-1 at clinic-a refused by this server",
    ]);
    let at = |text: &str| page.text.find(text).unwrap();
    assert!(at("Services: DNS on DC01") < at("Firewall on DC01"), "who needs a person comes first");
    assert!(at("href=\"/sites/clinic-a\"") > 0);
    visitor.get("/incidents?show=person").await.shows(&["Services: DNS on DC01"]);
    assert!(!visitor.get("/incidents?show=person").await.text.contains("Firewall on DC01"));

    // Over and done with: nobody is needed for it any more.
    let _: Value = good(agent.post(&server, "/incidents/INC-0123456789ab/resolve", &resolution()).await).await;
    assert!(!visitor.get("/").await.text.contains("needs a person"));
    visitor.get("/incidents?show=resolved").await.shows(&["Services: DNS on DC01", "resolved"]);
}

#[tokio::test]
async fn an_appliance_that_was_not_heard_of_for_five_minutes_is_called_silent() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    let mut visitor = inside(&clinic, &server).await;
    let contact = clinic.list("sites")["appliances"][0]["last_contact"].clone();
    let contact: Timestamp = contact.as_str().unwrap().parse().unwrap();
    for (minutes, silent) in [(3, false), (7, true)] {
        let back = contact - SignedDuration::from_mins(minutes);
        clinic.database().execute("UPDATE appliances SET last_contact = ?1", [format!("{back:.6}")]).unwrap();
        for path in ["/", "/sites/clinic-a", "/sites/clinic-a/appliances/apl-1"] {
            let page = visitor.get(path).await;
            page.shows(&[&format!("{minutes} min ago")]);
            assert_eq!(
                page.text.contains("silent</a>") || page.text.contains("is silent"),
                silent,
                "{path}: {}",
                page.text
            );
        }
    }
}

#[tokio::test]
async fn an_appliances_page_says_what_its_agent_reports() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let mut visitor = inside(&clinic, &server).await;
    agent.check_in(&server).await;
    visitor.get("/sites/clinic-a/appliances/apl-1").await.shows(&[
        "appliance-1",
        "NixOS 25.05",
        "24 h",
        "does not report its rules",
    ]);
    let mut report = agent.report(true);
    report["agent"]["quarantined"] =
        json!([{ "rule_id": "SITE-1", "place": "site.yaml:3:5", "reason": "unknown operator \"notregex\"" }]);
    report["agent"]["healing_tier"] = json!("full_coverage");
    let _: Value = good(agent.post(&server, "/api/appliances/checkin", &report).await).await;
    visitor.get("/sites/clinic-a/appliances/apl-1").await.shows(&[
        "engaged",
        "full coverage",
        "27, ",
        "1 did not load",
        "SITE-1",
        "site.yaml:3:5",
        "notregex",
        agent.chain_id.as_str(),
    ]);
    visitor.get("/rules").await.shows(&[
        "SITE-1",
        "site.yaml:3:5",
        "apl-1",
        "L1-WIN-FIREWALL-001",
        "RB-WIN-FIREWALL-001",
    ]);
    visitor.get("/").await.shows(&["1 rule did not load on apl-1 at clinic-a"]);
    for path in ["/sites/nowhere", "/sites/clinic-a/appliances/none", "/incidents/clinic-a/apl-1/INC-000000000000"] {
        assert_eq!(visitor.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_status_change_is_shown_from_what_to_what() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    let mut visitor = inside(&clinic, &server).await;
    let mut previous = GENESIS_HASH.to_owned();
    for (sequence, before, after, shown) in [
        (1, Value::Null, "fail", "first seen: drift"),
        (2, json!("drift"), "pass", "drift → compliant"),
        (3, json!("compliant"), "error", "compliant → unknown"),
    ] {
        let mut bundle = agent.bundle(sequence, &previous);
        (bundle.pre_state, bundle.post_state) = (json!({ "status": before }), json!({ "status": after }));
        let envelope = bundle.sign(&agent.key).unwrap();
        previous = hash(&envelope);
        agent.accepted(&server, &envelope).await;
        visitor.get("/evidence").await.shows(&[shown]);
    }
}

const HOSTILE: &str = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>&amp;";

#[tokio::test]
async fn what_agents_and_people_write_is_shown_as_text_never_as_markup() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let mut checkin = agent.report(false);
    for field in ["hostname", "agent_version", "nixos_version", "mac_address"] {
        checkin[field] = json!(HOSTILE);
    }
    checkin["ip_addresses"] = json!([HOSTILE]);
    checkin["agent"]["quarantined"] = json!([{ "rule_id": HOSTILE, "place": HOSTILE, "reason": HOSTILE }]);
    let _: Value = good(agent.post(&server, "/api/appliances/checkin", &checkin).await).await;
    let mut record = incident(SITE);
    for field in ["incident_type", "host_id", "host_name"] {
        record[field] = json!(HOSTILE);
    }
    let mut open = record.clone();
    open["incident_id"] = json!("INC-aaaaaaaaaaaa");
    open["raw_data"] = json!({
        "subject": HOSTILE, "diff": [HOSTILE, 7, null], "recommended_action": HOSTILE, "details": { "reason": HOSTILE },
        "actual": { HOSTILE: HOSTILE }, "desired": { HOSTILE: [HOSTILE] },
    });
    for body in [&record, &open] {
        let _: Value = good(agent.post(&server, "/incidents", body).await).await;
    }
    let mut ticket = escalation(SITE);
    ticket["incident_id"] = json!("INC-aaaaaaaaaaaa");
    for field in ["host_id", "host_name", "summary", "reason", "suggested_runbook"] {
        ticket[field] = json!(HOSTILE);
    }
    let _: Value = good(agent.post(&server, "/api/escalations", &ticket).await).await;
    let mut solved = resolution();
    solved["action_taken"] = json!(HOSTILE);
    let _: Value = good(agent.post(&server, "/incidents/INC-0123456789ab/resolve", &solved).await).await;
    let mut run = execution(SITE);
    for field in ["host_id", "rule_id", "runbook_id", "error"] {
        run[field] = json!(HOSTILE);
    }
    let _: Value = good(agent.post(&server, "/api/agent/executions", &run).await).await;
    let mut bundle = agent.bundle(1, GENESIS_HASH);
    bundle.check = HOSTILE.into();
    bundle.target.name = HOSTILE.into();
    bundle.hipaa_controls = vec![HOSTILE.into()];
    bundle.incident_id = Some("INC-aaaaaaaaaaaa".to_owned().try_into().unwrap());
    bundle.pre_state = json!({ "actual": { HOSTILE: HOSTILE }, "desired": HOSTILE, "status": HOSTILE });
    bundle.error = Some(HOSTILE.into());
    bundle.plan = serde_json::from_value(json!({
        "rule_id": HOSTILE, "runbook_id": HOSTILE, "runbook_version": 1, "parameters": { HOSTILE: HOSTILE }, "reason": HOSTILE,
    }))
    .unwrap();
    bundle.actions = serde_json::from_value(json!([{
        "phase": HOSTILE, "started": "2026-01-02T03:04:05Z", "completed": "2026-01-02T03:04:06Z", "error": HOSTILE,
        "report": { "status": HOSTILE, "reasons": [HOSTILE] },
    }]))
    .unwrap();
    agent.accepted(&server, &bundle.sign(&agent.key).unwrap()).await;
    Visitor::new(&clinic, &server).knock(HOSTILE, HOSTILE).await;
    let mut visitor = inside(&clinic, &server).await;
    visitor.submit("/kill-switch", "/kill-switch/engage", &[("site", SITE), ("reason", HOSTILE)]).await;
    visitor
        .submit("/orders/new", "/orders/new", &[("to", "clinic-a/apl-1"), ("class", "sync_now"), ("reason", HOSTILE)])
        .await;

    let chain = agent.chain_id.as_str();
    let mut seen = 0;
    for path in [
        "/".to_owned(),
        "/sites/clinic-a".to_owned(),
        "/sites/clinic-a/appliances/apl-1".to_owned(),
        "/incidents".to_owned(),
        "/incidents/clinic-a/apl-1/INC-aaaaaaaaaaaa".to_owned(),
        "/incidents/clinic-a/apl-1/INC-0123456789ab".to_owned(),
        "/evidence".to_owned(),
        "/evidence?q=%3Cscript%3E%22&check=%22%3E%3Cscript%3E".to_owned(),
        format!("/evidence/clinic-a/apl-1/{chain}/1"),
        format!("/evidence/clinic-a/apl-1/{chain}/1?verify=1"),
        "/orders".to_owned(),
        "/kill-switch".to_owned(),
        "/rules".to_owned(),
        "/audit".to_owned(),
        "/audit?who=%3Cscript%3E".to_owned(),
        "/login?next=%22%3E%3Cscript%3E".to_owned(),
        "/orders?issued=%3Cscript%3E&show=%3Cscript%3E".to_owned(),
        "/orders/new?to=%3Cscript%3E".to_owned(),
    ] {
        let page = visitor.get(&path).await;
        seen += usize::from(page.text.contains("&lt;script&gt;alert"));
        for markup in ["<script>", "<img", "alert('1')</script"] {
            assert!(!page.text.contains(markup), "{path}: {markup}: {}", page.text);
        }
    }
    assert!(seen >= 11, "the strings are shown, escaped, on {seen} pages");
}

#[tokio::test]
async fn news_come_to_an_open_page_when_anything_changes_and_end_with_the_session() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let visitor = inside(&clinic, &server).await;
    let mut stream = visitor.request(reqwest::Method::GET, "/live").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    let mut until = async |word: &str| {
        while !heard.contains(word) {
            let chunk = stream.chunk().await.unwrap().unwrap_or_else(|| panic!("the stream ended: {heard}"));
            heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        std::mem::take(&mut heard)
    };
    until("event: open").await;
    agent.check_in(&server).await;
    let said = until("event: changed").await;
    assert!(!said.contains("clinic-a"), "it carries no data: {said}");
    // Another process changes something.
    clinic.command(["kill-switch", "engage"], &[SITE, "--reason", "a test"]);
    until("event: changed").await;
    // The server stops within a second although somebody listens.
    server.stop().await;
    while let Ok(Some(_)) = stream.chunk().await {}
}
