//! Health is a real write and read, and a database that fails is a 503 that says when to come again.

use crate::clinic::{Clinic, SITE, good, incident, problem};
use crate::people;
use msp_contracts::api::{Health, HealthStatus};
use serde_json::Value;

#[tokio::test]
async fn health_fails_with_the_reason_while_the_database_cannot_be_written() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let health: Health = good(agent.get(&server, "/health").await).await;
    assert_eq!((health.status, health.reason), (HealthStatus::Ok, None));
    let probes = || clinic.database().query_row("SELECT probes FROM health", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(probes(), 1, "health really writes");

    let full = "CREATE TRIGGER full BEFORE INSERT ON health BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
    clinic.database().execute_batch(full).unwrap();
    let response = agent.get(&server, "/health").await;
    assert_eq!(response.status().as_u16(), 503);
    let health: Health = response.json().await.unwrap();
    assert_eq!(health.status, HealthStatus::Failing);
    let reason = health.reason.unwrap();
    assert!(reason.contains("writing the health row") && reason.contains("disk is full"), "{reason}");

    clinic.database().execute_batch("DROP TRIGGER full").unwrap();
    let _: Health = good(agent.get(&server, "/health").await).await;
    assert_eq!(probes(), 2);
}

#[tokio::test]
async fn while_another_program_holds_the_database_every_write_is_a_503_and_reads_go_on() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let mut visitor = people::inside(&clinic, &server).await;
    let holder = clinic.database();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (health, record, page) = tokio::join!(
        agent.client.get(server.url("/health")).send(),
        agent.client.post(server.url("/incidents")).json(&incident(SITE)).send(),
        visitor.get("/"),
    );
    let health = health.unwrap();
    assert_eq!(health.status().as_u16(), 503);
    assert!(health.json::<Health>().await.unwrap().reason.is_some());
    let record = record.unwrap();
    assert_eq!(record.headers()["retry-after"], "5");
    problem(record, 503, "database_unavailable").await;
    assert_eq!(page.status.as_u16(), 200);

    holder.execute_batch("ROLLBACK").unwrap();
    let _: Health = good(agent.get(&server, "/health").await).await;
    let _: Value = good(agent.post(&server, "/incidents", &incident(SITE)).await).await;
}
