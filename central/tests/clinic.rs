//! A directory made by `init`, a server over it, and appliances with issued certificates.

use msp_contracts::api::{CheckinReply, EvidenceReply, Problem};
use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::evidence::{Bundle, BundleKind, DeploymentMode, GENESIS_HASH, Target};
use msp_contracts::finding::Platform;
use msp_contracts::ids::{ChainId, Counter};
use msp_contracts::keys::{self, SigningKey, VerifyingKey};
use reqwest::{Certificate, Client, Identity, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub const SITE: &str = "clinic-a";

pub struct Clinic {
    root: TempDir,
}

impl Clinic {
    /// A new directory, made by `init`.
    pub fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clinic = Self { root: tempfile::tempdir().unwrap() };
        clinic.ok(&["init", "--dir", clinic.dir_text(), "--name", "localhost", "--name", "127.0.0.1"]);
        clinic
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("central")
    }

    pub fn dir_text(&self) -> &'static str {
        // Leaked on purpose: arguments are then plain literals everywhere.
        Box::leak(self.dir().to_str().unwrap().to_owned().into_boxed_str())
    }

    /// Runs the binary.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_msp-central")).args(arguments).output().unwrap()
    }

    /// Runs the binary, which must succeed, and answers what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the binary, which must refuse with `code`, and answers what it said.
    pub fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    /// Runs `list WHAT --json`.
    pub fn list(&self, what: &str) -> Value {
        serde_json::from_str(&self.ok(&["list", what, "--dir", self.dir_text(), "--json"])).unwrap()
    }

    /// Runs a command of two words with the directory and further arguments, which must succeed.
    pub fn command(&self, words: [&str; 2], further: &[&str]) -> String {
        self.ok(&[&[words[0], words[1], "--dir", self.dir_text()], further].concat())
    }

    /// The same, which must be refused with exit code 1.
    pub fn command_refused(&self, words: [&str; 2], further: &[&str]) -> String {
        self.refused(1, &[&[words[0], words[1], "--dir", self.dir_text()], further].concat())
    }

    /// Issues an order to an appliance of [`SITE`] with `--json`, and answers it.
    pub fn order(&self, appliance: &str, what: &[&str]) -> Value {
        let further = [&[SITE, appliance], what, &["--reason", "ticket 4711", "--by", "alice", "--json"]].concat();
        serde_json::from_str(&self.command(["order", "issue"], &further)).unwrap()
    }

    /// An order as it stands now.
    pub fn order_now(&self, order: &Value) -> Value {
        let id = order["order_id"].as_str().unwrap();
        serde_json::from_str(&self.command(["order", "show"], &[id, "--json"])).unwrap()
    }

    /// Writes a file beside the directory.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.root.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Where the last server logs to.
    pub fn log(&self) -> PathBuf {
        self.root.path().join("log")
    }

    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, further: &[&str]) -> Server {
        self.serve_logging_to(std::fs::File::create(self.log()).unwrap(), further)
    }

    pub fn serve_logging_to(&self, log: impl Into<Stdio>, further: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_msp-central"))
            .args(["serve", "--dir", self.dir_text(), "--listen", "127.0.0.1:0", "--people", "127.0.0.1:0"])
            .arg("--exit-with-stdin")
            .args(further)
            .env("MSP_LOG_LEVEL", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no ready line: {line:?}"));
        assert_eq!(ready["ready"], json!(true));
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        let some = |name: &str| ready[name].as_str().map(|text| text.parse().unwrap());
        let (agents, people, stdin) = (address("agents"), address("people"), child.stdin.take());
        Server { agents, people, enroll: some("enroll"), metrics: some("metrics"), stdin, child }
    }

    /// Issues a certificate to an appliance of [`SITE`].
    pub fn issue(&self, appliance: &str) -> Agent {
        self.issue_for(SITE, appliance)
    }

    pub fn issue_for(&self, site: &str, appliance: &str) -> Agent {
        let out = self.root.path().join(format!("{site}-{appliance}"));
        let (dir, path) = (self.dir_text(), out.to_str().unwrap());
        self.ok(&["issue", "--dir", dir, "--site", site, "--appliance", appliance, "--out", path]);
        let mut pem = std::fs::read(out.join("client.pem")).unwrap();
        pem.extend(std::fs::read(out.join("client-key.pem")).unwrap());
        let central = keys::public_from_hex(std::fs::read_to_string(out.join("central.pub")).unwrap().trim()).unwrap();
        let seed = appliance.bytes().fold(7_u8, u8::wrapping_add);
        Agent {
            client: self.client(Some(&pem)),
            site: site.to_owned(),
            appliance: appliance.to_owned(),
            key: keys::from_seed([seed; 32]),
            chain_id: ChainId::from_random([seed; 8]),
            central,
        }
    }

    /// A TLS client that trusts this clinic's authority, with or without a certificate.
    pub fn client(&self, certificate_and_key: Option<&[u8]>) -> Client {
        let ca = Certificate::from_pem(&std::fs::read(self.dir().join("ca.pem")).unwrap()).unwrap();
        let builder = Client::builder().tls_certs_only([ca]).timeout(Duration::from_secs(20));
        match certificate_and_key {
            Some(pem) => builder.identity(Identity::from_pem(pem).unwrap()),
            None => builder,
        }
        .build()
        .unwrap()
    }

    /// The database, opened by another program.
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir().join("central.db")).unwrap()
    }
}

pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    pub agents: SocketAddr,
    pub people: SocketAddr,
    pub enroll: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
}

impl Server {
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.agents)
    }

    pub fn page(&self, path: &str) -> String {
        format!("https://{}{path}", self.people)
    }

    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// Waits for the end, which must come within `limit`.
    pub async fn ended_within(&mut self, limit: Duration) -> ExitStatus {
        let waited = tokio::time::timeout(limit, async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.expect("the server did not end in time")
    }

    /// Ends it as a power failure of the process would.
    pub async fn kill(&mut self) {
        self.child.kill().unwrap();
        self.ended_within(Duration::from_secs(3)).await;
    }

    pub async fn stop(mut self) {
        self.terminate();
        assert_eq!(self.ended_within(Duration::from_secs(3)).await.code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Agent {
    pub client: Client,
    pub site: String,
    pub appliance: String,
    /// Signs its evidence.
    pub key: SigningKey,
    /// The chain it continues.
    pub chain_id: ChainId,
    /// Central Command's public key, as issued.
    pub central: VerifyingKey,
}

impl Agent {
    pub async fn get(&self, server: &Server, path: &str) -> Response {
        self.client.get(server.url(path)).send().await.unwrap()
    }

    pub async fn post<T: Serialize + ?Sized>(&self, server: &Server, path: &str, body: &T) -> Response {
        self.client.post(server.url(path)).json(body).send().await.unwrap()
    }

    pub fn checkin(&self) -> Value {
        json!({
            "schema_version": 1, "site_id": self.site, "hostname": "appliance-1", "mac_address": "00:11:22:33:44:55",
            "ip_addresses": ["192.168.10.2"], "uptime_seconds": 86400, "agent_version": "0.1.0",
            "nixos_version": "25.05", "has_local_credentials": true,
            "agent_public_key": keys::public_to_hex(&self.key.verifying_key()),
        })
    }

    /// A check-in with the agent's own report.
    pub fn report(&self, kill_switch: bool) -> Value {
        let mut body = self.checkin();
        body["agent"] = json!({
            "chain": self.chain_id, "started_at": "2026-01-02T03:04:05Z", "kill_switch": kill_switch, "dry_run": false,
            "rules_loaded": 27, "quarantined": [], "outbox_pending": 3, "outbox_rejected": 1,
        });
        body
    }

    /// Checks in with a report, which must succeed.
    pub async fn reports(&self, server: &Server, kill_switch: bool) -> CheckinReply {
        good(self.post(server, "/api/appliances/checkin", &self.report(kill_switch)).await).await
    }

    /// Checks in, which must succeed.
    pub async fn check_in(&self, server: &Server) -> CheckinReply {
        good(self.post(server, "/api/appliances/checkin", &self.checkin()).await).await
    }

    pub fn evidence_path(&self) -> String {
        format!("/api/evidence/sites/{}/submit", self.site)
    }

    /// A bundle at a place of this appliance's chain.
    pub fn bundle(&self, sequence: u64, previous_hash: &str) -> Bundle {
        Bundle {
            schema_version: 1,
            bundle_id: format!("CB-2026-01-02-{sequence:04}").parse().unwrap(),
            chain: self.chain_id.clone(),
            sequence: Counter(sequence),
            previous_hash: previous_hash.to_owned(),
            kind: BundleKind::StatusChange,
            site_id: self.site.clone(),
            host_id: self.appliance.clone(),
            deployment_mode: DeploymentMode::Direct,
            policy_version: "ab".repeat(32),
            target: Target { host_id: "192.168.10.5".into(), name: "DC01".into(), platform: Platform::Windows },
            check: "firewall".into(),
            hipaa_controls: vec!["164.312(e)(1)".into()],
            incident_id: None,
            plan: None,
            actions: Vec::new(),
            pre_state: json!({ "firewall_enabled": false }),
            post_state: Value::Null,
            outcome: None,
            detail: None,
            error: None,
            rollback_available: false,
            rollback_generation: None,
            healing_resolution_level: None,
            roll_up: Vec::new(),
            started: "2026-01-02T03:04:05Z".parse().unwrap(),
            completed: "2026-01-02T03:04:06Z".parse().unwrap(),
        }
    }

    /// A chain of signed bundles from the first on, each with its hash.
    pub fn chain(&self, length: u64) -> Vec<(Envelope, String)> {
        let mut previous = GENESIS_HASH.to_owned();
        (1..=length)
            .map(|sequence| {
                let envelope = self.bundle(sequence, &previous).sign(&self.key).unwrap();
                previous = hash(&envelope);
                (envelope, previous.clone())
            })
            .collect()
    }

    pub async fn submit(&self, server: &Server, envelope: &Envelope) -> Response {
        self.post(server, &self.evidence_path(), &json!({ "schema_version": 1, "bundle": envelope })).await
    }

    /// Submits a bundle, which must be accepted.
    pub async fn accepted(&self, server: &Server, envelope: &Envelope) -> EvidenceReply {
        good(self.submit(server, envelope).await).await
    }
}

#[allow(clippy::disallowed_methods, reason = "an agent reads the clock when it is sent an order")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

pub fn hash(envelope: &Envelope) -> String {
    sha256_hex(&envelope.to_bytes().unwrap())
}

/// The body of a call that must have succeeded.
pub async fn good<T: DeserializeOwned>(response: Response) -> T {
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The problem of a call that must have been refused with this status and word.
pub async fn problem(response: Response, status: u16, error: &str) -> Problem {
    let (found, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(found.as_u16(), status, "{text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.error, error, "{text}");
    assert!(!problem.message.is_empty());
    problem
}

pub fn incident(site: &str) -> Value {
    json!({
        "schema_version": 1, "incident_id": "INC-0123456789ab", "incident_type": "firewall", "severity": "high",
        "site_id": site, "host_id": "192.168.10.5", "host_name": "DC01", "platform": "windows",
        "raw_data": { "check_type": "firewall", "details": { "firewall_enabled": false } },
        "pattern_signature": "firewall:windows", "created_at": "2026-01-02T03:04:05Z",
    })
}

pub fn resolution() -> Value {
    json!({
        "schema_version": 1, "resolution_tier": "L1", "action_taken": "RB-WIN-FIREWALL-001",
        "resolved_at": "2026-01-02T03:05:00Z",
    })
}

pub fn execution(site: &str) -> Value {
    json!({
        "schema_version": 1, "execution_id": "0b0f4c1e-6e0f-4c8a-9d1a-0c6f0a3f7a11", "incident_id": "INC-0123456789ab",
        "site_id": site, "host_id": "192.168.10.5", "rule_id": "L1-WIN-FIREWALL-001",
        "runbook_id": "RB-WIN-FIREWALL-001", "level": "L1", "outcome": "success", "detail": "fixed",
        "evidence_id": "CB-2026-01-02-0001", "started_at": "2026-01-02T03:04:05+01:00",
        "completed_at": "2026-01-02T03:04:15.5+01:00",
    })
}

pub fn escalation(site: &str) -> Value {
    json!({
        "schema_version": 1, "ticket_id": "7d4f9d9e-90f5-4e52-a6a2-3b3f4a6f0c55", "incident_id": "INC-0123456789ab",
        "site_id": site, "host_id": "192.168.10.5", "host_name": "DC01", "urgency": "high",
        "summary": "Firewall is off and could not be switched on", "reason": "verify failed",
        "suggested_runbook": "RB-WIN-FIREWALL-001", "finding": { "check_type": "firewall" },
        "evidence": ["CB-2026-01-02-0001"], "created_at": "2026-01-02T03:06:00Z",
    })
}
