//! A booted systemd with the agent's units, for tests that need a real service manager. `tests/machine/machine.sh` makes
//! it; this is how tests speak with it.

use crate::agent;
use crate::network::Network;
use anyhow::Context;
use msp_lab::clinic::Clinic;
use msp_lab::process::program;
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../machine");
/// How long anything in a machine may take.
const PATIENCE: Duration = Duration::from_secs(45);

/// What the agent's configuration says in a machine; the rest is the lab's.
const CONFIG: &str = "\
state_dir: /var/lib/msp
signing_key_file: /run/credentials/msp-agent.service/signing_key_file
encryption_key_file: /run/credentials/msp-agent.service/encryption_key_file
client_key_file: /run/credentials/msp-agent.service/client_key_file
client_cert_file: /run/credentials/msp-agent.service/client_cert_file
ca_cert_file: /run/credentials/msp-agent.service/ca_cert_file
windows_ca_cert_file: /etc/msp/ca.pem
rules_dir: /etc/msp/rules
windows_credentials_dir: /etc/msp/windows
baseline_path: /etc/msp/baseline.yaml
host_check_interval: 1
";

const BASELINE: &str = "\
appliance:
  services: {running: [dbus.service, web.service], max_failed: 100}
";

const LIST: &str = r#"{"user": "msp-agent", "units": ["web.service"]}"#;

/// A user who got into the agent's group, and one who did not.
const STRANGERS: &str = "u stranger -\nm stranger msp-agent\nu outsider -\n";

const WEB: &str = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

/// One machine; it ends with this value.
#[derive(Debug)]
pub struct Machine {
    folder: tempfile::TempDir,
    base: PathBuf,
    name: String,
    /// What it calls itself, and whose network it is in: the script's own words, where nothing is said here.
    surroundings: Vec<(&'static str, String)>,
}

impl Machine {
    /// A machine whose file system is laid out and that is not booted yet; where there can be none, why.
    ///
    /// # Errors
    /// When what should work does not.
    pub fn new() -> anyhow::Result<Result<Self, String>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::Builder::new().prefix("msp-machine-").tempdir().context("making a folder")?;
        // Where it is built depends on nothing but the programs' folder, so that every test finds the same one.
        let beside = || Some(program("msp-agent").ok()?.parent()?.join("machine/trixie-nix"));
        let base = std::env::var_os("MSP_TEST_MACHINE_BASE").map(PathBuf::from).or_else(beside);
        let base = base.context("msp-agent is not built")?;
        let name = format!("msp{}n{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let machine = Self { folder, base, name, surroundings: Vec::new() };
        let can = machine.script(&["check"])?;
        if !can.status.success() {
            return Ok(Err(String::from_utf8_lossy(&can.stdout).trim().to_owned()));
        }
        machine.run(&["base"])?;
        Ok(Ok(machine))
    }

    /// A machine with the agent and its units, not booted yet.
    ///
    /// # Errors
    /// When it cannot be laid out.
    pub async fn with_agent() -> anyhow::Result<Result<Self, String>> {
        let machine = match Self::new()? {
            Ok(machine) => machine,
            Err(reason) => return Ok(Err(reason)),
        };
        let clinic = Clinic::prepare(None)?;
        clinic.found().await?;
        // Nobody is Central Command here, unless a test starts one: healing needs none.
        clinic.write_config("127.0.0.1:8443")?;
        agent::set(&clinic, CONFIG.trim_end())?;
        let made = clinic.path().join("agent");
        for (from, to, mode) in
            [("config.yaml", "config.yaml", 0o644), ("ca.pem", "ca.pem", 0o644), ("signing.pem", "signing.pem", 0o600)]
        {
            machine.lay(&format!("etc/msp/{to}"), std::fs::read(made.join(from)).with_context(|| from)?, mode)?;
        }
        // As enrolment leaves them: certificate and key in one file, and the key that opens Windows logons.
        let identity = [std::fs::read(made.join("client.pem"))?, std::fs::read(made.join("client-key.pem"))?].concat();
        machine.lay("etc/msp/identity.pem", identity, 0o600)?;
        let key = machine.folder().join("upper/etc/msp/encryption.key");
        agent::run(&["keygen", "--encryption", "--out", &key.display().to_string()])?;
        machine.lay("etc/msp/baseline.yaml", BASELINE, 0o644)?;
        machine.lay("etc/msp/rules/.keep", "", 0o644)?;
        machine.lay("etc/msp-agent/act.json", LIST, 0o644)?;
        machine.lay("etc/systemd/system/web.service", WEB, 0o644)?;
        machine.want("multi-user.target", "web.service")?;
        for entry in std::fs::read_dir(clinic.central_dir())? {
            let file = entry?.path();
            if !file.is_file() {
                continue;
            }
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            machine.lay(&format!("srv/central/{name}"), std::fs::read(&file).with_context(|| name.clone())?, 0o600)?;
        }
        machine.lay_agent()?;
        Ok(Ok(machine))
    }

