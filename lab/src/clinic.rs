//! The clinic: Central Command, an agent, a member server and a domain controller, each a process of its own; and, where
//! they are asked for, more servers, and a second site with an appliance and a server of its own.

use crate::Progress;
use crate::appliance::{Appliance, write_private};
use crate::drift::Server;
use crate::inventory;
use crate::process::{Process, succeed};
use anyhow::Context;
use msp_contracts::rehearsal::RehearsedTime;
use serde::Deserialize;
use serde_json::Value;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The clinic's site.
pub const SITE: &str = "clinic-a";
/// The clinic's appliance.
pub const APPLIANCE: &str = "appliance-1";
/// The second site, and its appliance.
const BRANCH: (&str, &str) = ("clinic-b", "appliance-2");
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
    /// The others, as they were asked for.
    pub more: Vec<Server>,
    more_servers: Vec<(String, &'static str)>,
    /// The clinic's appliance.
    pub appliance: Appliance,
    /// The second site.
    pub branch: Option<Branch>,
    time: Option<RehearsedTime>,
    central: Option<Process>,
    /// Where Central Command listens: it comes back at the same address.
    address: Option<CentralAddress>,
}

/// A second site: an appliance and a member server. Nothing is armed there that a site has to arm itself.
#[derive(Debug)]
pub struct Branch {
    /// Its appliance.
    pub appliance: Appliance,
    /// FS02.
    pub server: Option<Server>,
}

