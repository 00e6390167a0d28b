//! NTLM and sealed bodies, with the client that the agent uses and with somebody on the network path.
//! (Clients of other makes run in `tests/suite`.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::proxy::Proxy;
use harness::{HOST, PASSWORD, Sim, USER};
use msp_winsim::{Drift, Profile};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use winrm_rs::{AuthMethod, CommandOutput, EncryptionMode, WinrmClient, WinrmConfig, WinrmCredentials, WinrmError};

/// A client of plain HTTP.
fn client(port: u16, auth_method: AuthMethod, encryption: EncryptionMode) -> WinrmClient {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config =
        WinrmConfig { port: Some(port), auth_method, encryption, operation_timeout_secs: 5, ..WinrmConfig::http() };
    WinrmClient::builder(config).credentials(WinrmCredentials::new(USER, PASSWORD, "")).build().unwrap()
}

fn sealed(port: u16) -> WinrmClient {
    client(port, AuthMethod::Ntlm, EncryptionMode::Always)
}

fn http(sim: &Sim) -> SocketAddr {
    sim.server.http_address().unwrap()
}

/// The sealed part of a request, or of an answer.
const SEALED: &str = "application/octet-stream\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn over_plain_http_nobody_on_the_path_reads_a_script_its_output_or_the_password() {
    let sim = Sim::start(Profile::Member).await;
    let proxy = Proxy::before(http(&sim), <[u8]>::to_vec).await;
    let client = sealed(proxy.address.port());
    hostname(&client).await.unwrap();
    let output = client.run_powershell(HOST, "Stop-Service Spooler; 'done ' + 'and dusted'").await.unwrap();
    assert_eq!(output.stdout, b"done and dusted\r\n");
    assert_eq!(sim.script_changes().len(), 1);
    let fault = client.delete_shell(HOST, "NO-SUCH-SHELL").await.unwrap_err().to_string();
    assert!(fault.contains("shell was not found"), "{fault}");

    let (heard, answered) = (proxy.heard(), proxy.answered());
    for (said, by) in [(&heard, "client"), (&answered, "server")] {
        assert!(said.contains(SEALED), "the {by} sealed");
        for word in ["Envelope", "Fault", "CommandLine", "NO-SUCH-SHELL", PASSWORD] {
            assert!(!said.contains(word), "{word} of the {by} went in the clear");
        }
    }
    let requests = heard.matches("POST /wsman").count();
    let handshakes = heard.to_lowercase().matches("authorization: negotiate").count();
    assert_eq!(requests - handshakes, heard.matches(SEALED).count(), "every request but the handshakes is sealed");
    assert!(answered.contains("HTTP/1.1 500"), "the fault, sealed too");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_plain_http_basic_and_plain_bodies_are_refused_and_nothing_runs() {
    let sim = Sim::start(Profile::Member).await;
    let port = http(&sim).port();
    let basic = client(port, AuthMethod::Basic, EncryptionMode::Never);
    let refused = basic.run_powershell(HOST, "Stop-Service Spooler").await.unwrap_err().to_string();
    assert!(refused.contains("401"), "{refused}");
    let unsealed = client(port, AuthMethod::Ntlm, EncryptionMode::Never);
    let mut refused = unsealed.run_powershell(HOST, "Stop-Service Spooler").await.unwrap_err().to_string();
    // See `hostname`.
    for _ in 0..4 {
        if refused.contains("rejected") {
            refused = unsealed.run_powershell(HOST, "Stop-Service Spooler").await.unwrap_err().to_string();
        }
    }
    assert!(refused.contains("HTTP 500"), "{refused}");
    assert!(sim.script_changes().is_empty());

    let offered = raw(http(&sim), "").await;
    assert!(offered.contains("www-authenticate: Negotiate\r\n") && !offered.contains("Basic"), "{offered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_ntlm_is_bound_to_the_certificate_and_a_wrong_password_is_refused_on_both_ports() {
    let sim = Sim::start(Profile::Member).await;
    let over_tls = |password: &str| {
        let config = WinrmConfig { port: Some(sim.port()), ..WinrmConfig::https() };
        let credentials = WinrmCredentials::new(USER, password, "SIM01");
        WinrmClient::builder(config).credentials(credentials).add_root_certificates_pem(&sim.ca).build().unwrap()
    };
    hostname(&over_tls(PASSWORD)).await.unwrap();
    let refused = over_tls("Wrong-Horse-9").run_command(HOST, "hostname", &[]).await.unwrap_err().to_string();
    assert!(refused.contains("rejected"), "{refused}");
    let config = WinrmConfig { port: Some(http(&sim).port()), ..WinrmConfig::http() };
    let wrong = WinrmClient::builder(config).credentials(WinrmCredentials::new(USER, "Wrong-Horse-9", ""));
    let refused = wrong.build().unwrap().run_command(HOST, "hostname", &[]).await.unwrap_err().to_string();
    assert!(refused.contains("rejected"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_repeated_or_altered_on_its_way_is_refused_and_its_connection_closed() {
    let sim = Sim::start(Profile::Member).await;
    // Every sealed request arrives twice: what it asks for is done once.
    let twice = Proxy::before(http(&sim), |request| {
        let repeat = String::from_utf8_lossy(request).contains(SEALED);
        request.repeat(if repeat { 2 } else { 1 })
    })
    .await;
    // One logon in some fifty goes wrong in the client: its pool opens a second connection in the middle of a handshake.
    let mut made = false;
    for _ in 0..5 {
        // Each time: a repetition that comes after its client has gone is not answered.
        made |= sealed(twice.address.port()).create_shell(HOST).await.is_ok();
    }
    assert!(made);
    // The answer to the repetition may come after the client has its own.
    let answered = twice.answered_with("HTTP/1.1 400").await;
    assert!(answered.contains("HTTP/1.1 400") && answered.contains("connection: close"), "{answered}");

    // One bit of what is sealed is turned.
    let bent = Proxy::before(http(&sim), |request| {
        let mut request = request.to_vec();
        let length = request.len();
        if String::from_utf8_lossy(&request).contains(SEALED) {
            request[length - 100] ^= 1;
        }
        request
    })
    .await;
    for _ in 0..5 {
        assert!(sealed(bent.address.port()).run_powershell(HOST, "Stop-Service Spooler").await.is_err());
    }
    let answered = bent.answered_with("HTTP/1.1 400").await;
    assert!(answered.contains("HTTP/1.1 400") && answered.contains("connection: close"), "{answered}");
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_proved_on_one_connection_counts_on_no_other() {
    let sim = Sim::start(Profile::Member).await;
    let proxy = Proxy::before(http(&sim), <[u8]>::to_vec).await;
    let client = sealed(proxy.address.port());
    hostname(&client).await.unwrap();
    // The last message of the handshake, heard on the way, and a request without a logon: both on a new connection.
    let heard = proxy.heard();
    let last = heard.lines().rfind(|line| line.to_lowercase().starts_with("authorization:")).unwrap();
    for headers in [last, ""] {
        let answer = raw(http(&sim), headers).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    // Logons are refused from now on: the connection that has one is no exception.
    sim.drift(Drift::RefuseLogons { refuse: true });
    assert!(client.run_command(HOST, "hostname", &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_tokens_and_sealed_bodies_are_refused_and_the_server_still_serves() {
    let sim = Sim::start(Profile::Member).await;
    for token in ["", "!", "TlRMTVNTUAA=", "TlRMTVNTUAADAAAA", "TlRMTVNTUAABAAAA", "YIIBAA==", "oYH/"] {
        let answer = raw(http(&sim), &format!("Authorization: Negotiate {token}")).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{token}: {answer}");
    }
    hostname(&sealed(http(&sim).port())).await.unwrap();
}

/// A command that the server runs. The client opens a connection too many now and then, and learns there that a logon
/// counts on its own connection only: then it is tried again.
async fn hostname(client: &WinrmClient) -> Result<CommandOutput, WinrmError> {
    for _ in 0..4 {
        let done = client.run_command(HOST, "hostname", &[]).await;
        if done.is_ok() {
            return done;
        }
    }
    client.run_command(HOST, "hostname", &[]).await
}

/// The answer to one request without a body.
async fn raw(address: SocketAddr, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let header = if header.is_empty() { String::new() } else { format!("{}\r\n", header.trim()) };
    let head =
        format!("POST /wsman HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
