//! Logging: the journal is kept on disk, and the units that write audit logs run.
//!
//! journald.conf(5): `Storage=` is persistent, volatile, none, or auto, which keeps the journal where
//! /var/log/journal exists. What is configured is not enough: the machine's own directory must hold a journal.

use super::{Machine, and_unclear};
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::Severity;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const JOURNAL: &str = "/var/log/journal";

/// Where journald.conf and its additions are, the strongest last.
const CONFIG_DIRS: [&str; 4] = ["/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd"];

/// The check.
pub struct Logging {
    pub machine: Arc<Machine>,
    pub desired: baseline::Logging,
}

/// Whether the journal survives a restart, and what shows it.
enum Journal {
    OnDisk,
    Lost(String),
}

impl Check for Logging {
    fn kind(&self) -> CheckKind {
        CheckKind::Logging
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl Logging {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let wanted = &self.desired;
        let desired = json!({"journal_persistent": wanted.journal_persistent, "running": wanted.units});
        let (mut diff, mut unclear) = (Vec::new(), Vec::new());
        let mut actual = Map::new();
        match self.journal() {
            Ok(Journal::OnDisk) => {
                actual.insert("journal_persistent".into(), true.into());
            }
            Ok(Journal::Lost(why)) => {
                actual.insert("journal_persistent".into(), false.into());
                if wanted.journal_persistent {
                    match self.rsyslog_counts().await {
                        Ok(true) => {}
                        Ok(false) => diff.push(format!("the journal does not survive a restart: {why}")),
                        Err(reason) => unclear.push(format!("{why}, and whether rsyslog runs is not known: {reason}")),
                    }
                }
            }
            Err(error) if wanted.journal_persistent => {
                unclear.push(format!("the journal's directory {JOURNAL} could not be read ({error})"));
            }
            Err(_) => {}
        }
        let mut running = None;
        match self.machine.systemd.units(&wanted.units).await {
            Ok(units) => {
                for unit in &units {
                    actual.insert(unit.name.clone(), unit.state().into());
                    if !unit.is_running() {
                        diff.push(format!("{} is {}, not running", unit.name, unit.state()));
                    }
                }
                running = Some(units.iter().all(|unit| unit.is_running()));
            }
            Err(error) => unclear.push(error.to_string()),
        }
        let observation = if !diff.is_empty() {
            and_unclear(Observation::drift(kind, Severity::High, actual.into(), desired, diff), &unclear).recommend(
                "set Storage=persistent in journald.conf and restart systemd-journald; install and start auditd",
            )
        } else if !unclear.is_empty() {
            Observation::unknown(kind, desired, unclear.join("; "))
                .recommend("run it as root where systemd's bus can be reached")
        } else {
            Observation::compliant(kind, actual.into(), desired)
        };
        match running {
            Some(running) => observation.detail("service_running", running),
            None => observation,
        }
    }

    /// Whether rsyslog runs, and the baseline lets it count.
    async fn rsyslog_counts(&self) -> Result<bool, String> {
        if !self.desired.accept_rsyslog {
            return Ok(false);
        }
        let names = ["rsyslog.service".to_owned()];
        let units = self.machine.systemd.units(&names).await.map_err(|error| error.to_string())?;
        Ok(units.iter().all(|unit| unit.is_running()))
    }

    fn journal(&self) -> io::Result<Journal> {
        let storage = self.storage()?;
        if storage == "volatile" || storage == "none" {
            return Ok(Journal::Lost(format!("journald is configured with Storage={storage}")));
        }
        let files = &self.machine.files;
        if !files.exists(JOURNAL)? {
            return Ok(Journal::Lost(format!("there is no {JOURNAL}")));
        }
        let machine_id = files.read("/etc/machine-id")?;
        let directory = format!("{JOURNAL}/{}", machine_id.trim());
        let names = match files.list(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names?,
        };
        let kept = names.iter().any(|name| name.starts_with("system") && name.ends_with(".journal"));
        Ok(if kept {
            Journal::OnDisk
        } else {
            {
                // The machine's id is confidential (machine-id(5)): a finding travels and is looked at by many.
                Journal::Lost(format!("{JOURNAL} holds no journal of this machine"))
            }
        })
    }

    /// `Storage=` after all configuration files, in the order of journald.conf(5): the main file that is
    /// strongest, then the additions of all directories sorted by name, the stronger of the same name only.
    fn storage(&self) -> io::Result<String> {
        let files = &self.machine.files;
        let mut texts = Vec::new();
        for dir in CONFIG_DIRS.iter().rev() {
            if let Some(text) = optional(files.read(format!("{dir}/journald.conf")))? {
                texts.push(text);
                break;
            }
        }
        let mut additions = BTreeMap::new();
        for dir in CONFIG_DIRS {
            let dir = format!("{dir}/journald.conf.d");
            for name in optional(files.list(&dir))?.unwrap_or_default() {
                if name.ends_with(".conf") {
                    additions.insert(name.clone(), format!("{dir}/{name}"));
                }
            }
        }
        for path in additions.values() {
            texts.extend(optional(files.read(path))?);
        }
        let mut set = texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == "Storage").then(|| value.trim().to_ascii_lowercase())
        });
        Ok(set.next_back().filter(|value| !value.is_empty()).unwrap_or_else(|| "auto".to_owned()))
    }
}

