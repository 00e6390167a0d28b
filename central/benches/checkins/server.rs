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
    /// Starts the program with a fleet of `sites` times `appliances`; each site has four Windows servers.
    pub fn start(sites: usize, appliances: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("central");
        run(&dir, &["init", "--name", "127.0.0.1"]);
        let mut fleet = Vec::new();
        for site in 0..sites {
            let site = format!("clinic-{site}");
            for appliance in 0..appliances {
                let (id, folder) = (format!("apl-{appliance}"), root.path().join(format!("{site}-{appliance}")));
                let out = folder.to_str().unwrap();
                run(&dir, &["issue", "--site", &site, "--appliance", &id, "--out", out]);
                fleet.push(Appliance { site: site.clone(), folder });
            }
            let targets: Vec<Value> = (1..=4)
                .map(|host| json!({ "hostname": format!("SRV{host}"), "ip_address": format!("192.168.10.{host}") }))
                .collect();
            let file = root.path().join("targets.json");
            std::fs::write(&file, json!(targets).to_string()).unwrap();
            run(&dir, &["targets", "set", "--site", &site, file.to_str().unwrap()]);
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

fn run(dir: &Path, arguments: &[&str]) {
    let (words, further) = match arguments[0] {
        "targets" => arguments.split_at(2),
        _ => arguments.split_at(1),
    };
    let output = Command::new(PROGRAM).args(words).arg("--dir").arg(dir).args(further).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
