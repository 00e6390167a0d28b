//! One appliance of the lab: its folder, its configuration, its agent.

use crate::clinic::CentralAddress;
use crate::process::{Process, succeed};
use anyhow::Context;
use msp_contracts::rehearsal::RehearsedTime;
use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An appliance, with its agent running or not.
#[derive(Debug)]
pub struct Appliance {
    /// The site that it is in.
    pub site: &'static str,
    /// Its name there.
    pub host_id: &'static str,
    /// `agent`, and `agent-b` and so on: its folder in the clinic's, and its log's name.
    name: &'static str,
    clinic: PathBuf,
    /// The agent looks at the servers, and checks in, every so many seconds.
    pub poll_interval: u32,
    /// More lines of the agent's configuration.
    pub settings: String,
    agent: Option<Process>,
}

impl Appliance {
    /// An appliance whose folder, `name`, lies in the clinic's; nothing is made yet.
    pub fn new(clinic: &Path, name: &'static str, site: &'static str, host_id: &'static str) -> Self {
        let clinic = clinic.to_owned();
        Self { site, host_id, name, clinic, poll_interval: 1, settings: String::new(), agent: None }
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        self.clinic.join(self.name)
    }

    /// The agent's configuration.
    pub fn config(&self) -> String {
        self.folder().join("config.yaml").display().to_string()
    }

    /// Makes its folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn prepare(&self) -> anyhow::Result<()> {
        for folder in ["windows", "rules"] {
            let folder = self.folder().join(folder);
            std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        }
        Ok(())
    }

    /// It joins as a real one does: a token, and the agent's own command.
    ///
    /// # Errors
    /// When Central Command or the agent refuses.
    pub async fn enroll(&self, central_dir: &str, central: &CentralAddress) -> anyhow::Result<()> {
        let token = self.folder().join("token");
        let joins = ["enroll-token", "--dir", central_dir, self.site, "--appliance", self.host_id];
        let made = succeed("msp-central", &joins).await?;
        write_private(&token, &made).context("writing the token")?;
        let (server, out) = (format!("https://{}", central.enroll), self.folder().display().to_string());
        let token_file = token.display().to_string();
        succeed("msp-agent", &["enroll", "--server", &server, "--token-file", &token_file, "--out-dir", &out]).await?;
        std::fs::remove_file(token).context("removing the token")
    }

    /// Its key, and a certificate made at the server.
    ///
    /// # Errors
    /// When Central Command or the agent refuses.
    pub async fn issue(&self, central_dir: &str) -> anyhow::Result<()> {
        let out = self.folder();
        let (out, key) = (out.display().to_string(), out.join("signing.pem").display().to_string());
        let issue = ["issue", "--dir", central_dir, "--site", self.site, "--appliance", self.host_id, "--out", &out];
        succeed("msp-central", &issue).await?;
        succeed("msp-agent", &["keygen", "--out", &key]).await?;
        Ok(())
    }

    /// Gives the agent the credentials of a Windows server.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_credentials(&self, hostname: &str, user: &str, password: &str) -> anyhow::Result<()> {
        let file = self.folder().join(format!("windows/{hostname}.yaml"));
        let logon = json!({ "username": user, "password": password });
        write_private(&file, logon.to_string().as_bytes()).context("writing credentials")
    }

    /// Takes the credentials of a Windows server away again.
    ///
    /// # Errors
    /// When there are none.
    pub fn remove_credentials(&self, hostname: &str) -> anyhow::Result<()> {
        std::fs::remove_file(self.folder().join(format!("windows/{hostname}.yaml"))).context("removing credentials")
    }

    /// Writes a file of rules of the site's own.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_rules(&self, text: &str) -> anyhow::Result<()> {
        std::fs::write(self.folder().join("rules/site.yaml"), text).context("writing the site's rules")
    }

    /// Writes the agent's configuration; `central` is address and port of its Central Command.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_config(&self, central: &str) -> anyhow::Result<()> {
        let public_key =
            std::fs::read_to_string(self.clinic.join("central/signing.pub")).context("Central Command's key")?;
        // Enrolled, certificate and key are one file; made at the server, they are two.
        let enrolled = self.folder().join("identity.pem").exists();
        let (certificate, key) =
            if enrolled { ("identity.pem", "identity.pem") } else { ("client.pem", "client-key.pem") };
        let config = format!(
            "# The lab's agent: everything that is not here has its default.\n\
             site_id: {}\nhost_id: {}\nmcp_url: https://{central}\nmcp_public_key: \"{}\"\n\
             client_cert_file: {certificate}\nclient_key_file: {key}\nca_cert_file: ca.pem\n\
             signing_key_file: signing.pem\nstate_dir: state\nrules_dir: rules\n\
             windows_credentials_dir: windows\nwindows_ca_cert_file: windows-ca.pem\n\
             poll_interval: {}\nwindows_slow_check_interval: {}\n\
             # The same things drift here again and again, far more often than in a clinic, and the agent is killed.\n\
             heals_per_host_per_hour: 1000\nheals_per_site_per_hour: 10000\nflap_limit: 1000\nbreaker_failures: 100\n{}",
            self.site,
            self.host_id,
            public_key.trim(),
            self.poll_interval,
            self.poll_interval,
            self.settings,
        );
        std::fs::write(self.config(), config).context("writing the agent's configuration")
    }

    /// Starts the agent, in a rehearsed time if there is one.
    ///
    /// # Errors
    /// When it is not built.
    pub fn start(&mut self, time: Option<RehearsedTime>) -> anyhow::Result<()> {
        let config = self.config();
        let args = ["run", "--config", &config, "--exit-with-stdin"];
        self.agent = Some(Process::start_in(&self.clinic.join("logs"), self.name, "msp-agent", &args, time)?);
        Ok(())
    }

    /// Kills the agent, as a crash would.
    pub async fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().await;
        }
    }

    /// Stops the agent.
    pub async fn stop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    /// Stops the agent and keeps its last words.
    pub(crate) async fn close(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.stop().await;
        }
    }

    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        self.agent.as_mut()
    }

    /// Everything the agent has logged since the clinic was prepared.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.clinic.join(format!("logs/{}.log", self.name))).unwrap_or_default()
    }

    /// The end of the agent's log.
    pub fn last_words(&self) -> String {
        self.agent.as_ref().map(Process::last_words).unwrap_or_default()
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(file: &Path, content: &[u8]) -> std::io::Result<()> {
    std::fs::write(file, content)?;
    std::fs::set_permissions(file, Permissions::from_mode(0o600))
}
