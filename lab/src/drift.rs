//! A simulated Windows server and its drift API: turns things off, and says how things really are.

use crate::process::Process;
use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Something that is wrong on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// A firewall profile is turned off: Domain, Private or Public.
    FirewallProfileOff(&'static str),
    /// A service is stopped, by its short name.
    ServiceStopped(&'static str),
    /// Defender's real-time protection is turned off.
    RealTimeProtectionOff,
    /// Logons are no longer audited.
    LogonsNotAudited,
    /// The last good backup is two days old.
    BackupOld,
    /// A volume's protection is suspended.
    BitLockerSuspended,
    /// A volume is being encrypted.
    Encrypting,
    /// An update is missing that needs no restart.
    UpdateMissing,
    /// An update is missing that needs a restart.
    UpdateWithReboot,
    /// A domain controller no longer gets what another one writes.
    ReplicationFailing,
}

impl Drift {
    fn request(self) -> Value {
        match self {
            Self::FirewallProfileOff(profile) => json!({ "kind": "firewall_profile_off", "profile": profile }),
            Self::ServiceStopped(service) => json!({ "kind": "service_stopped", "service": service }),
            Self::RealTimeProtectionOff => json!({ "kind": "defender", "real_time": false }),
            Self::LogonsNotAudited => {
                json!({ "kind": "audit_setting", "subcategory": "Logon", "setting": "no_auditing" })
            }
            Self::BackupOld => json!({ "kind": "windows_backup", "last_success_hours_ago": 48 }),
            Self::BitLockerSuspended => {
                json!({ "kind": "bitlocker", "volume": { "mount_point": "C:", "condition": "suspended" } })
            }
            Self::Encrypting => json!({
                "kind": "bitlocker", "volume": { "mount_point": "C:", "condition": "encrypting", "percentage": 40 }
            }),
            Self::UpdateMissing => missing("KB5099001", false),
            Self::UpdateWithReboot => missing("KB5099002", true),
            Self::ReplicationFailing => json!({ "kind": "replication", "partner": "DC02", "state": "failing" }),
        }
    }

    /// The check that finds it, and the part it is about.
    pub fn check(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::FirewallProfileOff(_) => ("firewall", None),
            Self::ServiceStopped(service) => ("services", Some(service)),
            Self::RealTimeProtectionOff => ("antivirus", None),
            Self::LogonsNotAudited => ("logging", None),
            Self::BackupOld => ("backup", None),
            Self::BitLockerSuspended | Self::Encrypting => ("encryption", None),
            Self::UpdateMissing | Self::UpdateWithReboot => ("patching", None),
            Self::ReplicationFailing => ("directory", None),
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::FirewallProfileOff(profile) => format!("firewall profile {profile} turned off"),
            Self::ServiceStopped(service) => format!("service {service} stopped"),
            Self::RealTimeProtectionOff => "real-time protection turned off".to_owned(),
            Self::LogonsNotAudited => "logons no longer audited".to_owned(),
            Self::BackupOld => "the last good backup is two days old".to_owned(),
            Self::BitLockerSuspended => "BitLocker suspended on C:".to_owned(),
            Self::Encrypting => "C: is being encrypted".to_owned(),
            Self::UpdateMissing => "an update missing".to_owned(),
            Self::UpdateWithReboot => "an update missing that needs a restart".to_owned(),
            Self::ReplicationFailing => "replication from DC02 fails".to_owned(),
        }
    }
}

/// A running simulated server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Its name.
    pub hostname: String,
    /// `member` or `dc`.
    pub profile: String,
    /// Where it takes WinRM over HTTPS.
    pub winrm: SocketAddr,
    /// Where it takes WinRM over plain HTTP, sealed.
    pub winrm_http: SocketAddr,
    drift: SocketAddr,
    /// The password of its WinRM account.
    pub password: String,
    /// The authority of its certificate, in PEM.
    pub authority: PathBuf,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Ready {
    winrm: SocketAddr,
    winrm_http: SocketAddr,
    drift: SocketAddr,
}

