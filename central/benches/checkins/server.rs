//! The real server with its fleet, on one core; and what a process has spent, from `/proc`.

use msp_contracts::keys::{self, VerifyingKey};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How many Windows servers an appliance looks after.
pub const SERVERS_OF_A_SITE: usize = 4;
const PROGRAM: &str = env!("CARGO_BIN_EXE_msp-central");

/// The cores this process may run on.
pub fn cores() -> Vec<usize> {
    let allowed = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
}

/// Keeps this thread, and the processes it starts, on one core.
pub fn pin(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).unwrap();
}

/// What a process (`self`, or its id) has spent so far, in user and system mode: proc(5), fields 14 and 15.
pub fn cpu_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field is the name in brackets, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// One appliance of the fleet.
pub struct Appliance {
    pub site: String,
    /// Where its certificate lies.
    pub folder: PathBuf,
}

pub struct Server {
    pub address: SocketAddr,
    pub appliances: Vec<Appliance>,
    pub public_key: VerifyingKey,
    child: Child,
    root: TempDir,
}

impl Server {
    /// Starts the program with a fleet of `sites`, each with one appliance and its Windows servers.
    pub fn start(sites: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("central");
        run(&["init"], &dir, &["--name", "127.0.0.1"]);
        let file = root.path().join("targets.json");
        let targets: Vec<Value> = (1..=SERVERS_OF_A_SITE)
            .map(|host| json!({ "hostname": format!("SRV{host}"), "ip_address": format!("192.168.10.{host}") }))
            .collect();
        std::fs::write(&file, json!(targets).to_string()).unwrap();
        let mut fleet = Vec::new();
        for site in 0..sites {
            let (site, folder) = (format!("clinic-{site}"), root.path().join(format!("appliance-{site}")));
            run(&["issue"], &dir, &["--site", &site, "--appliance", "apl-1", "--out", folder.to_str().unwrap()]);
            run(&["targets", "set"], &dir, &["--site", &site, file.to_str().unwrap()]);
            fleet.push(Appliance { site, folder });
        }
        let mut child = Command::new(PROGRAM)
            .arg("serve")
            .arg("--dir")
            .arg(&dir)
            .args(["--listen", "127.0.0.1:0", "--people", "127.0.0.1:0", "--exit-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let public_key = std::fs::read_to_string(dir.join("signing.pub")).unwrap();
        Self {
            address: ready["agents"].as_str().unwrap().parse().unwrap(),
            appliances: fleet,
            public_key: keys::public_from_hex(public_key.trim()).unwrap(),
            child,
            root,
        }
    }

    /// The authority that its certificate is of.
    pub fn ca(&self) -> PathBuf {
        self.root.path().join("central/ca.pem")
    }

    /// Gives every appliance a logon for each of its servers.
    pub fn set_credentials(&self) {
        let (dir, file) = (self.root.path().join("central"), self.root.path().join("password"));
        std::fs::write(&file, "a long password of a service account").unwrap();
        let logon = ["--username", "CLINIC\\msp-svc", "--password-file", file.to_str().unwrap()];
        for appliance in &self.appliances {
            for host in 1..=SERVERS_OF_A_SITE {
                let of = [appliance.site.as_str(), &format!("SRV{host}")];
                run(&["targets", "credentials", "set"], &dir, &[&of[..], &logon].concat());
            }
        }
    }

    pub fn cpu_time(&self) -> Duration {
        cpu_time(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command, which must succeed.
fn run(words: &[&str], dir: &Path, further: &[&str]) {
    let output = Command::new(PROGRAM).args(words).arg("--dir").arg(dir).args(further).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
