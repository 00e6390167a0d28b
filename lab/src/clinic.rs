//! The clinic: Central Command, one agent, a member server and a domain controller, each a process of its own.

use crate::Progress;
use crate::drift::Server;
use crate::process::{Process, succeed};
use anyhow::Context;
use msp_contracts::rehearsal::RehearsedTime;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The clinic's site.
pub const SITE: &str = "clinic-a";
const APPLIANCE: &str = "appliance-1";
/// Who looks at Central Command's pages.
const PERSON: &str = "lab";
/// Both servers' WinRM account; they listen on loopback only and live as long as the lab.
const ACCOUNT: &str = "msp-svc";

/// The folder of a clinic: temporary, or one that stays.
#[derive(Debug)]
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

/// A clinic, open or not.
#[derive(Debug)]
pub struct Clinic {
    folder: Folder,
    /// FS01, a member server.
    pub member: Option<Server>,
    /// DC01, a domain controller.
    pub controller: Option<Server>,
    /// DC02 and so on, as many as were asked for.
    pub more: Vec<Server>,
    more_controllers: u8,
    poll_interval: u32,
    settings: String,
    time: Option<RehearsedTime>,
    central: Option<Process>,
    agent: Option<Process>,
    /// Where Central Command listens: it comes back at the same address.
    address: Option<CentralAddress>,
}

/// Where Central Command listens.
#[derive(Debug, Clone, Deserialize)]
pub struct CentralAddress {
    /// For agents, with mutual TLS: address and port.
    pub agents: String,
    /// For people: address and port.
    pub people: String,
    /// For appliances that enrol: address and port.
    pub enroll: String,
    /// Where people's browsers go.
    pub people_url: String,
}

/// A link that lets the lab's person in once.
#[derive(Debug, Clone, Deserialize)]
pub struct LoginLink {
    /// The address.
    pub url: String,
}

impl Clinic {
    /// Makes the clinic's folder.
    ///
    /// # Errors
    /// When it cannot be made, or holds files already.
    pub fn prepare(keep: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match keep {
            Some(path) => {
                let empty = std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
                anyhow::ensure!(empty, "{}: holds files already: name an empty folder", path.display());
                let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
                made.with_context(|| format!("{}: cannot be made", path.display()))?;
                Folder::Kept(path.canonicalize().context("finding the folder")?)
            }
            None => Folder::Temporary(
                tempfile::Builder::new()
                    .prefix("msp-lab-")
                    .permissions(Permissions::from_mode(0o700))
                    .tempdir()
                    .context("making a folder")?,
            ),
        };
        Ok(Self {
            folder,
            member: None,
            controller: None,
            more: Vec::new(),
            more_controllers: 0,
            poll_interval: 1,
            settings: String::new(),
            time: None,
            central: None,
            agent: None,
            address: None,
        })
    }

    /// So many more domain controllers stand in the clinic when it is opened.
    #[must_use]
    pub fn with_more_controllers(mut self, count: u8) -> Self {
        self.more_controllers = count;
        self
    }

    /// The agent looks at the servers, and checks in, every so many seconds.
    #[must_use]
    pub fn with_poll_interval(mut self, seconds: u32) -> Self {
        self.poll_interval = seconds;
        self
    }

    /// The agent's configuration has these lines too when the clinic is opened.
    #[must_use]
    pub fn with_settings(mut self, lines: &str) -> Self {
        self.settings.push_str(lines);
        self
    }

    /// Agent and Central Command live in this time from their next start on.
    pub fn rehearse(&mut self, time: RehearsedTime) {
        self.time = Some(time);
    }