    /// A network of their own with these machines plugged in; the calling thread stands in it then, and the network has
    /// `addresses` there. They have the agent and its units, and nobody has enrolled them. None is booted yet; the n-th
    /// will have the address 10.77.0.10n.
    ///
    /// # Errors
    /// When they cannot be laid out.
    pub fn in_network<const N: usize>(
        hosts: [&str; N],
        addresses: &[&str],
    ) -> anyhow::Result<Result<(Network, [Self; N]), String>> {
        let mut machines = Vec::with_capacity(N);
        let mut network = None;
        for (n, host) in (101..).zip(hosts) {
            let mut machine = match Self::new()? {
                Ok(machine) => machine,
                Err(reason) => return Ok(Err(reason)),
            };
            let name = network.get_or_insert_with(|| format!("{}net", machine.name)).clone();
            machine.surroundings = vec![("NET", name), ("HOST", host.to_owned())];
            let address = format!("[Match]\nName=host0\n[Network]\nAddress=10.77.0.{n}/24\n");
            machine.lay("etc/systemd/network/10-host0.network", address, 0o644)?;
            machine.want("multi-user.target", "systemd-networkd.service")?;
            machine.lay_agent()?;
            machines.push(machine);
        }
        let (name, first) = network.zip(machines.first()).context("a network of no machines")?;
        first.run(&["network"])?;
        let network = Network::enter(name, addresses)?;
        let machines = machines.try_into().map_err(|_| anyhow::anyhow!("as many machines as names"))?;
        Ok(Ok((network, machines)))
    }

    /// The agent's programs, units and users.
    fn lay_agent(&self) -> anyhow::Result<()> {
        self.lay("usr/local/bin/msp-agent", std::fs::read(program("msp-agent")?)?, 0o755)?;
        for helper in ["msp-agent-act", "msp-agent-switch"] {
            self.lay(&format!("usr/local/libexec/{helper}"), std::fs::read(program(helper)?)?, 0o755)?;
        }
        for unit in [
            "msp-agent.service",
            "msp-agent-act.socket",
            "msp-agent-act@.service",
            "msp-agent-nft.socket",
            "msp-agent-nft@.service",
            "msp-agent-switch@.service",
            "msp-agent-switch-settle.service",
        ] {
            let text = std::fs::read(Path::new(FOLDER).join("units").join(unit)).with_context(|| unit)?;
            self.lay(&format!("etc/systemd/system/{unit}"), text, 0o644)?;
        }
        self.lay("etc/sysusers.d/msp.conf", std::fs::read(Path::new(FOLDER).join("units/msp.sysusers"))?, 0o644)?;
        self.lay("etc/sysusers.d/strangers.conf", STRANGERS, 0o644)?;
        self.want("multi-user.target", "msp-agent.service")?;
        self.want("sockets.target", "msp-agent-act.socket")?;
        self.want("multi-user.target", "msp-agent-switch-settle.service")?;
        self.want("sockets.target", "msp-agent-nft.socket")
    }

