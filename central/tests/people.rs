//! The people's page: what it shows, how it escapes, and whom it answers.

use crate::clinic::{Clinic, SITE, Server, escalation, execution, good, hash, incident, problem, resolution};
use msp_contracts::dsse::Signed;
use msp_contracts::evidence::GENESIS_HASH;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

async fn page(server: &Server) -> String {
    let response = reqwest::get(server.page("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.text().await.unwrap()
}

#[tokio::test]
async fn the_page_shows_sites_incidents_heals_and_evidence() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    assert!(page(&server).await.contains("never"));
    agent.check_in(&server).await;
    let mut solved = incident(SITE);
    solved["incident_id"] = json!("INC-aaaaaaaaaaaa");
    solved["created_at"] = json!("2026-05-05T00:00:00Z");
    for body in [&solved, &incident(SITE)] {
        let _: Value = good(agent.post(&server, "/incidents", body).await).await;
    }
    let _: Value = good(agent.post(&server, "/incidents/INC-aaaaaaaaaaaa/resolve", &resolution()).await).await;
    let _: Value = good(agent.post(&server, "/api/agent/executions", &execution(SITE)).await).await;
    let chain = agent.chain(3);
    agent.accepted(&server, &chain[0].0).await;
    agent.accepted(&server, &chain[2].0).await;
    let text = page(&server).await;
    let (open, resolved) = (text.find("INC-0123456789ab").unwrap(), text.find("INC-aaaaaaaaaaaa").unwrap());
    assert!(open < resolved, "open incidents come first though they are older");
    for shown in ["clinic-a/apl-1", "RB-WIN-FIREWALL-001", "10.5 s", "CB-2026-01-02-0003", "gaps", "164.312(e)(1)"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("never"));
    let style = reqwest::get(server.page("/style.css")).await.unwrap().text().await.unwrap();
    assert!(style.contains("prefers-color-scheme: dark"));
    assert!(text.contains("http-equiv=\"refresh\"") && !text.contains("<script"), "kept fresh without a script");
}

#[tokio::test]
async fn the_first_line_says_how_things_stand_and_open_incidents_what_is_wrong_and_what_happens() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let text = page(&server).await;
    for shown in ["0 incidents need a person", "0 healed today", "no evidence yet", "No incident is open"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    agent.check_in(&server).await;
    let mut unasked = incident(SITE);
    unasked["incident_id"] = json!("INC-aaaaaaaaaaaa");
    let mut asked = incident(SITE);
    asked["raw_data"] = json!({
        "check_type": "services", "subject": "DNS", "diff": ["DNS is stopped, wanted running"],
        "recommended_action": "start the service DNS", "details": { "reason": "seen twice" },
    });
    asked["incident_type"] = json!("services");
    for body in [&asked, &unasked] {
        let _: Value = good(agent.post(&server, "/incidents", body).await).await;
    }
    let _: Value = good(agent.post(&server, "/api/escalations", &escalation(SITE)).await).await;
    let now = clinic.list("incidents")[0]["received_at"].clone();
    let mut run = execution(SITE);
    (run["started_at"], run["completed_at"]) = (now.clone(), now);
    let _: Value = good(agent.post(&server, "/api/agent/executions", &run).await).await;
    run["execution_id"] = json!("waits");
    run["incident_id"] = json!("INC-aaaaaaaaaaaa");
    run["outcome"] = json!("deferred");
    run["detail"] = json!("deferred");
    run["error"] = json!("outside the maintenance window");
    (run["started_at"], run["completed_at"]) = (json!("2026-01-02T03:04:05Z"), json!("2026-01-02T03:04:05.25Z"));
    let _: Value = good(agent.post(&server, "/api/agent/executions", &run).await).await;
    agent.accepted(&server, &agent.chain(1)[0].0).await;

    let text = page(&server).await;
    for shown in [
        "1 incident needs a person",
        "1 more open",
        "1 healed today",
        "evidence whole",
        "services/DNS",
        "DNS is stopped, wanted running",
        "seen twice",
        "To do: start the service DNS",
        "a person was asked",
        "verify failed",
        "Firewall is off and could not be switched on",
        "outside the maintenance window",
        "250 ms",
        "DC01 (192.168.10.5)",
        "Site rules",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("silent"), "{text}");

    // Over and done with: nobody is needed for it any more.
    let _: Value = good(agent.post(&server, "/incidents/INC-0123456789ab/resolve", &resolution()).await).await;
    let text = page(&server).await;
    assert!(text.contains("0 incidents need a person") && text.contains("1 more open"), "{text}");
    assert!(!text.contains("a person was asked"), "{text}");
}

#[tokio::test]
async fn an_appliance_that_was_not_heard_of_for_five_minutes_is_called_silent() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    let contact = clinic.list("sites")["appliances"][0]["last_contact"].clone();
    let contact: jiff::Timestamp = contact.as_str().unwrap().parse().unwrap();
    for (minutes, silent) in [(4, false), (7, true)] {
        let back = contact - jiff::SignedDuration::from_mins(minutes);
        clinic.database().execute("UPDATE appliances SET last_contact = ?1", [format!("{back:.6}")]).unwrap();
        let text = page(&server).await;
        assert!(text.contains(&format!("{minutes} min ago")), "{text}");
        assert_eq!(text.contains("1 silent"), silent, "{text}");
        assert_eq!(text.contains("badge bad\">silent"), silent, "{text}");
    }
}

