//! Root's own list: who may ask, and for which units. Nothing that the daemon can write has a say in it.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::protocol::Operation;

/// Where the list lies.
pub const FILE: &str = "/etc/msp-agent/act.json";

const LONGEST: u64 = 64 * 1024;

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The user that the daemon runs as; nobody else may ask.
    pub user: String,
    /// The units that may be started and restarted.
    #[serde(default)]
    pub units: Vec<String>,
    /// The time service.
    pub time_unit: Option<String>,
    /// The unit that frees disk space.
    pub garbage_unit: Option<String>,
    /// The unit that loads the declared packet filter; without it nothing restores a firewall.
    pub firewall_unit: Option<String>,
    /// Whether and on whose word generations of NixOS are switched.
    pub switch: Option<SwitchPolicy>,
}

/// Who may have the machine switched to another generation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchPolicy {
    /// The site that an order has to be for.
    pub site_id: String,
    /// The appliance that an order has to be for.
    pub host_id: String,
    /// The keys, 64 hexadecimal characters each, of which one has to have signed it.
    #[serde(default)]
    pub server_public_keys: Vec<String>,
    /// Whether the agent may switch back to the declared generation without an order.
    #[serde(default)]
    pub restore_declared: bool,
}

/// The list cannot be used, so nothing is allowed.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("{}: cannot be read ({source})", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody other than root could have written it.
    #[error("{}: not root's alone (owner {owner}, mode {mode:04o}): chown root it, and chmod go-w", file.display())]
    NotRoots {
        /// The file.
        file: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// It is not what it should be.
    #[error("{}: {reason}", file.display())]
    Unsound {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What the service manager is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job<'a> {
    /// A method of org.freedesktop.systemd1.Manager that takes a unit and a mode.
    pub method: &'static str,
    /// The unit.
    pub unit: &'a str,
}

impl Policy {
    /// Reads the list, which must belong to `owner` and be writable by nobody else.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn read(file: &Path, owner: u32) -> Result<Self, PolicyError> {
        let unreadable = |source| PolicyError::Unreadable { file: file.to_owned(), source };
        let unsound = |reason| PolicyError::Unsound { file: file.to_owned(), reason };
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        let data = opened.metadata().map_err(unreadable)?;
        if data.uid() != owner || data.mode() & 0o022 != 0 {
            let mode = data.mode() & 0o7777;
            return Err(PolicyError::NotRoots { file: file.to_owned(), owner: data.uid(), mode });
        }
        let mut text = String::new();
        opened.take(LONGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > LONGEST {
            return Err(unsound(format!("longer than {LONGEST} bytes")));
        }
        let policy: Self = serde_json::from_str(&text).map_err(|error| unsound(error.to_string()))?;
        if let Some(unit) = policy.all_units().find(|unit| !is_unit_name(unit)) {
            return Err(unsound(format!("{unit:?} is no full name of a unit, such as sshd.service")));
        }
        Ok(policy)
    }

    fn all_units(&self) -> impl Iterator<Item = &String> {
        self.units.iter().chain(&self.time_unit).chain(&self.garbage_unit).chain(&self.firewall_unit)
    }

    /// The part about switches.
    ///
    /// # Errors
    /// In words, when the list does not have it, or not for this.
    pub fn switch(&self, operation: &Operation) -> Result<&SwitchPolicy, String> {
        let switch = self.switch.as_ref().ok_or("the list has no switch, so generations are a person's business")?;
        match operation {
            Operation::RestoreGeneration { .. } if !switch.restore_declared => {
                Err("the list does not say restore_declared, so going back is a person's business".to_owned())
            }
            _ => Ok(switch),
        }
    }

    /// In words, why the list does not have an operation, as far as that can be told without the request.
    #[must_use]
    pub fn objection(&self, operation: &Operation) -> Option<String> {
        match operation {
            Operation::SwitchGeneration { .. }
            | Operation::RestoreGeneration { .. }
            | Operation::ConfirmSwitch { .. } => self.switch(operation).err(),
            _ => self.job(operation).err(),
        }
    }

    /// The job that an operation on a unit comes to.
    ///
    /// # Errors
    /// In words, why the list does not have it.
    pub fn job<'a>(&'a self, operation: &Operation) -> Result<Job<'a>, String> {
        let listed = |name: &str| {
            let found = self.units.iter().find(|unit| *unit == name);
            found.map(String::as_str).ok_or_else(|| format!("unit {name:?} is not on the list"))
        };
        let named = |unit: &'a Option<String>, key: &str| {
            unit.as_deref().ok_or_else(|| format!("the list names no {key}, so this is a person's business"))
        };
        Ok(match operation {
            Operation::StartUnit { unit } => Job { method: "StartUnit", unit: listed(unit)? },
            Operation::RestartUnit { unit } => Job { method: "RestartUnit", unit: listed(unit)? },
            Operation::SyncTime {} => Job { method: "RestartUnit", unit: named(&self.time_unit, "time_unit")? },
            Operation::CollectGarbage {} => {
                Job { method: "StartUnit", unit: named(&self.garbage_unit, "garbage_unit")? }
            }
            // Reloading replaces the rules in one step; to stop the unit first would leave the machine open in between.
            Operation::RestoreFirewall {} => {
                Job { method: "ReloadOrRestartUnit", unit: named(&self.firewall_unit, "firewall_unit")? }
            }
            Operation::SwitchGeneration { .. }
            | Operation::RestoreGeneration { .. }
            | Operation::ConfirmSwitch { .. } => return Err("a switch is no job of a listed unit".to_owned()),
        })
    }
}