/// Where Central Command listens.
#[derive(Debug, Clone, Deserialize)]
pub struct CentralAddress {
    /// For agents, with mutual TLS: address and port.
    pub agents: String,
    /// For people: address and port, over plain HTTP.
    pub people: String,
    /// For appliances that enrol: address and port.
    pub enroll: String,
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
        let path = match &folder {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(path) => path,
        };
        let appliance = Appliance::new(path, "agent", SITE, APPLIANCE);
        Ok(Self {
            folder,
            member: None,
            controller: None,
            more: Vec::new(),
            more_servers: Vec::new(),
            appliance,
            branch: None,
            time: None,
            central: None,
            address: None,
        })
    }

    /// So many more domain controllers stand in the clinic when it is opened: DC02 and so on.
    #[must_use]
    pub fn with_more_controllers(mut self, count: u8) -> Self {
        self.more_servers.extend((2..2 + count).map(|n| (format!("DC{n:02}"), "dc")));
        self
    }

    /// One more server of this name and profile stands in the clinic when it is opened.
    #[must_use]
    pub fn with_server(mut self, hostname: &str, profile: &'static str) -> Self {
        self.more_servers.push((hostname.to_owned(), profile));
        self
    }

    /// There is a second site when the clinic is opened.
    #[must_use]
    pub fn with_branch(mut self) -> Self {
        let appliance = Appliance::new(self.path(), "agent-b", BRANCH.0, BRANCH.1);
        self.branch = Some(Branch { appliance, server: None });
        self
    }

    /// The agent looks at the servers, and checks in, every so many seconds.
    #[must_use]
    pub fn with_poll_interval(mut self, seconds: u32) -> Self {
        self.appliance.poll_interval = seconds;
        self
    }

    /// The agent's configuration has these lines too when the clinic is opened.
    #[must_use]
    pub fn with_settings(mut self, lines: &str) -> Self {
        self.appliance.settings.push_str(lines);
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
        self.appliance.config()
    }

    /// Every server of the clinic, not of the second site.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.member.iter().chain(&self.controller).chain(&self.more)
    }

    /// The server of this name, at either site.
    pub fn server(&self, hostname: &str) -> Option<&Server> {
        let branch = self.branch.iter().filter_map(|branch| branch.server.as_ref());
        self.servers().chain(branch).find(|server| server.hostname == hostname)
    }

    /// Central Command's folder.
    pub fn central_dir(&self) -> String {
        self.file("central")
    }

    /// Where people find Central Command's pages.
    pub fn people(&self) -> Option<String> {
        self.address.as_ref().map(|address| format!("http://{}", address.people))
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
            let address = self.address.clone().context("Central Command is not running")?;
            self.appliance.enroll(&self.central_dir(), &address).await?;
        } else {
            self.found().await?;
            self.start_central().await?;
        }
        progress.say("simulated Windows servers: FS01 (member, WinRM over HTTPS), DC01 (domain controller, over HTTP)");
        for (hostname, profile) in &self.more_servers {
            progress.say(&format!("  and {hostname} ({profile})"));
        }
        self.start_servers().await?;
        if enrols {
            self.send_credentials().await?;
        }
        let address = self.address.clone().context("Central Command is not running")?;
        self.open_branch(&address, progress).await?;
        self.write_config(&address.agents)?;
        progress.say("the agent");
        self.start_agent()
    }

    async fn open_branch(&mut self, address: &CentralAddress, progress: Progress) -> anyhow::Result<()> {
        let central = self.central_dir();
        let clinic = self.path().to_owned();
        let Some(branch) = &mut self.branch else { return Ok(()) };
        progress.say("a second site, with an appliance and FS02 (member): nothing is armed there");
        branch.appliance.prepare()?;
        branch.appliance.enroll(&central, address).await?;
        let server = Server::start(&clinic, "FS02", "member", "127.0.0.61", ACCOUNT).await?;
        inventory::tell(&central, branch.appliance.site, &clinic, &[&server]).await?;
        branch.appliance.write_credentials(&server.hostname, ACCOUNT, &server.password)?;
        std::fs::copy(&server.authority, branch.appliance.folder().join("windows-ca.pem"))
            .context("the server's authority")?;
        branch.server = Some(server);
        branch.appliance.write_config(&address.agents)?;
        branch.appliance.start(self.time)
    }

    async fn found_fleet(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(self.path().join("logs")).context("logs: cannot be made")?;
        self.appliance.prepare()?;
        succeed("msp-central", &["init", "--dir", &self.central_dir(), "--name", "127.0.0.1"]).await?;
        Ok(())
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
        self.appliance.remove_credentials(&host)
    }

    /// Makes folders, authority, keys, and a certificate made at the server; nothing runs yet.
    ///
    /// # Errors
    /// When a program is not built or refuses.
    pub async fn found(&self) -> anyhow::Result<()> {
        self.found_fleet().await?;
        self.appliance.issue(&self.central_dir()).await
    }

    /// Starts the servers, and gives Central Command their addresses and the agent their credentials.
    ///
    /// # Errors
    /// When a server does not start.
    pub async fn start_servers(&mut self) -> anyhow::Result<()> {
        let member = Server::start(self.path(), "FS01", "member", "127.0.0.11", ACCOUNT).await?;
        let controller = Server::start(self.path(), "DC01", "dc", "127.0.0.12", ACCOUNT).await?;
        let mut more = Vec::new();
        for (n, (name, profile)) in (13..).zip(&self.more_servers) {
            more.push(Server::start(self.path(), name, profile, &format!("127.0.0.{n}"), ACCOUNT).await?);
        }
        let servers: Vec<_> = [&member, &controller].into_iter().chain(&more).collect();
        inventory::tell(&self.central_dir(), SITE, self.path(), &servers).await?;
        let authorities = servers.iter().map(|server| std::fs::read_to_string(&server.authority));
        let authorities: String = authorities.collect::<Result<_, _>>().context("the servers' authorities")?;
        std::fs::write(self.path().join("agent/windows-ca.pem"), authorities).context("the servers' authorities")?;
        for server in servers {
            self.appliance.write_credentials(&server.hostname, ACCOUNT, &server.password)?;
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
        self.appliance.write_credentials(hostname, user, password)
    }

    /// Writes the agent's configuration; `central` is address and port of its Central Command.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_config(&self, central: &str) -> anyhow::Result<()> {
        self.appliance.write_config(central)
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// When it is not built.
    pub fn start_agent(&mut self) -> anyhow::Result<()> {
        self.appliance.start(self.time)
    }

    /// Kills the agent, as a crash would.
    pub async fn kill_agent(&mut self) {
        self.appliance.kill().await;
    }

    /// Stops the agent.
    pub async fn stop_agent(&mut self) {
        self.appliance.stop().await;
    }

    /// Kills Central Command, as a crash would.
    pub async fn kill_central(&mut self) {
        if let Some(mut central) = self.central.take() {
            central.kill().await;
        }
    }

    /// Gives Central Command this list of the site's Windows servers, in the form of `targets set`.
    ///
    /// # Errors
    /// When Central Command refuses it.
    pub async fn set_targets(&self, entries: &Value) -> anyhow::Result<()> {
        inventory::set(&self.central_dir(), SITE, self.path(), entries).await
    }

    /// Starts Central Command, at the address it had before if it had one.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_central(&mut self) -> anyhow::Result<()> {
        let any = "127.0.0.1:0".to_owned();
        let before = self.address.clone();
        let CentralAddress { agents, people, enroll } =
            before.unwrap_or(CentralAddress { agents: any.clone(), people: any.clone(), enroll: any });
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
        let (mut agents, mut servers) = (vec![&mut self.appliance], Vec::new());
        if let Some(branch) = &mut self.branch {
            agents.push(&mut branch.appliance);
            servers.extend(&mut branch.server);
        }
        servers.extend(self.member.iter_mut().chain(&mut self.controller).chain(&mut self.more));
        let servers = servers.into_iter().map(Server::process);
        let agents = agents.into_iter().filter_map(Appliance::process);
        let all = servers.chain(agents).chain(self.central.as_mut());
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
        let agent = self.appliance.close();
        let branch = async {
            if let Some(branch) = &mut self.branch {
                branch.appliance.close().await;
                if let Some(server) = &mut branch.server {
                    server.stop().await;
                }
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
        tokio::join!(central, agent, branch, member, controller, more);
    }

    /// Everything the agent has logged since the clinic was prepared.
    pub fn agent_log(&self) -> String {
        self.appliance.log()
    }

    /// The end of the agent's log, for whoever has to find out what went wrong.
    pub fn last_words(&self) -> String {
        let words = self.appliance.last_words();
        let kept = match &self.folder {
            Folder::Kept(path) => format!("all logs: {}", path.join("logs").display()),
            Folder::Temporary(_) => "run again with --keep DIR to have all logs".to_owned(),
        };
        format!("the agent's last words:\n{words}\n{kept}")
    }
}
