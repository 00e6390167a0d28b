//! WS-Management itself: the real client where it will do, raw requests where it would never send such a thing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::{HOST, PASSWORD, Sim, USER, client};
use msp_winsim::{Drift, MAX_ENVELOPE, Profile};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
const CREATE: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create";

async fn connect(sim: &Sim) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(&sim.ca).unwrap() {
        roots.add(cert.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(sim.server.winrm_address().unwrap()).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Status and whole answer of one request on a connection of its own.
async fn post(sim: &Sim, body: &str) -> (u16, String) {
    let mut stream = connect(sim).await;
    let token = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let head = format!(
        "POST /wsman HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Basic {token}\r\nContent-Type: application/soap+xml;charset=UTF-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(body.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer))
        .await
        .expect("an answer in time");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn envelope(action: &str, extra: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" xmlns:rsp=\"{SHELL}\"><s:Header>\
         <w:ResourceURI>{SHELL}/cmd</w:ResourceURI><a:Action>{action}</a:Action><a:MessageID>uuid:TEST-1</a:MessageID>\
         {extra}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_as_cmd_runs_them() {
    let sim = Sim::start(Profile::Member).await;
    let output = sim.client.run_command(HOST, "hostname", &[]).await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.exit_code), (&b"SIM01\r\n"[..], 0));
    let output = sim.client.run_command(HOST, "echo", &["%COMPUTERNAME%", "%nope%"]).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "SIM01 %nope%\r\n");
    let output = sim.client.run_command(HOST, "frobnicate", &["/all"]).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.exit_code, 1);
    assert!(stderr.starts_with("'frobnicate' is not recognized as an internal or external command,"), "{stderr}");
    let output = sim.client.run_command(HOST, "echo", &["a", "|", "more"]).await.unwrap();
    assert_eq!(output.exit_code, 1, "operators of cmd are refused, not echoed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_cmdlet_is_a_loud_error_in_clixml() {
    let sim = Sim::start(Profile::Member).await;
    let output = sim.powershell("Get-Unicorn -Colour 'pink'").await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.stdout.len(), output.exit_code), (0, 1));
    assert!(stderr.contains("The term 'Get-Unicorn' is not recognized as the name of a cmdlet"), "{stderr}");
    assert!(stderr.contains("+ FullyQualifiedErrorId : CommandNotFoundException"), "{stderr}");
    assert!(!stderr.contains("CLIXML"), "the client decoded it: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_one_character_too_long_fails_as_on_a_real_server() {
    let sim = Sim::start(Profile::Member).await;
    let fits = format!("'{}'", "x".repeat(3_023));
    let output = sim.powershell(&fits).await;
    assert_eq!((output.stdout.len(), output.exit_code), (3_025, 0));
    let output = sim.powershell(&format!("{fits} ")).await;
    assert_eq!(output.exit_code, 1);
    assert_eq!(String::from_utf8(output.stderr).unwrap().trim_end(), "The command line is too long.");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_output_arrives_whole_in_envelopes_of_the_size_asked_for() {
    let sim = Sim::start(Profile::Member).await;
    let output = sim.powershell("foreach ($i in 1..4000) { \"$i \" + 'x' * 100 }").await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 4_000);
    assert!(text.lines().last().unwrap().starts_with("4000 xxx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_a_wrong_user_and_refused_logons_are_401() {
    let sim = Sim::start(Profile::Member).await;
    let wrong = client(sim.port(), &sim.ca, "not-the-password", 5);
    let error = wrong.run_command(HOST, "hostname", &[]).await.unwrap_err().to_string();
    assert!(error.contains("auth failed"), "{error}");
    sim.drift(Drift::RefuseLogons { refuse: true });
    assert!(sim.client.run_command(HOST, "hostname", &[]).await.is_err());
    sim.drift(Drift::RefuseLogons { refuse: false });
    assert!(sim.client.run_command(HOST, "hostname", &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_not_trusted() {
    let (sim, other) = (Sim::start(Profile::Member).await, Sim::start(Profile::Member).await);
    let stranger = client(sim.port(), &other.ca, PASSWORD, 5);
    assert!(stranger.run_command(HOST, "hostname", &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_command_times_out_each_receive_and_can_be_terminated() {
    let sim = Sim::start(Profile::Member).await;
    let patient = client(sim.port(), &sim.ca, PASSWORD, 1);
    // The command outlives two operation timeouts: each idle Receive is answered w:TimedOut and asked again.
    let output = patient.run_powershell(HOST, "Start-Sleep -Milliseconds 2500; 'done'").await.unwrap();
    assert_eq!(output.stdout, b"done\r\n");

    let shell = patient.open_shell(HOST).await.unwrap();
    let encoded = winrm_rs::encode_powershell_command("Start-Sleep 600; Stop-Service Spooler -Force");
    let id = shell.start_command("powershell.exe", &["-EncodedCommand", &encoded]).await.unwrap();
    shell.signal_ctrl_c(&id).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(5), shell.receive_next(&id)).await.expect("at once").unwrap();
    assert!(end.done && end.exit_code == Some(-1_073_741_510), "{:?}", end.exit_code);
    shell.close().await.unwrap();
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_choose_the_command_id_and_the_ledger_shows_it() {
    let sim = Sim::start(Profile::Dc).await;
    let shell = sim.client.open_shell(HOST).await.unwrap();
    let encoded = winrm_rs::encode_powershell_command("Stop-Service DNS");
    let id = "3F2504E0-4F89-11D3-9A0C-0305E82C3301";
    shell
        .start_command_with_id(
            "%SystemRoot%\\System32\\WindowsPowerShell\\v1.0\\powershell.exe",
            &["-EncodedCommand", &encoded],
            id,
        )
        .await
        .unwrap();
    while !shell.receive_next(id).await.unwrap().done {}
    let changes = sim.script_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].command_id.as_deref(), Some(id));
    let again = shell.start_command_with_id("hostname", &[], id).await;
    assert!(again.is_err(), "an identifier is used once");
    shell.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn identify_answers_and_names_the_message_it_relates_to() {
    let sim = Sim::start(Profile::Member).await;
    let (status, answer) = post(
        &sim,
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:i=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\"><s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>",
    )
    .await;
    assert_eq!(status, 200);
    assert!(answer.contains("OS: 10.0.20348"), "{answer}");
    let (status, answer) = post(&sim, &envelope(CREATE, "", "<rsp:Shell/>")).await;
    assert_eq!(status, 200);
    assert!(answer.contains("<a:RelatesTo>uuid:TEST-1</a:RelatesTo>"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_request_gets_the_fault_that_fits() {
    let sim = Sim::start(Profile::Member).await;
    let selector = "<w:SelectorSet><w:Selector Name=\"ShellId\">NO-SUCH-SHELL</w:Selector></w:SelectorSet>";
    let receive = "<rsp:Receive><rsp:DesiredStream CommandId=\"X\">stdout</rsp:DesiredStream></rsp:Receive>";
    let unknown_header = "<q:Thing xmlns:q=\"urn:q\" s:mustUnderstand=\"true\">1</q:Thing>";
    let timeout = "<w:OperationTimeout>soon</w:OperationTimeout>";
    let get = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get";
    let cases = [
        (envelope(&format!("{SHELL}/Receive"), selector, receive), "Code=\"2150858843\""),
        (envelope(&format!("{SHELL}/Command"), "", "<rsp:CommandLine/>"), "Code=\"2150858817\""),
        (envelope(CREATE, timeout, "<rsp:Shell/>"), "Code=\"2150858817\""),
        (envelope(CREATE, unknown_header, "<rsp:Shell/>"), "s:MustUnderstand"),
        (envelope(get, "", ""), "ActionNotSupported"),
        (envelope(CREATE, "", "<rsp:Shell/>").replace("shell/cmd", "shell/other"), "DestinationUnreachable"),
        ("<unclosed".to_owned(), "Code=\"2150858817\""),
        ("<a><b></a></b>".to_owned(), "Code=\"2150858817\""),
        (String::new(), "Code=\"2150858817\""),
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".to_owned(), "document type"),
        (format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000)), "nests deeper"),
        (format!("<a>{}</a>", "<b/>".repeat(6_000)), "more than"),
        ("<x:a/>".to_owned(), "is not declared"),
    ];
    for (body, expected) in cases {
        let (status, answer) = post(&sim, &body).await;
        let shown = &body[..body.len().min(200)];
        assert_eq!(status, 500, "{shown}\n{answer}");
        assert!(answer.contains(expected), "{expected} for {shown}\n{answer}");
    }
    assert!(sim.client.run_command(HOST, "hostname", &[]).await.is_ok(), "and it still serves");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_beyond_the_limit_is_refused_and_one_at_it_is_read() {
    let sim = Sim::start(Profile::Member).await;
    let frame = envelope(CREATE, "", "<rsp:Shell/>").len();
    let padded = |size: usize| envelope(CREATE, "", &format!("<rsp:Shell/>{}", " ".repeat(size - frame)));
    let (status, _) = post(&sim, &padded(MAX_ENVELOPE)).await;
    assert_eq!(status, 200);
    let (status, answer) = post(&sim, &padded(MAX_ENVELOPE + 1)).await;
    assert_eq!(status, 500);
    assert!(answer.contains("EncodingLimit"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dawdles_is_cut_off_and_hinders_nobody() {
    let sim = Sim::start_with(Profile::Member, Duration::from_millis(400)).await;
    // One never shakes hands, one never ends its headers, one never sends its body.
    let mut silent = TcpStream::connect(sim.server.winrm_address().unwrap()).await.unwrap();
    let mut headers = connect(&sim).await;
    headers.write_all(b"POST /wsman HTTP/1.1\r\nHost: x\r\nX: ").await.unwrap();
    let mut body = connect(&sim).await;
    let token = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let head = format!(
        "POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\nContent-Type: application/soap+xml\r\nContent-Length: 1000\r\n\r\n<s"
    );
    body.write_all(head.as_bytes()).await.unwrap();
    assert!(sim.client.run_command(HOST, "hostname", &[]).await.is_ok());
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), async {
        let _ = silent.read_to_end(&mut rest).await;
        let _ = headers.read_to_end(&mut rest).await;
        let _ = body.read_to_end(&mut rest).await;
    });
    end.await.expect("all three are closed by the server");
    assert!(String::from_utf8_lossy(&rest).contains("408"));
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_are_limited_in_number_and_freed_by_delete() {
    let sim = Sim::start(Profile::Member).await;
    let mut shells = Vec::new();
    let refused = loop {
        match sim.client.create_shell(HOST).await {
            Ok(id) => shells.push(id),
            Err(error) => break error.to_string(),
        }
        assert!(shells.len() <= 30);
    };
    assert!(refused.contains("QuotaLimit") || refused.contains("quota"), "{refused}");
    sim.client.delete_shell(HOST, &shells[0]).await.unwrap();
    assert!(sim.client.create_shell(HOST).await.is_ok());
}