/// systemd.unit(5): a name and one of the suffixes that can be started, nothing that a template leaves open.
fn is_unit_name(name: &str) -> bool {
    let Some((stem, suffix)) = name.rsplit_once('.') else { return false };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.@\\".contains(&byte);
    name.len() <= 255
        && !stem.is_empty()
        && !stem.ends_with('@')
        && !stem.starts_with('-')
        && stem.bytes().all(allowed)
        && ["service", "socket", "target", "timer"].contains(&suffix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn policy(text: &str, mode: u32) -> Result<Policy, PolicyError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("act.json");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        Policy::read(&file, own())
    }

    #[test]
    fn only_what_the_list_names_comes_to_a_job() {
        let policy =
            policy(r#"{"user": "msp-agent", "units": ["sshd.service"], "time_unit": "chronyd.service"}"#, 0o644);
        let policy = policy.unwrap();
        let unit = |unit: &str| Operation::RestartUnit { unit: unit.to_owned() };
        assert_eq!(policy.job(&unit("sshd.service")).unwrap(), Job { method: "RestartUnit", unit: "sshd.service" });
        assert_eq!(policy.job(&Operation::SyncTime {}).unwrap().unit, "chronyd.service");
        for other in ["sshd", "sshd.service ", "SSHD.service", "chronyd.service", "run-r1.service", ""] {
            assert!(policy.job(&unit(other)).unwrap_err().contains("not on the list"), "{other:?}");
        }
        for unnamed in [Operation::RestoreFirewall {}, Operation::CollectGarbage {}] {
            assert!(policy.job(&unnamed).unwrap_err().contains("a person's business"));
        }
    }

    #[test]
    fn a_list_that_others_can_write_or_that_is_unsound_allows_nothing() {
        let good = r#"{"user": "msp-agent"}"#;
        assert!(policy(good, 0o444).is_ok());
        for mode in [0o664, 0o646, 0o666] {
            assert!(matches!(policy(good, mode), Err(PolicyError::NotRoots { .. })), "{mode:o}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("act.json");
        assert!(matches!(Policy::read(&file, own()), Err(PolicyError::Unreadable { .. })));
        std::fs::write(&file, good).unwrap();
        assert!(matches!(Policy::read(&file, own() + 1), Err(PolicyError::NotRoots { .. })));
        for (text, said) in [
            (r#"{"user": "a", "unit": []}"#, "unknown field"),
            (r#"{"units": []}"#, "user"),
            (r#"{"user": "a", "units": ["sshd"]}"#, "full name"),
            (r#"{"user": "a", "units": ["a@.service"]}"#, "full name"),
            (r#"{"user": "a", "firewall_unit": "--now.service"}"#, "full name"),
            (r#"{"user": "a", "units": ["a b.service"]}"#, "full name"),
            ("", "EOF"),
        ] {
            let error = policy(text, 0o644).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
