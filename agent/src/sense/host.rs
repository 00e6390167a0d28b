//! The checks of the machine the agent runs on, whatever Linux that is.
//!
//! Each check is one file beside this one: it compares what the machine says with one section of the baseline.
//! What cannot be told (a missing tool, a missing privilege, no bus) is unknown with the reason; only what this
//! machine certainly does not have is unsupported. Everything outside comes through [`Machine`], so that a
//! directory tree, a recorded output or a set clock is as good an input as the real thing.

mod agent_state;
mod antivirus;
mod backup;
mod disk;
mod encryption;
mod executor;
mod firewall;
mod generation;
mod logging;
mod mounts;
mod patching;
mod services;
mod time_sync;

use super::check::Check;
use crate::adapters::command::Commands;
use crate::adapters::files::HostFiles;
use crate::adapters::systemd::{SystemBus, Systemd};
use crate::clock::Clock;
use crate::config::baseline::Appliance;
use crate::model::{CheckKind, Observation};
use jiff::Timestamp;
use msp_agent_switch::places::Places;
use msp_contracts::finding::Platform;
use msp_contracts::store_path::StorePath;
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A time that lies further ahead than this is not a clock's ordinary error but wrong.
const TOLERATED_FUTURE: Duration = Duration::from_secs(300);

/// How long a check that passed its limit may take to clean up.
const GRACE: Duration = Duration::from_millis(500);

/// A machine, as the checks see it.
pub struct Machine {
    pub files: HostFiles,
    pub commands: Commands,
    pub systemd: Arc<dyn Systemd>,
    pub clock: Arc<dyn Clock>,
}

impl Machine {
    /// The machine whose file system begins at `root`; one of its tools may run for `limit`.
    pub fn at(root: &Path, limit: Duration, clock: Arc<dyn Clock>) -> Self {
        let files = HostFiles::below(root);
        let systemd: Arc<dyn Systemd> = if files.is_own() {
            Arc::new(SystemBus::own())
        } else {
            Arc::new(SystemBus::at(root.join("run/dbus/system_bus_socket")))
        };
        Self { commands: Commands::of(files.clone(), limit), files, systemd, clock }
    }

    /// NixOS, or another Linux.
    pub fn platform(&self) -> Platform {
        if self.files.exists("/etc/NIXOS").unwrap_or(false) { Platform::Nixos } else { Platform::Linux }
    }

    /// The machine's own name, as the kernel has it.
    pub fn host_name(&self) -> String {
        let name = ["/proc/sys/kernel/hostname", "/etc/hostname"]
            .iter()
            .find_map(|path| self.files.read(path).ok())
            .unwrap_or_default();
        if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
    }

    /// Where its generations and their records lie.
    pub fn places(&self) -> Places {
        Places::below(self.files.root())
    }

    /// Hours since `then`; none when that lies in the future, which is no age at all.
    fn age_hours(&self, then: Timestamp) -> Option<f64> {
        let seconds = self.clock.now().duration_since(then).as_secs_f64();
        (seconds >= -TOLERATED_FUTURE.as_secs_f64()).then(|| (seconds.max(0.0) / 36.0).round() / 100.0)
    }
}

/// All checks of a machine, in the order of the baseline; `ordered` is the system that an order wants to run.
pub fn all(machine: &Arc<Machine>, desired: &Appliance, ordered: Option<&StorePath>) -> Vec<Box<dyn Check>> {
    let machine = || Arc::clone(machine);
    vec![
        Box::new(patching::Patching { machine: machine(), desired: desired.patching.clone() }),
        Box::new(antivirus::Antivirus { machine: machine(), desired: desired.antivirus.clone() }),
        Box::new(backup::Backup { machine: machine(), desired: desired.backup.clone() }),
        Box::new(logging::Logging { machine: machine(), desired: desired.logging.clone() }),
        Box::new(firewall::Firewall { machine: machine(), desired: desired.firewall.clone() }),
        Box::new(encryption::Encryption { machine: machine(), desired: desired.encryption.clone() }),
        Box::new(generation::Generation {
            machine: machine(),
            desired: desired.generation.clone(),
            ordered: ordered.cloned(),
        }),
        Box::new(services::Services { machine: machine(), desired: desired.services.clone() }),
        Box::new(time_sync::TimeSync { machine: machine(), desired: desired.time_sync.clone() }),
        Box::new(disk::Disk { machine: machine(), desired: desired.disk.clone() }),
    ]
}

