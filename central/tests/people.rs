//! The people's page: what it shows, how it escapes, and whom it answers.

use crate::clinic::{Clinic, SITE, Server, escalation, execution, good, incident, problem, resolution};
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
