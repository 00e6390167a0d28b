//! Starting and stopping: one server a directory, and an end within a second.

use crate::clinic::{Clinic, SITE, Server, good, incident, problem};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A raw TLS connection with the certificate of `apl-1`.
pub async fn connect(clinic: &Clinic, server: &Server) -> TlsStream<TcpStream> {
    connect_with(clinic, server, rustls::ALL_VERSIONS).await.unwrap()
}

async fn connect_with(
    clinic: &Clinic,
    server: &Server,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let out = clinic.root().join("clinic-a-apl-1");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(out.join("ca.pem")).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_file(out.join("client.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(out.join("client-key.pem")).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let stream = TcpStream::connect(server.agents).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

fn request(body: &str) -> String {
    format!(
        "POST /incidents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn both_tls_versions_are_spoken() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = connect_with(&clinic, &server, &[version]).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{version:?}");
    }
}

#[tokio::test]
async fn a_call_under_way_at_sigterm_is_still_answered_and_stored() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let mut server = clinic.serve();
    let text = request(&incident(SITE).to_string());
    let (first, second) = text.split_at(text.len() - 40);
    let mut stream = connect(&clinic, &server).await;
    stream.write_all(first.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.terminate();
    tokio::time::sleep(Duration::from_millis(150)).await;
    stream.write_all(second.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(server.ended_within(Duration::from_millis(1500)).await.code(), Some(0));
    assert_eq!(clinic.list("incidents").as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_that_never_ends_does_not_hold_the_stop() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let mut server = clinic.serve();
    let text = request(&incident(SITE).to_string());
    let mut stream = connect(&clinic, &server).await;
    stream.write_all(&text.as_bytes()[..text.len() - 1]).await.unwrap();
    // Idle connections, with and without a request before, do not hold it either.
    let _idle = agent.get(&server, "/health").await;
    let _silent = TcpStream::connect(server.people).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.terminate();
    assert_eq!(server.ended_within(Duration::from_millis(1500)).await.code(), Some(0));
    assert_eq!(clinic.list("incidents"), json!([]));
}

#[tokio::test]
async fn the_end_of_standard_input_ends_the_server_when_asked_for() {
    let clinic = Clinic::new();
    let mut server = clinic.serve();
    server.close_stdin();
    assert_eq!(server.ended_within(Duration::from_millis(1500)).await.code(), Some(0));
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused_until_the_first_is_gone() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let mut server = clinic.serve();
    let second = ["serve", "--dir", clinic.dir_text(), "--listen", "127.0.0.1:0", "--people", "127.0.0.1:0"];
    let said = clinic.refused(2, &second);
    assert!(said.contains("another msp-central serves") && said.contains(clinic.dir_text()), "{said}");
    let _: Value = good(agent.get(&server, "/health").await).await;
    // Even when the first is killed, its lock does not stay behind.
    server.kill().await;
    let server = clinic.serve();
    let _: Value = good(agent.get(&server, "/health").await).await;
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let mut server = clinic.serve();
    agent.check_in(&server).await;
    for (envelope, _) in agent.chain(3) {
        agent.accepted(&server, &envelope).await;
    }
    server.kill().await;
    assert_eq!(clinic.list("evidence")["chains"][0]["bundles"], json!(3));
    let server = clinic.serve();
    assert!(agent.accepted(&server, &agent.chain(3)[2].0).await.duplicate);
}

#[tokio::test]
async fn neither_keys_nor_what_agents_report_are_logged_at_any_level() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve_with(&["--log-level", "trace"]);
    agent.check_in(&server).await;
    let mut record = incident(SITE);
    record["raw_data"] = json!({ "patient": "MARKER-1" });
    let _: Value = good(agent.post(&server, "/incidents", &record).await).await;
    record["severity"] = json!("MARKER-2");
    problem(agent.post(&server, "/incidents", &record).await, 400, "malformed_body").await;
    server.stop().await;
    let log = std::fs::read_to_string(clinic.log()).unwrap();
    assert!(log.contains("call refused") && log.contains("/incidents"), "{log}");
    assert!(!log.contains("MARKER"), "{log}");
    for file in ["signing.pem", "server-key.pem", "ca-key.pem"] {
        let pem = std::fs::read_to_string(clinic.dir().join(file)).unwrap();
        assert!(!log.contains(pem.lines().nth(1).unwrap()), "{file}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let clinic = Clinic::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said =
        clinic.refused(2, &["serve", "--dir", clinic.dir_text(), "--listen", &address, "--people", "127.0.0.1:0"]);
    assert!(said.contains(&address), "{said}");
}

#[tokio::test]
async fn many_agents_at_once_are_all_answered() {
    let clinic = Clinic::new();
    let agents: Vec<_> = (1..=4).map(|n| Arc::new(clinic.issue(&format!("apl-{n}")))).collect();
    let server = Arc::new(clinic.serve());
    let mut calls = tokio::task::JoinSet::new();
    for (n, agent) in agents.iter().cycle().take(40).enumerate() {
        let (agent, server) = (Arc::clone(agent), Arc::clone(&server));
        calls.spawn(async move {
            let mut record = incident(SITE);
            record["incident_id"] = json!(format!("INC-{n:012x}"));
            let _: Value = good(agent.post(&server, "/incidents", &record).await).await;
            agent.check_in(&server).await;
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(clinic.list("incidents").as_array().unwrap().len(), 40);
}