/// All checks of the machine, with those of the state that the daemon keeps under `state_dir`: its disk, and whether a
/// damaged one was set aside.
pub fn all_of_daemon(
    machine: &Arc<Machine>,
    desired: &Appliance,
    ordered: Option<&StorePath>,
    state_dir: &Path,
) -> Vec<Box<dyn Check>> {
    let mut desired = desired.clone();
    if let Some(point) =
        mounts::Mounts::read(&machine.files).ok().and_then(|mounts| Some(mounts.of(state_dir)?.point.clone()))
        && !desired.disk.mounts.contains(&point)
    {
        desired.disk.mounts.push(point);
    }
    let mut checks = all(machine, &desired, ordered);
    checks.push(Box::new(agent_state::AgentState { state_dir: state_dir.to_owned() }));
    if executor::is_there(machine) {
        checks.push(Box::new(executor::Executor { machine: Arc::clone(machine) }));
    }
    checks
}

/// The runbook that carries out an order to switch.
pub const SWITCH: &str = "RB-HOST-SWITCH-001";

/// Which check says whether a runbook of the appliance is needed. One to switch is chosen by its own class of order.
pub fn mends(runbook_id: &str) -> Option<(CheckKind, Option<String>)> {
    let check = match runbook_id {
        "RB-HOST-SVC-001" => CheckKind::Services,
        "RB-HOST-TIME-001" => CheckKind::TimeSync,
        "RB-HOST-DISK-001" => CheckKind::Disk,
        "RB-HOST-FIREWALL-001" => CheckKind::Firewall,
        "RB-HOST-GENERATION-001" => CheckKind::Generation,
        _ => return None,
    };
    Some((check, None))
}

/// The names of all checks, in the same order.
pub const KINDS: [CheckKind; 10] = [
    CheckKind::Patching,
    CheckKind::Antivirus,
    CheckKind::Backup,
    CheckKind::Logging,
    CheckKind::Firewall,
    CheckKind::Encryption,
    CheckKind::Generation,
    CheckKind::Services,
    CheckKind::TimeSync,
    CheckKind::Disk,
];

/// Adds to a drift what could not be told beside it.
fn and_unclear(mut drift: Observation, unclear: &[String]) -> Observation {
    if !unclear.is_empty() {
        drift.reason = Some(format!("besides, not everything could be told: {}", unclear.join("; ")));
    }
    drift
}

/// The threads that checks run on, each on one of its own: a file system that does not answer (a dead network
/// mount) blocks that thread and nothing else. A check whose last thread has not come back gets no other, so that a
/// mount that stays dead does not eat thread after thread.
///
/// Shut the runtime down with `shutdown_background`, which does not wait for them.
#[derive(Debug, Clone, Default)]
pub struct Threads {
    busy: Arc<Mutex<HashSet<CheckKind>>>,
}

/// One check's place among the busy ones, given back when its thread comes back.
struct Busy {
    threads: Threads,
    kind: CheckKind,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.threads.lock().remove(&self.kind);
    }
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, HashSet<CheckKind>> {
        // A set of names is whole whoever panicked while holding it.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the check saw, or unknown when it takes longer than `limit`.
    pub async fn observe_within(&self, check: Box<dyn Check>, limit: Duration) -> Observation {
        let kind = check.kind();
        let advice = "see what blocks it (a hanging mount, a tool that waits), or give it longer with --timeout";
        if !self.lock().insert(kind) {
            return Observation::unknown(kind, Value::Null, "the check still hangs since an earlier time")
                .recommend(advice);
        }
        let busy = Busy { threads: self.clone(), kind };
        let runtime = tokio::runtime::Handle::current();
        let thread = tokio::task::spawn_blocking(move || {
            let _busy = busy;
            runtime.block_on(tokio::time::timeout(limit, check.observe()))
        });
        match tokio::time::timeout(limit + GRACE, thread).await {
            Ok(Ok(Ok(observation))) => observation,
            Ok(Ok(Err(_))) | Err(_) => {
                let reason = format!("the check did not finish within {} s and was stopped", limit.as_secs_f32());
                Observation::unknown(kind, Value::Null, reason).recommend(advice)
            }
            Ok(Err(error)) => Observation::unknown(kind, Value::Null, format!("the check itself failed ({error})"))
                .recommend("report this: a check must not fail"),
        }
    }
}

#[cfg(test)]
mod fixture;
