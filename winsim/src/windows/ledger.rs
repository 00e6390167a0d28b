//! An append-only list of every change to the simulated machine.
//!
//! A test that reads the state sees where things ended; the ledger shows how they got there, by whom and how often, which
//! is what "healed exactly once" means. Entries are never removed or rewritten.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The part of the machine that a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subsystem {
    /// Windows Firewall: profiles and rules.
    Firewall,
    /// The service control manager.
    Services,
    /// Windows Update: what is installed, and a reboot that is due.
    Updates,
    /// Microsoft Defender.
    Antivirus,
    /// Windows Server Backup.
    Backup,
    /// The audit policy and the event logs.
    Logging,
    /// BitLocker: volumes, key protectors, where recovery keys are kept.
    Encryption,
    /// Active Directory: replication.
    Directory,
    /// Scheduled tasks and files that scripts make.
    Tasks,
    /// Name, role and clock of the computer.
    Computer,
    /// The simulator itself: logons refused and the like.
    Winrm,
}

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A script or command that came in over WinRM.
    Script,
    /// The drift interface.
    Drift,
    /// The machine itself, as time passed: a job that ended, an encryption that is done.
    Machine,
}

/// The author of a change, as the ledger records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Where the change came from.
    pub source: Source,
    /// The WinRM command that made it; none for the drift interface.
    pub command_id: Option<String>,
    /// The scheduled task that made it as SYSTEM; none for what runs in the logon session of WinRM.
    pub task: Option<String>,
}

impl Actor {
    /// The drift interface.
    #[must_use]
    pub fn drift() -> Self {
        Self { source: Source::Drift, command_id: None, task: None }
    }

    /// The machine itself.
    #[must_use]
    pub fn machine() -> Self {
        Self { source: Source::Machine, command_id: None, task: None }
    }

    /// A command that came in over WinRM.
    #[must_use]
    pub fn script(command_id: &str) -> Self {
        Self { source: Source::Script, command_id: Some(command_id.to_owned()), task: None }
    }

    /// A scheduled task that a command started.
    #[must_use]
    pub fn task(command_id: Option<&str>, name: &str) -> Self {
        Self { source: Source::Script, command_id: command_id.map(str::to_owned), task: Some(name.to_owned()) }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the ledger, from 1, without gaps.
    pub sequence: u64,
    /// Host time of the change, in UTC.
    pub time: Timestamp,
    /// The part of the machine.
    pub subsystem: Subsystem,
    /// What was changed there: a profile, a rule, a service.
    pub object: String,
    /// Which of its properties.
    pub property: String,
    /// The value before.
    pub from: String,
    /// The value after, always different from `from`.
    pub to: String,
    /// Who changed it.
    pub source: Source,
    /// The WinRM command that changed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// The scheduled task that changed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
}

/// What a change says about itself; the ledger adds number, time and author.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) subsystem: Subsystem,
    pub(crate) object: String,
    pub(crate) property: &'static str,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Ledger {
    pub(crate) fn append(&mut self, time: Timestamp, actor: &Actor, change: Change) {
        let sequence = u64::try_from(self.entries.len()).map_or(u64::MAX, |n| n.saturating_add(1));
        self.entries.push(Entry {
            sequence,
            time,
            subsystem: change.subsystem,
            object: change.object,
            property: change.property.to_owned(),
            from: change.from,
            to: change.to,
            source: actor.source,
            command_id: actor.command_id.clone(),
            task: actor.task.clone(),
        });
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
