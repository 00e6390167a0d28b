//! A server in this process, the real winrm-rs client against it, and the shipped runbooks.

#![allow(dead_code)] // each test file uses a part of it

pub mod proxy;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use msp_winsim::windows::ledger::{Entry, Source};
use msp_winsim::{Account, Drift, Identity, Profile, Server, ServerConfig};
use serde_json::Value;
use winrm_rs::{AuthMethod, CommandOutput, Shell, WinrmClient, WinrmConfig, WinrmCredentials, WinrmError};

pub const USER: &str = "Administrator";
pub const PASSWORD: &str = "Correct-Horse-9";
pub const HOST: &str = "127.0.0.1";

pub struct Sim {
    pub server: Server,
    pub client: WinrmClient,
    pub ca: PathBuf,
    _tls: tempfile::TempDir,
}

impl Sim {
    pub async fn start(profile: Profile) -> Self {
        Self::start_with(profile, Duration::from_secs(5)).await
    }

    pub async fn start_with(profile: Profile, read_timeout: Duration) -> Self {
        let tls = tempfile::tempdir().unwrap();
        let identity = Identity::create_in(tls.path(), HOST.parse().unwrap(), "SIM01").unwrap();
        let server = Server::start(ServerConfig {
            profile,
            hostname: "SIM01".to_owned(),
            listen: format!("{HOST}:0").parse().unwrap(),
            http: Some(format!("{HOST}:0").parse().unwrap()),
            drift: format!("{HOST}:0").parse().unwrap(),
            account: Account { user: USER.to_owned(), password: PASSWORD.to_owned() },
            identity: Some(identity),
            read_timeout,
        })
        .await
        .unwrap();
        let ca = tls.path().join("ca.pem");
        let client = client(server.winrm_address().unwrap().port(), &ca, PASSWORD, 10);
        Self { server, client, ca, _tls: tls }
    }

    pub fn port(&self) -> u16 {
        self.server.winrm_address().unwrap().port()
    }

    pub fn drift(&self, drift: Drift) {
        assert_eq!(drift.apply(self.server.machine()), Ok(true), "{drift:?} changes something");
    }

    /// What scripts have changed.
    pub fn script_changes(&self) -> Vec<Entry> {
        let mut entries = self.server.machine().ledger();
        entries.retain(|e| e.source == Source::Script);
        entries
    }

    pub async fn powershell(&self, script: &str) -> CommandOutput {
        self.client.run_powershell(HOST, script).await.unwrap()
    }

    /// One line of standard output of a script that must succeed.
    pub async fn line(&self, script: &str) -> String {
        let output = self.powershell(script).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((stderr.as_ref(), output.exit_code), ("", 0), "script: {script}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Sends a script over standard input, in pieces of at most `chunk` bytes, the last of which ends it.
    pub async fn over_standard_input(&self, script: &str, chunk: usize) -> CommandOutput {
        let shell = self.client.open_shell(HOST).await.unwrap();
        let id = start_powershell(&shell, BOOTSTRAP).await;
        let text = STANDARD.encode(script);
        let mut pieces = text.as_bytes().chunks(chunk).peekable();
        while let Some(piece) = pieces.next() {
            shell.send_input(&id, piece, pieces.peek().is_none()).await.unwrap();
        }
        let output = drain(&shell, &id).await;
        shell.close().await.unwrap();
        output
    }

    /// Runs a phase of a shipped runbook the way the agent does, and checks what every phase promises.
    pub async fn phase(&self, runbook: &str, phase: &str, parameters: &Value) -> Value {
        let script = script(runbook, phase);
        let preamble = format!(
            "$MspParams = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{}')) | ConvertFrom-Json\n",
            STANDARD.encode(parameters.to_string())
        );
        let output = self.over_standard_input(&format!("{preamble}{script}"), 64 * 1024).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((stderr.as_ref(), output.exit_code), ("", 0), "{runbook} {phase}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(stdout.trim_end().lines().count(), 1, "one line: {stdout}");
        let result: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
        check_shape(runbook, phase, &result);
        result
    }
}

/// Reads a script from standard input and runs it.
pub const BOOTSTRAP: &str =
    ". ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String(-join $input))))";

/// Starts PowerShell with a script on its command line; its standard input is still open.
pub async fn start_powershell(shell: &Shell<'_>, script: &str) -> String {
    let utf16: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = STANDARD.encode(utf16);
    shell
        .start_command("powershell.exe", &["-NoProfile", "-NonInteractive", "-EncodedCommand", &encoded])
        .await
        .unwrap()
}

/// Everything a command writes, to its end.
pub async fn drain(shell: &Shell<'_>, id: &str) -> CommandOutput {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        let part = shell.receive_next(id).await.unwrap();
        stdout.extend(part.stdout);
        stderr.extend(part.stderr);
        if part.done {
            return CommandOutput { stdout, stderr, exit_code: part.exit_code.unwrap_or(-1) };
        }
    }
}

fn check_shape(runbook: &str, phase: &str, result: &Value) {
    let object = result.as_object().unwrap();
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = ["changed", "observed", "phase", "reasons", "reboot_required", "runbook", "schema", "status"];
    assert_eq!(keys, expected);
    assert_eq!(result["schema"], 1);
    assert_eq!(result["runbook"], runbook);
    assert_eq!(result["phase"], phase);
    let statuses = ["compliant", "drift", "unsupported", "pending", "error"];
    assert!(statuses.contains(&result["status"].as_str().unwrap()), "{result}");
    assert!(result["observed"].is_object(), "{result}");
    assert!(result["reasons"].as_array().unwrap().iter().all(Value::is_string), "{result}");
    assert!(result["changed"].is_boolean() && result["reboot_required"].is_boolean());
    let explained = result["status"] == "compliant" || !result["reasons"].as_array().unwrap().is_empty();
    assert!(explained, "a status other than compliant has a reason: {result}");
}

/// The script of a phase as it runs: what the runbook's phases share, a line end, and the phase's own text.
pub fn script(runbook: &str, phase: &str) -> String {
    let read = |name: &str| {
        let path = runbooks().join(runbook).join(format!("{name}.ps1"));
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    format!("{}\n{}", read("functions"), read(phase))
}

pub fn runbooks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/runbooks")
}

pub fn client(port: u16, ca: &Path, password: &str, timeout_seconds: u64) -> WinrmClient {
    try_client(port, ca, password, timeout_seconds).unwrap()
}

pub fn try_client(port: u16, ca: &Path, password: &str, timeout_seconds: u64) -> Result<WinrmClient, WinrmError> {
    // Installed once; later calls find it in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = WinrmConfig {
        port: Some(port),
        auth_method: AuthMethod::Basic,
        operation_timeout_secs: timeout_seconds,
        ..WinrmConfig::https()
    };
    WinrmClient::builder(config)
        .credentials(WinrmCredentials::new(USER, password, ""))
        .add_root_certificates_pem(ca)
        .build()
}