    /// The clinic's folder.
    pub fn path(&self) -> &Path {
        match &self.folder {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(path) => path,
        }
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// The agent's configuration.
    pub fn config(&self) -> String {
        self.file("agent/config.yaml")
    }

    /// Central Command's folder.
    pub fn central_dir(&self) -> String {
        self.file("central")
    }

    /// Where people find Central Command's pages.
    pub fn people(&self) -> Option<String> {
        self.address.as_ref().map(|address| address.people_url.clone())
    }

    /// A link that lets the lab's person into Central Command's pages, once.
    ///
    /// # Errors
    /// When Central Command never ran here.
    pub async fn login_link(&self) -> anyhow::Result<LoginLink> {
        let printed = succeed("msp-central", &["login-link", "--dir", &self.central_dir(), "--json", PERSON]).await?;
        serde_json::from_slice(&printed).context("reading the login link")
    }

    /// Starts everything.
    ///
    /// # Errors
    /// When a program is not built, does not start, or refuses what it is given.
    pub async fn open(&mut self, progress: Progress) -> anyhow::Result<()> {
        progress.say("Central Command: authority, certificates, database");
        // TLS follows the machine's clock: a certificate of a rehearsed time would not be valid yet, or any more.
        let enrols = self.time.is_none();
        if enrols {
            self.found_fleet().await?;
            self.start_central().await?;
            progress.say("the appliance enrols by a one-time token");
            self.enroll().await?;
        } else {
            self.found().await?;
            self.start_central().await?;
        }
        progress
            .say("two simulated Windows servers: FS01 (member, WinRM over HTTPS), DC01 (domain controller, over HTTP)");
        self.start_servers().await?;
        if enrols {
            self.send_credentials().await?;
        }
        let address = self.address.clone().context("Central Command is not running")?;
        self.write_config(&address.agents)?;
        progress.say("the agent");
        self.start_agent()
    }

    async fn found_fleet(&self) -> anyhow::Result<()> {
        for folder in ["logs", "agent/windows", "agent/rules"] {
            std::fs::create_dir_all(self.path().join(folder)).with_context(|| format!("{folder}: cannot be made"))?;
        }
        let central = self.central_dir();
        succeed("msp-central", &["init", "--dir", &central, "--name", "127.0.0.1"]).await?;
        succeed("msp-central", &["person", "add", "--dir", &central, PERSON]).await?;
        Ok(())
    }

    /// The appliance joins as a real one does: a token, and the agent's own command.
    async fn enroll(&self) -> anyhow::Result<()> {
        let address = self.address.as_ref().context("Central Command is not running")?;
        let (central, token) = (self.central_dir(), self.file("token"));
        let made = succeed("msp-central", &["enroll-token", "--dir", &central, SITE, "--appliance", APPLIANCE]).await?;
        write_private(Path::new(&token), &made).context("writing the token")?;
        let (server, out) = (format!("https://{}", address.enroll), self.file("agent"));
        succeed("msp-agent", &["enroll", "--server", &server, "--token-file", &token, "--out-dir", &out]).await?;
        std::fs::remove_file(token).context("removing the token")
    }

    /// The domain controller's credentials travel encrypted; the member server's lie in a file on the appliance.
    async fn send_credentials(&self) -> anyhow::Result<()> {
        let server = self.controller.as_ref().context("the domain controller is not running")?;
        let (dir, host) = (self.central_dir(), server.hostname.clone());
        let password = self.file("password");
        write_private(Path::new(&password), server.password.as_bytes()).context("writing the password")?;
        let command = ["targets", "credentials", "set", "--dir", &dir, SITE, &host];
        let logon = ["--username", ACCOUNT, "--password-file", &password];
        succeed("msp-central", &[&command[..], &logon[..]].concat()).await?;
        std::fs::remove_file(password).context("removing the password")?;
        std::fs::remove_file(self.path().join(format!("agent/windows/{host}.yaml"))).context("removing credentials")
    }

    /// Makes folders, authority, keys, and a certificate made at the server; nothing runs yet.
    ///
    /// # Errors
    /// When a program is not built or refuses.
    pub async fn found(&self) -> anyhow::Result<()> {
        self.found_fleet().await?;
        let (central, agent) = (self.central_dir(), self.file("agent"));
        let issue = ["issue", "--dir", &central, "--site", SITE, "--appliance", APPLIANCE, "--out", &agent];
        succeed("msp-central", &issue).await?;
        succeed("msp-agent", &["keygen", "--out", &self.file("agent/signing.pem")]).await?;
        Ok(())
    }

    /// Starts both servers, and gives Central Command their addresses and the agent their credentials.
    ///
    /// # Errors
    /// When a server does not start.
    pub async fn start_servers(&mut self) -> anyhow::Result<()> {
        let member = Server::start(self.path(), "FS01", "member", "127.0.0.11", ACCOUNT).await?;
        let controller = Server::start(self.path(), "DC01", "dc", "127.0.0.12", ACCOUNT).await?;
        let mut more = Vec::new();
        for n in 2..2 + self.more_controllers {
            let (name, ip) = (format!("DC{n:02}"), format!("127.0.0.{}", 11 + n));
            more.push(Server::start(self.path(), &name, "dc", &ip, ACCOUNT).await?);
        }
        let servers: Vec<_> = [&member, &controller].into_iter().chain(&more).collect();
        self.write_inventory(&servers).await?;
        let authorities = servers.iter().map(|server| std::fs::read_to_string(&server.authority));
        let authorities: String = authorities.collect::<Result<_, _>>().context("the servers' authorities")?;
        std::fs::write(self.path().join("agent/windows-ca.pem"), authorities).context("the servers' authorities")?;
        for server in servers {
            self.write_credentials(&server.hostname, ACCOUNT, &server.password)?;
        }
        self.member = Some(member);
        self.controller = Some(controller);
        self.more = more;
        Ok(())
    }

    /// Gives the agent the credentials of a Windows server.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_credentials(&self, hostname: &str, user: &str, password: &str) -> anyhow::Result<()> {
        let file = self.path().join(format!("agent/windows/{hostname}.yaml"));
        let logon = json!({ "username": user, "password": password });
        write_private(&file, logon.to_string().as_bytes()).context("writing credentials")
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// When it is not built.
    pub fn start_agent(&mut self) -> anyhow::Result<()> {
        let config = self.config();
        let args = ["run", "--config", &config, "--exit-with-stdin"];
        self.agent = Some(Process::start_in(&self.path().join("logs"), "agent", "msp-agent", &args, self.time)?);
        Ok(())
    }

    /// Kills the agent, as a crash would.
    pub async fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().await;
        }
    }

    /// Kills Central Command, as a crash would.
    pub async fn kill_central(&mut self) {
        if let Some(mut central) = self.central.take() {
            central.kill().await;
        }
    }

    /// Stops the agent.
    pub async fn stop_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    /// All log on with NTLM: to the member inside TLS, to the controllers over plain HTTP with every message sealed.
    async fn write_inventory(&self, servers: &[&Server]) -> anyhow::Result<()> {
        let entry = |server: &&Server| {
            let (hostname, sealed) = (&server.hostname, server.winrm_http);
            if server.profile == "dc" {
                return json!({
                    "hostname": hostname, "ip_address": sealed.ip(), "port": sealed.port(), "transport": "http"
                });
            }
            json!({ "hostname": hostname, "ip_address": server.winrm.ip(), "port": server.winrm.port() })
        };
        self.set_targets(&servers.iter().map(entry).collect()).await
    }

    /// Gives Central Command this list of the site's Windows servers, in the form of `targets set`.
    ///
    /// # Errors
    /// When Central Command refuses it.
    pub async fn set_targets(&self, entries: &Value) -> anyhow::Result<()> {
        let file = self.file("targets.json");
        std::fs::write(&file, entries.to_string()).context("writing the inventory")?;
        succeed("msp-central", &["targets", "set", "--dir", &self.central_dir(), "--site", SITE, &file]).await?;
        Ok(())
    }

    /// Writes the agent's configuration; `central` is address and port of its Central Command.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_config(&self, central: &str) -> anyhow::Result<()> {
        let public_key =
            std::fs::read_to_string(self.path().join("central/signing.pub")).context("Central Command's key")?;
        // Enrolled, certificate and key are one file; made at the server, they are two.
        let enrolled = self.path().join("agent/identity.pem").exists();
        let (certificate, key) =
            if enrolled { ("identity.pem", "identity.pem") } else { ("client.pem", "client-key.pem") };
        let config = format!(
            "# The lab's agent: everything that is not here has its default.\n\
             site_id: {SITE}\nhost_id: {APPLIANCE}\nmcp_url: https://{central}\nmcp_public_key: \"{}\"\n\
             client_cert_file: {certificate}\nclient_key_file: {key}\nca_cert_file: ca.pem\n\
             signing_key_file: signing.pem\nstate_dir: state\nrules_dir: rules\n\
             windows_credentials_dir: windows\nwindows_ca_cert_file: windows-ca.pem\npoll_interval: {}\n\
             # The same things drift here again and again, far more often than in a clinic, and the agent is killed.\n\
             heals_per_host_per_hour: 1000\nheals_per_site_per_hour: 10000\nflap_limit: 1000\nbreaker_failures: 100\n{}",
            public_key.trim(),
            self.poll_interval,
            self.settings,
        );
        std::fs::write(self.config(), config).context("writing the agent's configuration")
    }

    /// Starts Central Command, at the address it had before if it had one.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_central(&mut self) -> anyhow::Result<()> {
        let any = "127.0.0.1:0".to_owned();
        let before = self.address.clone();
        let (agents, people, enroll) =
            before.map_or((any.clone(), any.clone(), any), |old| (old.agents, old.people, old.enroll));
        let dir = self.central_dir();
        // No browser knows the authority of a clinic that lives for an hour; it is on loopback.
        let listen = ["--listen", &agents, "--people", &people, "--people-http", "--enroll", &enroll];
        let args = [&["serve", "--dir", &dir, "--exit-with-stdin"], &listen[..]].concat();
        let mut central = Process::start_in(&self.path().join("logs"), "central", "msp-central", &args, self.time)?;
        self.address = Some(central.ready().await?);
        self.central = Some(central);
        Ok(())
    }

    /// Where Central Command listens, or listened last.
    pub fn address(&self) -> Option<&CentralAddress> {
        self.address.as_ref()
    }

    /// Takes Central Command away.
    pub async fn stop_central(&mut self) {
        if let Some(mut central) = self.central.take() {
            central.stop().await;
        }
    }

    /// Says which process has died, if one has; Central Command may be away on purpose.
    pub fn dead(&mut self) -> Option<String> {
        let servers = [&mut self.member, &mut self.controller].into_iter().flatten().chain(&mut self.more);
        let servers = servers.map(Server::process);
        let all = servers.chain(self.agent.as_mut()).chain(self.central.as_mut());
        all.into_iter().find_map(|process| {
            (!process.runs()).then(|| format!("{} has died:\n{}", process.name(), process.last_words()))
        })
    }

    /// Stops everything, all at once.
    pub async fn close(&mut self) {
        let central = async {
            if let Some(central) = &mut self.central {
                central.stop().await;
            }
        };
        let agent = async {
            if let Some(agent) = &mut self.agent {
                agent.stop().await;
            }
        };
        let member = async {
            if let Some(server) = &mut self.member {
                server.stop().await;
            }
        };
        let controller = async {
            if let Some(server) = &mut self.controller {
                server.stop().await;
            }
        };
        let more = async {
            for server in &mut self.more {
                server.stop().await;
            }
        };
        tokio::join!(central, agent, member, controller, more);
    }

    /// Everything the agent has logged since the clinic was prepared.
    pub fn agent_log(&self) -> String {
        std::fs::read_to_string(self.path().join("logs/agent.log")).unwrap_or_default()
    }

    /// The end of the agent's log, for whoever has to find out what went wrong.
    pub fn last_words(&self) -> String {
        let words = self.agent.as_ref().map(Process::last_words).unwrap_or_default();
        let kept = match &self.folder {
            Folder::Kept(path) => format!("all logs: {}", path.join("logs").display()),
            Folder::Temporary(_) => "run again with --keep DIR to have all logs".to_owned(),
        };
        format!("the agent's last words:\n{words}\n{kept}")
    }
}

/// Writes a file that only its owner can read.
fn write_private(file: &Path, content: &[u8]) -> std::io::Result<()> {
    std::fs::write(file, content)?;
    std::fs::set_permissions(file, Permissions::from_mode(0o600))
}
