//! Incidents, executions, escalations: stored once, never rewritten.

use crate::clinic::{Agent, Clinic, SITE, Server, escalation, execution, good, incident, problem, resolution};
use serde_json::{Value, json};

fn clinic() -> (Clinic, Agent, Server) {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    (clinic, agent, server)
}

#[tokio::test]
async fn a_record_is_stored_once_and_its_id_never_means_something_else() {
    let (clinic, agent, server) = clinic();
    for (path, record, id, list, changed) in [
        ("/incidents", incident(SITE), "incident_id", "incidents", "host_name"),
        ("/api/agent/executions", execution(SITE), "execution_id", "executions", "error"),
        ("/api/escalations", escalation(SITE), "ticket_id", "escalations", "summary"),
    ] {
        let stored: Value = good(agent.post(&server, path, &record).await).await;
        assert_eq!(stored, json!({ id: record[id], "duplicate": false }));
        let again: Value = good(agent.post(&server, path, &record).await).await;
        assert_eq!(again, json!({ id: record[id], "duplicate": true }));
        let mut other = record.clone();
        other[changed] = json!("something else");
        let refused = problem(agent.post(&server, path, &other).await, 409, "conflicting_content").await;
        assert_eq!(refused.field.as_deref(), Some(id));

        let listed = clinic.list(list);
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!(listed[0][id], record[id]);
        assert_eq!(listed[0]["appliance"], json!("apl-1"));
        assert_eq!(listed[0][changed], record.get(changed).cloned().unwrap_or(Value::Null));
    }
}

#[tokio::test]
async fn the_same_id_of_two_appliances_is_two_records() {
    let (clinic, first, server) = clinic();
    let second = clinic.issue("apl-2");
    for agent in [&first, &second] {
        let reply: Value = good(agent.post(&server, "/incidents", &incident(SITE)).await).await;
        assert_eq!(reply["duplicate"], json!(false));
    }
    assert_eq!(clinic.list("incidents").as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_incident_is_resolved_once_by_its_own_appliance() {
    let (clinic, agent, server) = clinic();
    let path = "/incidents/INC-0123456789ab/resolve";
    let refused = problem(agent.post(&server, path, &resolution()).await, 404, "unknown_incident").await;
    assert_eq!(refused.field.as_deref(), Some("id"));
    let _: Value = good(agent.post(&server, "/incidents", &incident(SITE)).await).await;
    let other = clinic.issue("apl-2");
    problem(other.post(&server, path, &resolution()).await, 404, "unknown_incident").await;
    assert_eq!(clinic.list("incidents")[0]["resolution"], Value::Null);

    let first: Value = good(agent.post(&server, path, &resolution()).await).await;
    assert_eq!(first["duplicate"], json!(false));
    let mut later = resolution();
    later["action_taken"] = json!("something else");
    let second: Value = good(agent.post(&server, path, &later).await).await;
    assert_eq!(second["duplicate"], json!(true));
    assert_eq!(
        clinic.list("incidents")[0]["resolution"]["action_taken"],
        json!("RB-WIN-FIREWALL-001"),
        "the first word stands"
    );
    let refused =
        problem(agent.post(&server, "/incidents/INC-nonsense/resolve", &resolution()).await, 400, "malformed_path")
            .await;
    assert_eq!(refused.field.as_deref(), Some("id"));
    problem(agent.post(&server, "/incidents/%ff/resolve", &resolution()).await, 400, "malformed_path").await;
}

#[tokio::test]
async fn text_that_looks_like_sql_is_only_text() {
    let (clinic, agent, server) = clinic();
    let hostile = "x'); DROP TABLE incidents; -- \" ; \u{0} $1 \\ \u{202e}";
    let mut record = incident(SITE);
    for field in ["incident_type", "host_id", "host_name", "pattern_signature"] {
        record[field] = json!(hostile);
    }
    record["raw_data"] = json!({ hostile: [hostile, 9_007_199_254_740_993_u64, 1e-7] });
    let _: Value = good(agent.post(&server, "/incidents", &record).await).await;
    let again: Value = good(agent.post(&server, "/incidents", &record).await).await;
    assert_eq!(again["duplicate"], json!(true));
    let listed = clinic.list("incidents");
    assert_eq!(listed[0]["host_name"], json!(hostile));
    assert_eq!(listed[0]["raw_data"], record["raw_data"]);
    let mut run = execution(SITE);
    run["execution_id"] = json!("' OR '1'='1");
    let first: Value = good(agent.post(&server, "/api/agent/executions", &run).await).await;
    assert_eq!(first["duplicate"], json!(false));
    let table = clinic.ok(&["list", "incidents", "--dir", clinic.dir_text()]);
    assert!(!table.contains('\u{0}') && table.contains("DROP"), "{table}");
    let said = clinic.refused(1, &["list", "incidents", "--dir", clinic.dir_text(), "--site", "x' OR '1'='1"]);
    assert!(said.contains("no site"), "{said}");
}