#[tokio::test]
async fn a_status_change_is_shown_from_what_to_what() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    let mut previous = GENESIS_HASH.to_owned();
    for (sequence, before, after, shown) in [
        (1, Value::Null, "fail", "first seen: drift"),
        (2, json!("drift"), "pass", "drift -&gt; compliant"),
        (3, json!("compliant"), "error", "compliant -&gt; unknown"),
    ] {
        let mut bundle = agent.bundle(sequence, &previous);
        (bundle.pre_state, bundle.post_state) = (json!({ "status": before }), json!({ "status": after }));
        let envelope = bundle.sign(&agent.key).unwrap();
        previous = hash(&envelope);
        agent.accepted(&server, &envelope).await;
        let text = page(&server).await;
        assert!(text.contains(shown), "{shown}: {text}");
    }
}

#[tokio::test]
async fn what_agents_report_is_shown_as_text_never_as_markup() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let hostile = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>";
    let mut checkin = agent.checkin();
    for field in ["hostname", "agent_version"] {
        checkin[field] = json!(hostile);
    }
    checkin["ip_addresses"] = json!([hostile]);
    let _: Value = good(agent.post(&server, "/api/appliances/checkin", &checkin).await).await;
    let mut record = incident(SITE);
    for field in ["incident_type", "host_id", "host_name"] {
        record[field] = json!(hostile);
    }
    let _: Value = good(agent.post(&server, "/incidents", &record).await).await;
    let mut open = record.clone();
    open["incident_id"] = json!("INC-aaaaaaaaaaaa");
    open["raw_data"] = json!({
        "subject": hostile, "diff": [hostile, 7, null], "recommended_action": hostile, "details": { "reason": hostile },
    });
    let _: Value = good(agent.post(&server, "/incidents", &open).await).await;
    let mut ticket = escalation(SITE);
    ticket["incident_id"] = json!("INC-aaaaaaaaaaaa");
    for field in ["host_id", "host_name", "summary", "reason", "suggested_runbook"] {
        ticket[field] = json!(hostile);
    }
    let _: Value = good(agent.post(&server, "/api/escalations", &ticket).await).await;
    let mut solved = resolution();
    solved["action_taken"] = json!(hostile);
    let _: Value = good(agent.post(&server, "/incidents/INC-0123456789ab/resolve", &solved).await).await;
    let mut run = execution(SITE);
    for field in ["host_id", "rule_id", "runbook_id", "error"] {
        run[field] = json!(hostile);
    }
    let _: Value = good(agent.post(&server, "/api/agent/executions", &run).await).await;
    let text = page(&server).await;
    assert!(text.contains("&lt;script&gt;"), "{text}");
    for markup in ["<script", "<img", "onerror=alert(1)>\""] {
        assert!(!text.contains(markup), "{markup}: {text}");
    }
    let policy = reqwest::get(server.page("/")).await.unwrap().headers()["content-security-policy"].clone();
    assert!(policy.to_str().unwrap().starts_with("default-src 'none'"));
}

#[tokio::test]
async fn only_loopback_names_are_answered() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve();
    let port = server.people.port();
    for host in [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.10.2",
        "",
        "user@localhost.x",
    ] {
        let response = Client::new().get(server.page("/")).header("host", host).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST, "{host:?}");
        assert!(!response.text().await.unwrap().contains(SITE), "{host:?}");
    }
    for host in
        [format!("localhost:{port}"), format!("LOCALHOST:{port}"), format!("[::1]:{port}"), "127.0.0.1".to_owned()]
    {
        let response = Client::new().get(server.page("/")).header("host", &host).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{host:?}");
    }
}

#[tokio::test]
async fn the_two_listeners_never_serve_each_others_paths() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    for path in ["/health", "/agent/sync?site_id=clinic-a"] {
        assert_eq!(reqwest::get(server.page(path)).await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
    }
    for (path, body) in [
        ("/api/appliances/checkin", agent.checkin()),
        ("/evidence", json!({ "schema_version": 1, "bundle": agent.chain(1)[0].0 })),
        ("/api/evidence/sites/clinic-a/submit", json!({})),
        ("/incidents", incident(SITE)),
        ("/incidents/INC-0123456789ab/resolve", resolution()),
        ("/api/agent/executions", execution(SITE)),
        ("/api/escalations", escalation(SITE)),
    ] {
        let response = Client::new().post(server.page(path)).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(clinic.list("incidents"), json!([]));
    for path in ["/", "/style.css"] {
        problem(agent.get(&server, path).await, 404, "unknown_path").await;
    }
    // Nor is the agents' port readable without TLS.
    assert!(Client::new().get(format!("http://{}/", server.agents)).send().await.is_err());
}

#[test]
fn without_logins_people_are_served_on_loopback_only() {
    let clinic = Clinic::new();
    let said =
        clinic.refused(2, &["serve", "--dir", clinic.dir_text(), "--listen", "127.0.0.1:0", "--people", "0.0.0.0:0"]);
    assert!(said.contains("loopback") && said.contains("0.0.0.0:0"), "{said}");
}