/// One entry of the server's change ledger.
#[derive(Debug, Deserialize)]
pub struct Change {
    /// `firewall`, `services`, ...
    pub subsystem: String,
    /// What was changed.
    pub object: String,
    /// Who changed it: `script`, `drift`, or `machine` where something ended by itself.
    pub source: String,
    /// The command that changed it, if a script did.
    pub command_id: Option<String>,
}

impl Server {
    /// Starts a server of this profile on this address, with a password of its own.
    pub async fn start(folder: &Path, hostname: &str, profile: &str, ip: &str, account: &str) -> anyhow::Result<Self> {
        let place = folder.join(hostname);
        std::fs::create_dir_all(&place).with_context(|| format!("{}: cannot be made", place.display()))?;
        let password = random_password()?;
        let password_file = place.join("password");
        std::fs::write(&password_file, &password).context("writing the server's password")?;
        let (any, tls) = (format!("{ip}:0"), place.display().to_string());
        let password_file = password_file.display().to_string();
        let args = [
            "--profile",
            profile,
            "--listen",
            &any,
            "--http",
            &any,
            "--drift",
            "127.0.0.1:0",
            "--hostname",
            hostname,
            "--user",
            account,
            "--password-file",
            &password_file,
            "--tls-dir",
            &tls,
            "--exit-with-stdin",
        ];
        let mut process = Process::start(&folder.join("logs"), hostname, "msp-winsim", &args)?;
        let ready: Ready = process.ready().await?;
        // The client wants one although it speaks plain HTTP here; somebody may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        Ok(Self {
            process,
            hostname: hostname.to_owned(),
            profile: profile.to_owned(),
            winrm: ready.winrm,
            winrm_http: ready.winrm_http,
            drift: ready.drift,
            password,
            authority: place.join("ca.pem"),
            http: http.context("preparing the drift client")?,
        })
    }

    /// Makes something wrong.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn inject(&self, drift: Drift) -> anyhow::Result<()> {
        self.send(&drift.request()).await
    }

    /// Sends any request of the server's drift API.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn send(&self, request: &Value) -> anyhow::Result<()> {
        let url = format!("http://{}/drift", self.drift);
        let reply = self.http.post(url).json(request).send().await.context("injecting drift")?;
        let (status, said) = (reply.status(), reply.text().await.unwrap_or_default());
        anyhow::ensure!(status.is_success(), "injecting drift on {}: {status} {said}", self.hostname);
        Ok(())
    }

    /// Everything that was changed on it, oldest first.
    pub async fn ledger(&self) -> anyhow::Result<Vec<Change>> {
        let url = format!("http://{}/ledger", self.drift);
        let reply = self.http.get(url).send().await.context("reading the ledger")?;
        let document: Value = reply.json().await.context("reading the ledger")?;
        let entries = document.get("entries").cloned().unwrap_or(document);
        serde_json::from_value(entries).context("reading the ledger")
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops it.
    pub async fn stop(&mut self) {
        self.process.stop().await;
    }
}

fn missing(kb: &str, needs_reboot: bool) -> Value {
    let title = format!("Security update {kb}");
    let update = json!({ "kb": kb, "title": title, "severity": "Critical", "needs_reboot": needs_reboot });
    json!({ "kind": "update_offered", "update": update })
}

/// 32 hexadecimal digits of the operating system's randomness.
fn random_password() -> anyhow::Result<String> {
    use std::io::Read;
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Drift {
    /// Whether a change in the ledger is a script's mending of this drift.
    pub fn is_about(self, change: &Change) -> bool {
        let (subsystem, object) = match self {
            Self::FirewallProfileOff(profile) => ("firewall", profile),
            Self::ServiceStopped(service) => ("services", service),
            Self::RealTimeProtectionOff => ("antivirus", ""),
            Self::LogonsNotAudited => ("logging", ""),
            Self::BackupOld => ("backup", ""),
            Self::BitLockerSuspended | Self::Encrypting => ("encryption", ""),
            Self::UpdateMissing | Self::UpdateWithReboot => ("updates", ""),
            Self::ReplicationFailing => ("directory", ""),
        };
        change.subsystem == subsystem && change.object.contains(object) && change.source == "script"
    }
}