fn optional<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, observe};
    use super::*;
    use msp_contracts::finding::CheckStatus;

    fn machine() -> Fixture {
        Fixture::new()
            .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file("/var/log/journal/0123456789abcdef0123456789abcdef/system.journal", "LPKSHHRH")
            .unit("systemd-journald.service", "active", "running")
            .unit("auditd.service", "active", "running")
    }

    async fn look(fixture: &Fixture, accept_rsyslog: bool) -> Observation {
        let desired = baseline::Logging { accept_rsyslog, ..baseline::Logging::default() };
        observe(&Logging { machine: fixture.machine(), desired }).await
    }

    #[tokio::test]
    async fn a_journal_on_disk_and_running_units_are_compliant() {
        let seen = look(&machine(), false).await;
        assert_eq!(seen.status, CheckStatus::Compliant, "{seen:?}");
        assert_eq!(seen.details["service_running"], true);
    }

    #[tokio::test]
    async fn a_journal_in_memory_is_drift_whatever_old_files_lie_on_disk() {
        let fixture = machine()
            .file("/etc/systemd/journald.conf", "[Journal]\n#Storage=auto\nStorage=persistent\n")
            .file("/usr/lib/systemd/journald.conf.d/50-volatile.conf", "[Journal]\nStorage = volatile\n");
        let seen = look(&fixture, false).await;
        assert_eq!(seen.diff, ["the journal does not survive a restart: journald is configured with Storage=volatile"]);
        let overridden = fixture.file("/etc/systemd/journald.conf.d/50-volatile.conf", "[Journal]\nStorage=auto\n");
        assert_eq!(look(&overridden, false).await.status, CheckStatus::Compliant);
    }

    #[tokio::test]
    async fn a_directory_without_a_journal_of_this_machine_is_drift_unless_rsyslog_counts() {
        let fixture = Fixture::new()
            .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file("/var/log/journal/another-machine/system.journal", "LPKSHHRH")
            .unit("systemd-journald.service", "active", "running")
            .unit("auditd.service", "active", "running")
            .unit("rsyslog.service", "active", "running");
        let seen = look(&fixture, false).await;
        assert_eq!(seen.status, CheckStatus::Drift);
        assert!(seen.diff.iter().all(|line| !line.contains("0123456789abcdef")), "{:?}", seen.diff);
        assert_eq!(look(&fixture, true).await.status, CheckStatus::Compliant);
        let stopped = fixture.unit("rsyslog.service", "inactive", "dead");
        assert_eq!(look(&stopped, true).await.status, CheckStatus::Drift);
    }

    #[tokio::test]
    async fn a_stopped_auditd_is_drift_and_no_bus_is_unknown() {
        let seen = look(&machine().unit("auditd.service", "failed", "failed"), false).await;
        assert_eq!(seen.diff, ["auditd.service is failed (failed), not running"]);
        assert_eq!(look(&machine().without_bus(), false).await.status, CheckStatus::Unknown);
    }
}
