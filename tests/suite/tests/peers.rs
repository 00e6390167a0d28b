//! WinRM against programs of other people: their clients against the simulated server, the agent against a server whose
//! NTLM is pyspnego's. See `tests/peers/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use msp_lab::clinic::Clinic;
use msp_lab::drift::Server;
use msp_suite::agent::{PATIENCE, first_evidence};
use msp_suite::{python, skip};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ACCOUNT: &str = "msp-svc";

/// Runs `drive.py` on these cases; what came of each.
fn drive(python: &Path, cases: &[Value]) -> Vec<Value> {
    let mut driver = Command::new(python)
        .arg(python::peers().join("drive.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    driver.stdin.take().unwrap().write_all(json!(cases).to_string().as_bytes()).unwrap();
    let output = driver.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every way in that a client has: transport and authentication.
async fn every_way_in(test: &str, client: &str, ways: &[(&str, &str)], refusal: &str) {
    let python = match python::interpreter() {
        Ok(python) => python,
        Err(reason) => return skip(test, &reason),
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    let mut server = Server::start(folder.path(), "SIM01", "member", "127.0.0.31", ACCOUNT).await.unwrap();
    let case = |transport: &str, auth: &str, password: &str, what: &Value| {
        let address = if transport == "http" { server.winrm_http } else { server.winrm };
        let mut case = json!({
            "client": client, "url": format!("{transport}://{address}/wsman"), "ca": server.authority,
            "auth": auth, "user": ACCOUNT, "password": password,
        });
        case.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        case
    };
    let (command, long, fails) = (
        json!({ "command": "hostname", "arguments": [] }),
        json!({ "powershell": "1..500 | ForEach-Object { \"line $_ \u{e9}\" }" }),
        json!({ "powershell": "'before'; Get-Unicorn; exit 7" }),
    );
    for (transport, auth) in ways {
        let right = server.password.as_str();
        let answers = drive(
            &python,
            &[
                case(transport, auth, right, &command),
                case(transport, auth, right, &long),
                case(transport, auth, right, &fails),
                case(transport, auth, "not-the-password", &command),
            ],
        );
        let how = format!("{client} over {transport} with {auth}: {answers:#?}");
        assert_eq!((&answers[0]["exit_code"], &answers[0]["stdout"]), (&json!(0), &json!("SIM01\r\n")), "{how}");
        let lines: Vec<_> = answers[1]["stdout"].as_str().expect(&how).lines().collect();
        assert_eq!((lines.len(), lines[499]), (500, "line 500 \u{e9}"), "{client} {transport} {auth}");
        assert_eq!((&answers[2]["exit_code"], &answers[2]["stdout"]), (&json!(7), &json!("before\r\n")), "{how}");
        assert!(answers[2]["stderr"].as_str().unwrap().contains("Get-Unicorn"), "{how}");
        assert_eq!(answers[3]["error"], refusal, "{how}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pywinrm_runs_commands_on_the_simulated_server_every_way_in() {
    let test = "pywinrm_runs_commands_on_the_simulated_server_every_way_in";
    let ways = [("http", "ntlm"), ("https", "ntlm"), ("https", "basic")];
    every_way_in(test, "pywinrm", &ways, "InvalidCredentialsError").await;
}

#[tokio::test]
async fn pypsrp_runs_commands_on_the_simulated_server_every_way_in() {
    let test = "pypsrp_runs_commands_on_the_simulated_server_every_way_in";
    // With negotiate its tokens are in SPNEGO's envelope, with ntlm they are bare.
    let ways = [("http", "ntlm"), ("http", "negotiate"), ("https", "ntlm"), ("https", "negotiate"), ("https", "basic")];
    every_way_in(test, "pypsrp", &ways, "AuthenticationError").await;
}

/// A running `serve.py`; it ends when it is dropped.
struct Peer {
    process: Child,
    port: u16,
    log: std::path::PathBuf,
}

impl Peer {
    fn start(python: &Path, folder: &Path, address: &str, credentials: &str) -> Self {
        let (store, log) = (folder.join("peer-accounts"), folder.join("peer-log"));
        std::fs::write(&store, credentials).unwrap();
        let mut process = Command::new(python)
            .arg(python::peers().join("serve.py"))
            .arg(address)
            .args([&store, &log])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap();
        Self { process, port: ready["port"].as_u64().unwrap().try_into().unwrap(), log }
    }

    /// What it was asked so far.
    fn log(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        // The last line may be under way.
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_seals_everything_it_sends_to_a_server_of_another_make_over_plain_http() {
    let python = match python::interpreter() {
        Ok(python) => python,
        Err(reason) => {
            let test = "the_agent_seals_everything_it_sends_to_a_server_of_another_make_over_plain_http";
            return skip(test, &reason);
        }
    };
    const PASSWORD: &str = "Correct-Horse-9";
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    let peer = Peer::start(&python, clinic.path(), "127.0.0.32", &format!("CLINIC:{ACCOUNT}:{PASSWORD}\n"));
    let stranger = json!({ "hostname": "PEER", "ip_address": "127.0.0.32", "port": peer.port, "transport": "http" });
    clinic.set_targets(&json!([stranger])).await.unwrap();
    clinic.start_central().await.unwrap();
    let central = clinic.address().unwrap().agents.clone();
    clinic.write_config(&central).unwrap();
    clinic.write_credentials("PEER", &format!("CLINIC\\{ACCOUNT}"), PASSWORD).unwrap();
    clinic.start_agent().unwrap();

    let seen = first_evidence(&clinic, "127.0.0.32", "firewall").await.unwrap();
    let log = peer.log();
    assert_eq!(seen["post_state"]["status"], "pass", "{seen:#}\n{log:#?}");

    let actions: Vec<_> = log.iter().filter_map(|line| line["action"].as_str()).collect();
    for action in ["Create", "Command", "Send", "Receive", "Delete"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
    assert!(log.iter().any(|line| line["user"].as_str().is_some_and(|user| user.ends_with(ACCOUNT))), "{log:#?}");
    let requests: Vec<_> = log.iter().filter(|line| line["body"].is_string()).collect();
    for request in &requests {
        let (body, scheme) = (request["body"].as_str().unwrap(), request["scheme"].as_str().unwrap());
        assert!(body == "sealed" || body == "none" && scheme == "Negotiate", "in the clear: {request:#}");
        let raw = STANDARD.decode(request["raw"].as_str().unwrap()).unwrap();
        let raw = String::from_utf8_lossy(&raw);
        assert!(!raw.contains("Envelope") && !raw.contains(PASSWORD), "in the clear: {request:#}");
    }
    assert!(requests.iter().any(|request| request["body"] == "sealed"), "{requests:#?}");

    // Another password: refused, tried once more, and not again and again.
    clinic.stop_agent().await;
    clinic.write_credentials("PEER", &format!("CLINIC\\{ACCOUNT}"), "Wrong-Horse-9").unwrap();
    clinic.start_agent().unwrap();
    let said = "127.0.0.32: the server refused the credentials";
    for _ in 0..PATIENCE.as_millis() / 200 {
        if clinic.agent_log().contains(said) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(clinic.agent_log().matches(said).count(), 1, "{}\n{:#?}", clinic.agent_log(), peer.log());
    assert_eq!(peer.log().iter().filter(|line| line["refused"].is_string()).count(), 2, "{}", clinic.agent_log());
    clinic.close().await;
}