    /// Its folder on this machine.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file into a machine that is not booted yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn lay(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> anyhow::Result<()> {
        let file = self.folder().join("upper").join(path);
        let parent = file.parent().context("a file has a folder")?;
        std::fs::create_dir_all(parent).with_context(|| path.to_owned())?;
        std::fs::write(&file, content).with_context(|| path.to_owned())?;
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).with_context(|| path.to_owned())
    }

    /// Has a unit started with a target of the next boot.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn want(&self, target: &str, unit: &str) -> anyhow::Result<()> {
        let folder = self.folder().join(format!("upper/etc/systemd/system/{target}.wants"));
        std::fs::create_dir_all(&folder).with_context(|| unit.to_owned())?;
        let own = self.folder().join("upper/etc/systemd/system").join(unit).exists();
        let place = if own { "/etc/systemd/system" } else { "/usr/lib/systemd/system" };
        symlink(format!("{place}/{unit}"), folder.join(unit)).with_context(|| unit.to_owned())
    }

    /// Boots, and waits until every job of the boot is done.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn boot(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.run(&[&["boot"], arguments].concat())?;
        // "degraded" is up as well; its exit code is not zero.
        let state = self.script(&["wait"])?;
        let said = String::from_utf8_lossy(&state.stdout).into_owned();
        anyhow::ensure!(["running", "degraded"].contains(&said.trim()), "the machine did not come up: {said}");
        Ok(())
    }

    /// Runs `machine.sh` with this machine's surroundings.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn script(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Command::new(Path::new(FOLDER).join("machine.sh"))
            .args(arguments)
            .env("MACHINE", self.folder())
            .env("BASE", &self.base)
            .env("NAME", &self.name)
            .envs(self.surroundings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .context("running machine.sh")
    }

    /// Runs `machine.sh`, which has to succeed.
    ///
    /// # Errors
    /// What it said when it did not.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let done = self.script(arguments)?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(done.status.success(), "{}: {}\n{said}{complaint}", arguments.join(" "), done.status);
        Ok(said)
    }

    /// Runs a line of shell in the machine as root; it has to succeed.
    ///
    /// # Errors
    /// What it said when it did not.
    pub fn sh(&self, line: &str) -> anyhow::Result<String> {
        self.run(&["sh", "bash", "-ec", line])
    }

    /// Runs a program in the machine as `user`. Whether it succeeded, and all that it said.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn as_user(&self, user: &str, program: &[&str]) -> anyhow::Result<(bool, String)> {
        let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
        let done = self.script(&[&["sh", "setpriv", &uid, &gid, "--init-groups"], program].concat())?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        Ok((done.status.success(), said))
    }

    /// A JSON document that `msp-agent` prints in the machine.
    ///
    /// # Errors
    /// When it prints none.
    pub fn agent(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let config = ["--config", "/etc/msp/config.yaml"];
        let (_, said) = self.as_user("msp-agent", &[&["msp-agent"], arguments, &config].concat())?;
        serde_json::from_str(&said).with_context(|| said)
    }

    /// The first incident of which `wanted` says yes, as soon as there is one.
    ///
    /// # Errors
    /// When patience ends; with what the agent knew and said last.
    pub fn incident(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        for _ in 0..PATIENCE.as_millis() / 250 {
            if let Ok(known) = self.agent(&["incidents", "--json"]) {
                let mut incidents = known["incidents"].as_array().into_iter().flatten();
                if let Some(found) = incidents.find(|incident| wanted(incident)) {
                    return Ok(found.clone());
                }
                last = known;
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        let log = self.sh("journalctl -b --no-pager -n 600 | grep -v msp-agent-nft | tail -n 60")?;
        anyhow::bail!("waited {PATIENCE:?} until {what}; known: {last:#}\n{log}")
    }

    /// Waits until a line of shell succeeds in the machine.
    ///
    /// # Errors
    /// When patience ends.
    pub fn until(&self, line: &str) -> anyhow::Result<()> {
        for _ in 0..PATIENCE.as_millis() / 100 {
            if self.script(&["sh", "bash", "-ec", line])?.status.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = self.sh("journalctl -b --no-pager -n 600 | grep -v msp-agent-nft | tail -n 60")?;
        anyhow::bail!("waited {PATIENCE:?} until {line}\n{log}")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Whatever is left of it, the next test's machine has another name.
        drop(self.script(&["end"]));
    }
}

/// Skips the running test where there can be no machine.
#[macro_export]
macro_rules! machine_or_skip {
    ($test:literal) => {
        $crate::machine_or_skip!($test, $crate::machine::Machine::with_agent().await?)
    };
    ($test:literal, $machines:expr) => {
        match $machines {
            Ok(machines) => machines,
            Err(reason) => {
                $crate::skip($test, &format!("no machine can be booted here: {reason}"));
                return Ok(());
            }
        }
    };
}
