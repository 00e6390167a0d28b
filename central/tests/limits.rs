//! A slow or silent connection costs one place for a fixed time.

use crate::clinic::{Clinic, SITE, incident, problem};
use reqwest::Body;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve_with(&["--idle-timeout", "1"]);
    for (address, opening) in
        [(server.agents, "".as_bytes()), (server.people, b""), (server.people, b"GET / HTTP/1.1\r\nHost: loc")]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(opening).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(4), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open");
    }
}

#[tokio::test]
async fn silent_connections_in_every_place_only_delay_the_next_call() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve_with(&["--idle-timeout", "1", "--max-connections", "2"]);
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(server.agents).await.unwrap());
    }
    let call = timeout(Duration::from_secs(10), agent.get(&server, "/health")).await;
    assert!(call.expect("served once the silent ones were closed").status().is_success());
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_408() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve_with(&["--request-timeout", "1"]);
    let mut raw = crate::running::connect(&clinic, &server).await;
    raw.write_all(b"POST /incidents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{").await.unwrap();
    let mut answer = vec![0; 2048];
    let length = timeout(Duration::from_secs(5), raw.read(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer[..length]));
    let whole = agent.client.post(server.url("/incidents")).header("content-type", "application/json");
    let response = whole.body(Body::from(incident(SITE).to_string())).send().await.unwrap();
    assert!(response.status().is_success());
    problem(agent.get(&server, "/nothing").await, 404, "unknown_path").await;
}
