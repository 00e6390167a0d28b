//! What a network and a busy server do to a client: lost answers, slow ones, chunks, silence, a wrong clock, errors cut
//! in awkward places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::time::Duration;

use harness::proxy::Proxy;
use harness::{HOST, PASSWORD, Sim, USER, start_powershell};
use msp_winsim::windows::winrm::{Message, Moment};
use msp_winsim::{Drift, Profile};
use winrm_rs::{WinrmClient, WinrmConfig, WinrmCredentials};

fn over_http(port: u16) -> WinrmClient {
    let config = WinrmConfig { port: Some(port), operation_timeout_secs: 5, ..WinrmConfig::http() };
    WinrmClient::builder(config).credentials(WinrmCredentials::new(USER, PASSWORD, "")).build().unwrap()
}

fn spooler_stopped(sim: &Sim) -> bool {
    sim.script_changes().iter().any(|e| e.object == "Spooler" && e.to == "Stopped")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_the_command_started_did_nothing_and_one_lost_after_it_did() {
    for (moment, done) in [(Moment::Before, false), (Moment::After, true)] {
        let sim = Sim::start(Profile::Member).await;
        sim.drift(Drift::WinrmDrops { message: Message::Command, moment, times: 1 });
        let lost = sim.client.run_powershell(HOST, "Stop-Service Spooler").await;
        assert!(lost.is_err(), "{moment:?}: no answer came");
        for _ in 0..40 {
            if spooler_stopped(&sim) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(spooler_stopped(&sim), done, "{moment:?}");
        // Only that one request was lost.
        assert_eq!(sim.line("'served'").await, "served");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_whose_answer_was_lost_is_gone_and_a_lost_create_leaves_its_shell() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::WinrmDrops { message: Message::Create, moment: Moment::After, times: 2 });
    assert!(sim.client.run_powershell(HOST, "1").await.is_err());
    assert!(sim.client.run_powershell(HOST, "1").await.is_err());
    assert_eq!(sim.line("'third'").await, "third");
    sim.drift(Drift::WinrmDrops { message: Message::Receive, moment: Moment::After, times: 1 });
    assert!(sim.client.run_powershell(HOST, "'lost'").await.is_err());
    sim.drift(Drift::WinrmDrops { message: Message::Delete, moment: Moment::Before, times: 1 });
    let _ = sim.client.run_powershell(HOST, "'the shell stays open'").await;
    assert_eq!(sim.line("'served'").await, "served");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_chunks_are_read_by_clients_of_both_ports() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::WinrmChunks { chunked: true });
    let text = "x".repeat(5_000);
    assert_eq!(sim.line("'x' * 5000").await, text);
    let http = sim.server.http_address().unwrap();
    let proxy = Proxy::before(http, <[u8]>::to_vec).await;
    let output = over_http(proxy.address.port()).run_powershell(HOST, "'sealed, in chunks'").await.unwrap();
    assert_eq!(output.stdout, b"sealed, in chunks\r\n");
    assert!(proxy.answered().to_lowercase().contains("transfer-encoding: chunked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_answers_late_and_right() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::WinrmDelays { milliseconds: 300 });
    // Create, command and receive take three delays at least.
    let early = tokio::time::timeout(Duration::from_millis(850), sim.line("'early'")).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(sim.line("'late'").await, "late");
    sim.drift(Drift::WinrmDelays { milliseconds: 0 });
    assert_eq!(sim.line("'soon'").await, "soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_takes_connections_says_nothing_and_can_still_be_stopped() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::WinrmHangs { hangs: true });
    tokio::net::TcpStream::connect(sim.server.winrm_address().unwrap()).await.unwrap();
    for client in [&sim.client, &over_http(sim.server.http_address().unwrap().port())] {
        let silent = tokio::time::timeout(Duration::from_millis(500), client.run_powershell(HOST, "1")).await;
        assert!(silent.is_err(), "no answer, good or bad");
    }
    sim.drift(Drift::WinrmHangs { hangs: false });
    assert_eq!(sim.line("'awake'").await, "awake");
    sim.drift(Drift::WinrmHangs { hangs: true });
    tokio::time::timeout(Duration::from_secs(2), sim.server.stop()).await.expect("stops all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn ntlm_works_with_a_server_whose_clock_is_wrong_by_days() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::ClockOffset { seconds: -5 * 86_400 });
    // The client repeats the time that the challenge named, so both agree on it.
    let client = over_http(sim.server.http_address().unwrap().port());
    let output = client.run_powershell(HOST, "'logged on'").await.unwrap();
    assert_eq!(output.stdout, b"logged on\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_2025_hands_an_error_out_cut_inside_its_tags_and_nothing_is_lost() {
    let script = "Write-Error 'one & two'; Write-Error 'three'; exit 7";
    let whole = Sim::start(Profile::Member).await.powershell(script).await;
    let sim = Sim::start(Profile::Server2025).await;
    let shell = sim.client.open_shell(HOST).await.unwrap();
    let id = start_powershell(&shell, script).await;
    // Everything is there before the first Receive, so the cuts are the server's own.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut pieces = Vec::new();
    let code = loop {
        let part = shell.receive_next(&id).await.unwrap();
        pieces.push(String::from_utf8(part.stderr).unwrap());
        if part.done {
            break part.exit_code;
        }
    };
    shell.close().await.unwrap();
    assert_eq!(code, Some(7));
    assert!(pieces.len() > 5, "{pieces:?}");
    // The client decodes what it gets; that the cuts are inside tags is tested where they are made.
    assert_eq!(pieces.concat(), String::from_utf8(whole.stderr).unwrap());
}
