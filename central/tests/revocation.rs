//! Certificates that are renewed, replaced, over, or taken back.

use crate::clinic::{Agent, Clinic, SITE, good, incident, problem};
use crate::newcomer::{Newcomer, serve, token};
use crate::running::connect;
use msp_contracts::api::{CheckinReply, EnrollReply, Health};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn certificates(clinic: &Clinic) -> Vec<Value> {
    let printed = clinic.ok(&["appliance", "list", "--dir", clinic.dir_text(), "--json"]);
    serde_json::from_str(&printed).unwrap()
}

/// One call on a connection that stays open; the status line and body.
async fn call(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "closed");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0_usize) {
            return text;
        }
    }
}

#[tokio::test]
async fn a_revocation_counts_at_once_on_connections_that_are_open() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.check_in(&server).await;
    let mut open = connect(&clinic, &server).await;
    assert!(call(&mut open, "/agent/sync?site_id=clinic-a").await.starts_with("HTTP/1.1 200 "));
    clinic.ok(&["appliance", "revoke", "--dir", clinic.dir_text(), SITE, "apl-1", "--reason", "stolen, ticket 4711"]);
    for path in ["/agent/sync?site_id=clinic-a", "/health"] {
        let answer = call(&mut open, path).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
        assert!(answer.contains("certificate_revoked") && answer.contains("stolen, ticket 4711"), "{answer}");
    }
    problem(agent.post(&server, "/incidents", &incident(SITE)).await, 403, "certificate_revoked").await;
    let renewal = Newcomer::new(1).request(None, "apl-1");
    problem(agent.post(&server, "/api/enroll", &renewal).await, 403, "certificate_revoked").await;
    assert_eq!(clinic.list("incidents"), serde_json::json!([]));

    let listed = clinic.ok(&["appliance", "list", "--dir", clinic.dir_text(), "--all"]);
    assert!(listed.contains("revoked") && listed.contains("stolen, ticket 4711"), "{listed}");
    for (arguments, what) in [(["apl-9", "--reason", "x"], "no appliance"), (["apl-1", "--reason", " "], "--reason")] {
        let revoke = ["appliance", "revoke", "--dir", clinic.dir_text(), SITE];
        let said = clinic.refused(1, &[&revoke[..], &arguments[..]].concat());
        assert!(said.contains(what), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_on_record_or_over_is_not_accepted_on_open_connections_either() {
    let clinic = Clinic::new();
    let short = clinic.root().join("clinic-a-apl-1");
    let issue =
        ["issue", "--dir", clinic.dir_text(), "--site", SITE, "--appliance", "apl-1", "--lifetime", "2s", "--out"];
    clinic.ok(&[&issue[..], &[short.to_str().unwrap()]].concat());
    let server = clinic.serve();
    let mut open = connect(&clinic, &server).await;
    assert!(call(&mut open, "/agent/sync?site_id=clinic-a").await.starts_with("HTTP/1.1 200 "));
    tokio::time::sleep(Duration::from_millis(2300)).await;
    let answer = call(&mut open, "/agent/sync?site_id=clinic-a").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("certificate_expired"), "{answer}");

    let agent = clinic.issue("apl-2");
    let database = clinic.database();
    assert_eq!(database.execute("DELETE FROM certificates WHERE appliance = 'apl-2'", []).unwrap(), 1);
    problem(agent.get(&server, "/agent/sync?site_id=clinic-a").await, 403, "unknown_certificate").await;
}

/// A renewal's body for the keys of `holder` with the TLS key of `fresh`.
fn renewal(holder: &Newcomer, fresh: &Newcomer) -> Value {
    let mut body = holder.request(None, "apl-1");
    body["csr"] = fresh.csr().into();
    body
}

async fn ask(agent: &Agent, server: &crate::clinic::Server, body: &Value) -> reqwest::Response {
    agent.post(server, "/api/enroll", body).await
}

#[tokio::test]
async fn a_renewal_changes_the_certificates_key_and_nothing_else() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &[]);
    let (holder, fresh, other) = (Newcomer::new(1), Newcomer::new(1), Newcomer::new(2));
    let agent = holder.enroll(&clinic, &server, &token(&clinic, &[]), "apl-1").await;

    let mut body = renewal(&holder, &fresh);
    body["agent_public_key"] = other.request(None, "x")["agent_public_key"].clone();
    let refused = problem(ask(&agent, &server, &body).await, 409, "key_mismatch").await;
    assert_eq!(refused.field.as_deref(), Some("agent_public_key"));
    let mut body = renewal(&holder, &fresh);
    body["agent_encryption_key"] = other.request(None, "x")["agent_encryption_key"].clone();
    let refused = problem(ask(&agent, &server, &body).await, 409, "key_mismatch").await;
    assert_eq!(refused.field.as_deref(), Some("agent_encryption_key"));
    let mut body = renewal(&holder, &fresh);
    body["appliance"] = "apl-2".into();
    problem(ask(&agent, &server, &body).await, 403, "wrong_appliance").await;
    let mut body = renewal(&holder, &fresh);
    body["token"] = token(&clinic, &[]).into();
    problem(ask(&agent, &server, &body).await, 400, "malformed_body").await;
    let refused = problem(ask(&agent, &server, &renewal(&holder, &holder)).await, 400, "bad_csr").await;
    assert!(refused.message.contains("new key"), "{}", refused.message);
    assert_eq!(certificates(&clinic).len(), 1, "nothing was made");

    let first: EnrollReply = good(ask(&agent, &server, &renewal(&holder, &fresh)).await).await;
    let again: EnrollReply = good(ask(&agent, &server, &renewal(&holder, &fresh)).await).await;
    assert_eq!(first.certificate, again.certificate, "an answer that was lost");
    // Until the new one is used, the appliance may not have it: the old one is good.
    let _: Health = good(agent.get(&server, "/health").await).await;
    let renewed = fresh.agent(&clinic, &first);
    renewed.check_in(&server).await;
    let refused = problem(agent.get(&server, "/agent/sync?site_id=clinic-a").await, 403, "certificate_revoked").await;
    assert!(refused.message.contains("renewed"), "{}", refused.message);
    let states: Vec<_> = certificates(&clinic).iter().map(|row| row["revoked_at"].is_null()).collect();
    assert_eq!(states, [true, false], "the newest first");
}

#[tokio::test]
async fn a_certificate_made_at_the_server_is_recorded_and_can_be_renewed() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve_with(&["--certificate-lifetime", "30d"]);
    let fresh = Newcomer::new(1);
    let mut body = fresh.request(None, "apl-1");
    body["agent_public_key"] = agent.checkin()["agent_public_key"].clone();
    let reply: EnrollReply = good(ask(&agent, &server, &body).await).await;
    let client = fresh.client(&clinic, &reply);
    let mut checkin = agent.checkin();
    checkin["agent_encryption_key"] = body["agent_encryption_key"].clone();
    let response = client.post(server.url("/api/appliances/checkin")).json(&checkin).send().await.unwrap();
    let _: CheckinReply = good(response).await;
    let origins: Vec<_> = certificates(&clinic).iter().map(|row| row["origin"].clone()).collect();
    assert_eq!(origins, ["renewed", "issued"]);
    let life = |row: &Value, name: &str| row[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let row = &certificates(&clinic)[0];
    let days = life(row, "not_after").duration_since(life(row, "issued_at")).as_hours() / 24;
    assert_eq!(days, 30);
}
