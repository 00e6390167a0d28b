//! A malformed body is a 4xx that names the field, and hurts nobody after it.

use crate::clinic::{Agent, Clinic, SITE, Server, escalation, execution, good, incident, problem, resolution};
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::evidence::{Bundle, GENESIS_HASH};
use serde_json::{Value, json};

const CHECKIN: &str = "/api/appliances/checkin";
const RESOLVE: &str = "/incidents/INC-0123456789ab/resolve";
const EXECUTIONS: &str = "/api/agent/executions";
const ESCALATIONS: &str = "/api/escalations";

async fn clinic() -> (Clinic, Agent, Server) {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.check_in(&server).await;
    let _: Value = good(agent.post(&server, "/incidents", &incident(SITE)).await).await;
    (clinic, agent, server)
}

/// The value at `pointer` replaced, or taken out when there is no other.
fn changed(mut body: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match value {
        Some(value) => parent[name] = value,
        None => drop(parent.as_object_mut().unwrap().remove(name)),
    }
    body
}

#[tokio::test]
async fn each_malformed_field_is_named_by_its_path() {
    let (_clinic, agent, server) = clinic().await;
    let envelope = agent.chain(1).remove(0).0;
    let evidence = json!({ "schema_version": 1, "bundle": envelope });
    let valid = |path: &str| match path {
        CHECKIN => agent.checkin(),
        "/incidents" => incident(SITE),
        RESOLVE => resolution(),
        EXECUTIONS => execution(SITE),
        ESCALATIONS => escalation(SITE),
        _ => evidence.clone(),
    };
    let naive = || Some(json!("2026-01-02T03:04:05"));
    let cases = [
        (CHECKIN, "/hostname", None, "hostname"),
        (CHECKIN, "/site_id", Some(Value::Null), "site_id"),
        (CHECKIN, "/ip_addresses", Some(json!(["10.0.0.1", 7])), "ip_addresses[1]"),
        (CHECKIN, "/uptime_seconds", Some(json!(-1)), "uptime_seconds"),
        (CHECKIN, "/has_local_credentials", Some(json!("yes")), "has_local_credentials"),
        (CHECKIN, "/agent_public_key", Some(json!("zz".repeat(32))), "agent_public_key"),
        (CHECKIN, "/agent_public_key", Some(json!("00".repeat(32))), "agent_public_key"),
        (CHECKIN, "/agent_public_key", Some(json!("é".repeat(32))), "agent_public_key"),
        (CHECKIN, "/schema_version", Some(json!(2)), "schema_version"),
        (CHECKIN, "/schema_version", None, "schema_version"),
        ("/incidents", "/incident_id", Some(json!("INC-0123456789AB")), "incident_id"),
        ("/incidents", "/severity", Some(json!("dreadful")), "severity"),
        ("/incidents", "/platform", None, "platform"),
        ("/incidents", "/created_at", naive(), "created_at"),
        ("/incidents", "/created_at", Some(json!(1_767_322_800)), "created_at"),
        (RESOLVE, "/resolved_at", naive(), "resolved_at"),
        (RESOLVE, "/resolution_tier", Some(json!("L4")), "resolution_tier"),
        (EXECUTIONS, "/started_at", naive(), "started_at"),
        (EXECUTIONS, "/completed_at", Some(json!("2026-02-30T00:00:00Z")), "completed_at"),
        (EXECUTIONS, "/evidence_id", Some(json!("CB-2026-1-2-1")), "evidence_id"),
        (EXECUTIONS, "/execution_id", Some(json!("")), "execution_id"),
        (EXECUTIONS, "/execution_id", Some(json!("x".repeat(129))), "execution_id"),
        (EXECUTIONS, "/outcome", Some(json!("fixed")), "outcome"),
        (ESCALATIONS, "/evidence", Some(json!(["CB-2026-01-02-0001", "x"])), "evidence[1]"),
        (ESCALATIONS, "/created_at", naive(), "created_at"),
        (ESCALATIONS, "/ticket_id", Some(json!("")), "ticket_id"),
        ("/evidence", "/bundle/payload", None, "bundle.payload"),
        ("/evidence", "/bundle/payload", Some(json!("not base64!")), "bundle.payload"),
        ("/evidence", "/bundle/payloadType", Some(json!("text/plain")), "bundle.payloadType"),
        ("/evidence", "/bundle/signatures", Some(json!([])), "bundle.signatures"),
        ("/evidence", "/bundle/signatures", Some(json!([{ "keyid": 1, "sig": "" }])), "bundle.signatures[0].keyid"),
        ("/evidence", "/bundle/extra", Some(json!(1)), "bundle.extra"),
    ];
    for (path, pointer, value, field) in cases {
        let body = changed(valid(path), pointer, value);
        let response = agent.post(&server, path, &body).await;
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status.as_u16(), 400, "{path} {pointer}: {text}");
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said["field"], json!(field), "{path} {pointer}: {text}");
        assert!(said["message"].as_str().unwrap().contains(field.rsplit('.').next().unwrap()), "{text}");
        // The next one is served as if nothing had been.
        let next = agent.post(&server, path, &valid(path)).await;
        assert!(next.status().is_success(), "after {path} {pointer}: {}", next.text().await.unwrap());
    }
}

