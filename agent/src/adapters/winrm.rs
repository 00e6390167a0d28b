//! A Windows server over WinRM: runs one phase of a runbook and reads the one JSON line it prints.
//!
//! How the server is reached is [`client`]'s business, how a script gets there [`session`]'s. The script is the runbook's
//! own; its parameters travel as base64 of JSON, so that no value can become code. When the connection fails, a phase that only looks is tried
//! again once; one that changes something only when it is known that its script had not begun.

mod client;
mod session;

use crate::adapters::certificate;
use crate::adapters::inventory::{Access, Server};
use crate::clock::Clock;
use crate::config::credentials::Credentials;
use crate::model::{Phase, PhaseReport};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use msp_contracts::fingerprint::Fingerprint;
use msp_rules::Catalogue;
use serde_json::{Map, Value};
use session::Failed;
pub(crate) use session::encoded_bootstrap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use winrm_rs::{WinrmClient, WinrmError};

/// More than any report, and anything that a script says beside it.
const MOST_OUTPUT: usize = 1024 * 1024;
/// A report goes into evidence, which Central Command takes up to 1 MiB: a server must not keep its own out.
const LONGEST_REPORT: usize = 64 * 1024;
/// So many refusals in a row are the server's word. One alone is not: on a busy machine the HTTP client sends the last
/// message of a handshake over another connection than the first, two or three times in a hundred, and the server can
/// only refuse it. Accounts are locked after five or more.
const REFUSALS: u8 = 2;
/// How much of a script's output goes into an error.
const EXCERPT: usize = 300;

/// A phase that gave no report.
#[derive(Debug, thiserror::Error)]
pub enum PhaseError {
    #[error("runbook {runbook} has no {phase} script")]
    NoScript { runbook: String, phase: &'static str },
    #[error("{host}: could not set up WinRM (is windows_ca_cert_file a PEM file?)")]
    Setup {
        host: String,
        #[source]
        source: Box<WinrmError>,
    },
    #[error(
        "{host}: the server's certificate is not the pinned one: found {found}, pinned {pinned}. Nothing was sent. If \
         the certificate was renewed, correct certificate_sha256 at Central Command"
    )]
    OtherCertificate { host: String, found: Fingerprint, pinned: Fingerprint },
    #[error("{host}: the server refused the credentials; they are not tried again now")]
    LoggedOut { host: String },
    #[error("{host}: {phase} of {runbook} did not finish")]
    Transport {
        host: String,
        runbook: String,
        phase: &'static str,
        /// Whether the script may have begun to run.
        begun: bool,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the appliance's executor did not do it")]
    Executor {
        #[source]
        source: crate::adapters::executor::ExecutorError,
    },
    #[error("{host}: {phase} of {runbook} ended with exit code {exit_code} and no report: {excerpt}")]
    NoReport { host: String, runbook: String, phase: &'static str, exit_code: i32, excerpt: String },
    #[error("{host}: {phase} of {runbook} reported something else: {reason}")]
    WrongReport { host: String, runbook: String, phase: &'static str, reason: String },
}

impl PhaseError {
    /// Nothing came back from the server: the next phase would only wait for it again.
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Transport { .. } | Self::LoggedOut { .. } | Self::OtherCertificate { .. } | Self::Setup { .. }
        )
    }
}

/// When a phase ran, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub started: Timestamp,
    pub completed: Timestamp,
    pub report: Result<PhaseReport, PhaseError>,
}

/// One Windows server with its runbooks.
pub struct WindowsHost {
    client: Arc<WinrmClient>,
    host: String,
    address: SocketAddr,
    pinned: Option<Fingerprint>,
    /// The host as a URL writes it.
    endpoint: String,
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    logon: Logon,
}

/// What became of the credentials so far.
#[derive(Debug, Default)]
struct Logon {
    /// So many logons in a row were refused.
    refusals: AtomicU8,
    refused: AtomicBool,
}

