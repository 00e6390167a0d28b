//! The program as its parents see it: the ready line, the drift interface, its errors, and its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

struct Program {
    child: Child,
    ready: Value,
    _dir: tempfile::TempDir,
}

impl Program {
    fn start(extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = command(dir.path(), "Secret-1\n", extra);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Self { child, ready, _dir: dir }
    }

    fn http(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.ready["drift"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Waits at most a second for the end, which must be a clean one.
    fn ends_within_a_second(&mut self) {
        for _ in 0..100 {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running after a second");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, password: &str, extra: &[&str]) -> Child {
    let password_file = dir.join("password");
    std::fs::write(&password_file, password).unwrap();
    let addresses = ["--listen", "--drift"].into_iter().filter(|a| !extra.contains(a));
    Command::new(env!("CARGO_BIN_EXE_msp-winsim"))
        .args(["--profile", "dc", "--hostname", "DC01", "--user", "Administrator"])
        .args(addresses.flat_map(|a| [a, "127.0.0.1:0"]))
        .arg("--password-file")
        .arg(&password_file)
        .arg("--tls-dir")
        .arg(dir.join("tls"))
        .args(extra)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a start that must fail says.
fn failure(password: &str, extra: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = command(dir.path(), password, extra).wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "no ready line");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_ready_line_says_where_it_listens_and_the_tls_files_are_there() {
    let program = Program::start(&[]);
    assert_eq!(program.ready["ready"], true);
    assert_eq!((&program.ready["hostname"], &program.ready["profile"]), (&json!("DC01"), &json!("dc")));
    TcpStream::connect(program.ready["winrm"].as_str().unwrap()).unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        assert!(program._dir.path().join("tls").join(file).exists(), "{file}");
    }
}

#[test]
fn drift_changes_the_state_once_and_is_in_the_ledger() {
    let program = Program::start(&[]);
    let off = r#"{"kind":"firewall_profile_off","profile":"Public"}"#;
    assert_eq!(program.http("POST", "/drift", off), (200, json!({"changed": true})));
    assert_eq!(program.http("POST", "/drift", off), (200, json!({"changed": false})));
    let stop = r#"{"kind":"service_stopped","service":"dns"}"#;
    assert_eq!(program.http("POST", "/drift", stop), (200, json!({"changed": true})));
    let (_, ledger) = program.http("GET", "/ledger", "");
    let entries = ledger["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["sequence"], 1);
    assert_eq!(
        (
            &entries[1]["subsystem"],
            &entries[1]["object"],
            &entries[1]["from"],
            &entries[1]["to"],
            &entries[1]["source"]
        ),
        (&json!("services"), &json!("DNS"), &json!("Running"), &json!("Stopped"), &json!("drift"))
    );
    let (status, state) = program.http("GET", "/state", "");
    assert_eq!((status, &state["admits_winrm"]), (200, &json!(true)));
    let dns = state["state"]["services"].as_array().unwrap().iter().find(|s| s["name"] == "DNS").unwrap();
    assert_eq!(dns["status"], "Stopped");
}

#[test]
fn what_happens_to_protection_is_told_as_one_field_beside_the_kind() {
    let program = Program::start(&[]);
    for body in [
        r#"{"kind":"defender","real_time":false}"#,
        r#"{"kind":"defender","policy_disables_real_time":true}"#,
        r#"{"kind":"defender","running_mode":"EDR Block Mode"}"#,
        r#"{"kind":"defender","other_product":{"name":"Contoso","on":true}}"#,
        r#"{"kind":"defender","installed":false}"#,
        r#"{"kind":"windows_backup","last_success_hours_ago":40}"#,
        r#"{"kind":"windows_backup","never_ran":"min_value"}"#,
        r#"{"kind":"windows_backup","job_running":{"hours":2,"seconds_left":600}}"#,
        r#"{"kind":"bitlocker","volume":{"mount_point":"C:","condition":"encrypting","percentage":40}}"#,
        r#"{"kind":"bitlocker","tpm":{"present":true,"ready":false}}"#,
        r#"{"kind":"bitlocker","escrow":"refused_by_policy"}"#,
    ] {
        assert_eq!(program.http("POST", "/drift", body), (200, json!({"changed": true})), "{body}");
    }
    for (body, expected) in [
        (r#"{"kind":"bitlocker","volume":{"mount_point":"Z:","condition":"locked"}}"#, "field 'mount_point'"),
        (r#"{"kind":"defender","sleepy":true}"#, "expected one of `real_time`"),
        (r#"{"kind":"defender","real_time":false,"installed":true}"#, "single key"),
    ] {
        let (status, answer) = program.http("POST", "/drift", body);
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(expected), "{body}: {answer}");
    }
}

#[test]
fn a_wrong_drift_is_a_400_that_names_the_field_and_changes_nothing() {
    let program = Program::start(&[]);
    for (body, expected) in [
        ("{", "not JSON"),
        ("[]", "field 'kind'"),
        (r#"{"profile":"Public"}"#, "field 'kind'"),
        (r#"{"kind":"earthquake"}"#, "field 'kind'"),
        (r#"{"kind":"firewall_profile_off"}"#, "field 'profile'"),
        (r#"{"kind":"firewall_profile_off","profile":"Pub"}"#, "field 'profile'"),
        (r#"{"kind":"firewall_profile_off","profile":"Public","x":1}"#, "field 'x'"),
        (r#"{"kind":"service_stopped","service":7}"#, "field 'service'"),
        (r#"{"kind":"service_stopped","service":"Nope"}"#, "field 'service'"),
        (r#"{"kind":"firewall_rule","rule":"Nope","enabled":true}"#, "field 'rule'"),
    ] {
        let (status, answer) = program.http("POST", "/drift", body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{body}");
        assert!(error.contains(expected), "{body}: {error}");
    }
    assert_eq!(program.http("GET", "/drift", "").0, 405);
    assert_eq!(program.http("GET", "/elsewhere", "").0, 404);
    assert_eq!(program.http("POST", "/drift", &"x".repeat(20_000)).0, 413);
    assert_eq!(program.http("GET", "/ledger", "").1, json!({"entries": []}));
}

#[test]
fn sigterm_and_sigint_end_it_within_a_second() {
    for signal in ["-TERM", "-INT"] {
        let mut program = Program::start(&[]);
        let id = program.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        program.ends_within_a_second();
    }
}

#[test]
fn with_the_flag_it_ends_when_its_parent_is_gone() {
    let mut program = Program::start(&["--exit-with-stdin"]);
    drop(program.child.stdin.take());
    program.ends_within_a_second();
}

#[test]
fn a_port_is_all_that_plain_http_with_ntlm_takes() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "Secret-1").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_msp-winsim"))
        .args(["--profile", "dc", "--port", "0", "--drift", "127.0.0.1:0", "--user", "admin", "--password-file"])
        .arg(&password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let program = Program { child, ready: serde_json::from_str(&line).unwrap(), _dir: dir };
    assert_eq!(program.ready["winrm"], Value::Null, "no certificate, no TLS");
    let address: std::net::SocketAddr = program.ready["winrm_http"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback());
    let config = winrm_rs::WinrmConfig { port: Some(address.port()), ..winrm_rs::WinrmConfig::http() };
    let credentials = winrm_rs::WinrmCredentials::new("admin", "Secret-1", "");
    let client = winrm_rs::WinrmClient::builder(config).credentials(credentials).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // This client, rarely, spreads a handshake over two connections of its pool, which is refused: it asks again.
    let ask = || runtime.block_on(client.run_powershell("127.0.0.1", "(Get-Service NTDS).Status"));
    let output = ask().or_else(|_| ask()).or_else(|_| ask()).unwrap();
    assert_eq!(output.stdout, b"Running\r\n");
}

#[test]
fn the_command_parse_names_file_line_column_and_reason_and_needs_no_account() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let utf16: Vec<u8> = "\u{feff}Get-Service -Name 'Spooler'".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let good = write("good.ps1", &utf16);
    let bad = write("bad.ps1", b"$x = 1\n$y = (1 +\n");
    let later = write("later.ps1", b"'a' &&  'b'\n");
    let parse = |files: &[&Path]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_msp-winsim"));
        let output = program.arg("parse").args(files).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(parse(&[&good]), (Some(0), "1 of 1 scripts parse\n".to_owned()));
    let (code, said) = parse(&[&good, &bad, &later]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("{}:3:1: syntax error: ", bad.display())), "{said}");
    assert!(said.contains(&format!("{}:1:5: not in the subset: ", later.display())), "{said}");
    assert!(said.ends_with("1 of 3 scripts parse\n"), "{said}");
}

#[test]
fn a_wrong_start_says_what_is_wrong_and_what_to_do() {
    let empty = failure("\n", &[]);
    assert!(empty.contains("password file") && empty.contains("write the account's password"), "{empty}");
    let open = failure("x", &["--drift", "0.0.0.0:0"]);
    assert!(open.contains("loopback"), "{open}");
    let both = failure("x", &["--cert", "a.pem", "--key", "b.pem"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = failure("x", &["--listen", &address]);
    assert!(busy.contains(&address) && busy.contains("port 0"), "{busy}");
}