#[tokio::test]
async fn a_malformed_field_under_a_good_signature_is_named_too() {
    let (_clinic, agent, server) = clinic().await;
    let bundle = serde_json::to_value(agent.bundle(1, GENESIS_HASH)).unwrap();
    for (pointer, value, field) in [
        ("/check", None, "bundle.payload.check"),
        ("/started", Some(json!("2026-01-02T03:04:05")), "bundle.payload.started"),
        ("/target/platform", Some(json!("beos")), "bundle.payload.target.platform"),
        ("/sequence", Some(json!(1)), "bundle.payload.sequence"),
        ("/schema_version", Some(json!(9)), "bundle.payload.schema_version"),
    ] {
        let payload = serde_json::to_vec(&changed(bundle.clone(), pointer, value)).unwrap();
        let envelope = Envelope::sign(Bundle::PAYLOAD_TYPE, &payload, &agent.key);
        let response = agent.submit(&server, &envelope).await;
        assert_eq!(response.status().as_u16(), 400);
        let said: Value = response.json().await.unwrap();
        assert_eq!(said["field"], json!(field), "{said}");
    }
}

#[tokio::test]
async fn garbage_is_refused_without_a_500() {
    let (_clinic, agent, server) = clinic().await;
    let valid = serde_json::to_string(&incident(SITE)).unwrap();
    let deep = format!("{{\"raw_data\":{}", "[".repeat(100_000));
    let garbage: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
        b"{".to_vec(),
        b"\xff\xfe\x00\x01".to_vec(),
        [b"{\"site_id\":\"", b"\xc3\x28".as_slice(), b"\"}"].concat(),
        (0..=255).collect(),
        deep.into_bytes(),
        valid.replace("\"DC01\"", "\"\\ud800\"").into_bytes(),
        valid.replace("\"DC01\"", "1e999").into_bytes(),
        valid.replacen("\"schema_version\":1", "\"schema_version\":1,\"schema_version\":1", 1).into_bytes(),
        format!("{valid}{valid}").into_bytes(),
        valid.as_bytes()[..valid.len() - 1].to_vec(),
    ];
    for path in [CHECKIN, "/incidents", RESOLVE, EXECUTIONS, ESCALATIONS, "/evidence"] {
        for bytes in &garbage {
            let request = agent.client.post(server.url(path)).header("content-type", "application/json");
            let response = request.body(bytes.clone()).send().await.unwrap();
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            assert_eq!(response.status().as_u16(), 400, "{path} {shown}");
            let said: Value = response.json().await.unwrap();
            assert_eq!(said["error"], json!("malformed_body"), "{path} {shown}");
        }
    }
    let _: Value = good(agent.post(&server, "/incidents", &incident(SITE)).await).await;
}

#[tokio::test]
async fn what_is_not_json_or_too_long_is_refused_as_such() {
    let (_clinic, agent, server) = clinic().await;
    let text = serde_json::to_string(&incident(SITE)).unwrap();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let request = agent.client.post(server.url("/incidents")).header("content-type", content_type);
        problem(request.body(text.clone()).send().await.unwrap(), 415, "not_json").await;
    }
    let request = agent.client.post(server.url("/incidents")).header("content-type", "Application/JSON; charset=utf-8");
    assert!(request.body(text).send().await.unwrap().status().is_success());

    let mut long = incident(SITE);
    long["host_name"] = json!("x".repeat(2 * 1024 * 1024));
    for _ in 0..3 {
        problem(agent.post(&server, "/incidents", &long).await, 413, "too_large").await;
    }
    long["host_name"] = json!("x".repeat(1024 * 1024 - 1000));
    long["incident_id"] = json!("INC-00000000beef");
    let _: Value = good(agent.post(&server, "/incidents", &long).await).await;
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problems() {
    let (_clinic, agent, server) = clinic().await;
    for path in ["/", "/nothing", "/api", "/health/", "/incidents/", "/%2ehealth", "/style.css"] {
        problem(agent.get(&server, path).await, 404, "unknown_path").await;
    }
    problem(agent.get(&server, "/incidents").await, 405, "wrong_method").await;
    problem(agent.post(&server, "/agent/sync", &json!({})).await, 405, "wrong_method").await;
    for query in ["", "?site_id", "?site=clinic-a", "?site_id=clinic-a&site_id=clinic-b", "?site_id=%ff"] {
        let response = agent.get(&server, &format!("/agent/sync{query}")).await;
        assert!(response.status().is_client_error(), "{query}");
        let said: Value = response.json().await.unwrap();
        assert_eq!(said["field"], json!("site_id"), "{query}");
    }
}