impl WindowsHost {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    /// When the certificate authority's file cannot be used.
    pub fn new(
        server: &Server,
        credentials: &Credentials,
        ca_cert_file: Option<&Path>,
        catalogue: Arc<Catalogue>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PhaseError> {
        let host = server.address.to_string();
        let endpoint = if server.address.is_ipv6() { format!("[{host}]") } else { host.clone() };
        let client = client::client(server, credentials, ca_cert_file)
            .map_err(|source| PhaseError::Setup { host: host.clone(), source: Box::new(source) })?;
        let address = SocketAddr::new(server.address, server.port);
        let pinned = match &server.access {
            Access::Https { pinned, .. } => pinned.clone(),
            Access::SealedHttp => None,
        };
        Ok(Self {
            client: Arc::new(client),
            host,
            address,
            pinned,
            endpoint,
            catalogue,
            clock,
            logon: Logon::default(),
        })
    }

    /// The server's IP address, which is its host id.
    pub fn address(&self) -> &str {
        &self.host
    }

    /// Whether the server refused the credentials.
    pub fn refused(&self) -> bool {
        self.logon.refused.load(Ordering::Relaxed)
    }

    /// The runbooks that can run here.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Runs one phase of a runbook.
    pub async fn run(&self, runbook_id: &str, phase: Phase, parameters: &Map<String, Value>) -> Ran {
        let started = self.clock.now();
        let mut report = self.report(runbook_id, phase, parameters).await;
        let only_looks = matches!(phase, Phase::Detect | Phase::Verify);
        if let Err(PhaseError::Transport { begun, .. }) = report
            && (only_looks || !begun)
            && !self.refused()
        {
            report = self.report(runbook_id, phase, parameters).await;
        }
        Ran { started, completed: self.clock.now(), report }
    }

    async fn report(
        &self,
        runbook_id: &str,
        phase: Phase,
        parameters: &Map<String, Value>,
    ) -> Result<PhaseReport, PhaseError> {
        let (script, timeout) = self.script(runbook_id, phase, parameters)?;
        if self.refused() {
            return Err(PhaseError::LoggedOut { host: self.host.clone() });
        }
        let (client, endpoint) = (Arc::clone(&self.client), self.endpoint.clone());
        let output = match session::run(client, endpoint, &script, timeout, MOST_OUTPUT).await {
            Ok(output) => output,
            Err(failed) => return Err(self.failed(runbook_id, phase, failed).await),
        };
        self.logon.refusals.store(0, Ordering::Relaxed);
        self.read(runbook_id, phase, &output.stdout, &output.stderr, output.exit_code)
    }

    /// Why a phase did not finish; remembers a refusal of the credentials.
    async fn failed(&self, runbook_id: &str, phase: Phase, failed: Failed) -> PhaseError {
        let Failed { begun, source: error } = failed;
        if let Some(other) = self.other_certificate(&error).await {
            return other;
        }
        if is_refusal(&error) && self.logon.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS {
            self.logon.refused.store(true, Ordering::Relaxed);
        }
        // The client's own error does not lead on to what was wrong below HTTP: a certificate, a port nobody listens on.
        let source: Box<dyn std::error::Error + Send + Sync> = match error {
            WinrmError::Http(below) => Box::new(below),
            other => Box::new(other),
        };
        let (host, runbook) = (self.host.clone(), runbook_id.to_owned());
        PhaseError::Transport { host, runbook, phase: phase.as_str(), begun, source }
    }

    /// The certificate that was found in place of the pinned one. The client does not say which it was, and calls it a
    /// failed logon or a failed connection: so it is looked at once more.
    async fn other_certificate(&self, error: &WinrmError) -> Option<PhaseError> {
        let pinned = self.pinned.as_ref()?;
        if !matches!(error, WinrmError::AuthFailed(_) | WinrmError::Http(_)) {
            return None;
        }
        let found = certificate::presented(self.address).await.filter(|found| found != pinned)?;
        Some(PhaseError::OtherCertificate { host: self.host.clone(), found, pinned: pinned.clone() })
    }

    fn script(
        &self,
        runbook_id: &str,
        phase: Phase,
        parameters: &Map<String, Value>,
    ) -> Result<(String, Duration), PhaseError> {
        let runbook = runbook_id.to_owned();
        let bounds = self.catalogue.get(runbook_id).and_then(|found| found.phases.get(&phase));
        let (Some(body), Some(bounds)) = (self.catalogue.script(runbook_id, phase), bounds) else {
            return Err(PhaseError::NoScript { runbook, phase: phase.as_str() });
        };
        let encoded = BASE64.encode(Value::Object(parameters.clone()).to_string());
        let script = format!(
            "$MspParams = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{encoded}')) | ConvertFrom-Json\n{body}"
        );
        Ok((script, Duration::from_secs(bounds.timeout_seconds.into())))
    }

    fn read(
        &self,
        runbook_id: &str,
        phase: Phase,
        stdout: &[u8],
        stderr: &[u8],
        exit_code: i32,
    ) -> Result<PhaseReport, PhaseError> {
        let stdout = String::from_utf8_lossy(stdout);
        let line = stdout.lines().map(str::trim).rfind(|line| line.starts_with('{'));
        let Some(line) = line else {
            let stderr = String::from_utf8_lossy(stderr);
            let said = if stderr.trim().is_empty() { stdout } else { stderr };
            return Err(PhaseError::NoReport {
                host: self.host.clone(),
                runbook: runbook_id.to_owned(),
                phase: phase.as_str(),
                exit_code,
                excerpt: said.trim().chars().take(EXCERPT).collect(),
            });
        };
        let wrong = |reason: String| PhaseError::WrongReport {
            host: self.host.clone(),
            runbook: runbook_id.to_owned(),
            phase: phase.as_str(),
            reason,
        };
        if line.len() > LONGEST_REPORT {
            return Err(wrong(format!("a report of {} bytes, more than {LONGEST_REPORT}", line.len())));
        }
        let report: PhaseReport = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if report.schema != 1 {
            return Err(wrong(format!("schema {}, this version reads 1", report.schema)));
        }
        if report.runbook != runbook_id || report.phase != phase.as_str() {
            return Err(wrong(format!("a report of {} {}", report.runbook, report.phase)));
        }
        Ok(report)
    }
}

/// Whether the server refused the credentials. The client calls every failed logon the same, also those where the
/// server did not get as far as judging them (a 500, a handshake that is none): only those may be tried again, and
/// what is not known to be one of them counts as a refusal, because every further try may lock the account.
fn is_refusal(error: &WinrmError) -> bool {
    let WinrmError::AuthFailed(said) = error else { return false };
    let other_status = said.starts_with("HTTP ") && !said.starts_with("HTTP 401");
    !other_status && !said.starts_with("expected 401 for NTLM negotiate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_have_judged_no_credentials_is_tried_again() {
        for (said, refusal) in [
            ("NTLM authentication rejected (bad credentials or CBT mismatch)", true),
            ("HTTP 401 Unauthorized from WinRM: ", true),
            ("something that a later version says", true),
            ("HTTP 503 Service Unavailable: ", false),
            ("expected 401 for NTLM negotiate, got 503 Service Unavailable", false),
        ] {
            assert_eq!(is_refusal(&WinrmError::AuthFailed(said.to_owned())), refusal, "{said}");
        }
        assert!(!is_refusal(&WinrmError::Timeout(1)));
    }
}
