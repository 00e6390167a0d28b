//! The state of the simulated server, one file a subsystem, behind one lock.
//!
//! Cmdlets and the drift interface both go through [`Machine`]; whatever they change is recorded in the ledger in the
//! same critical section, so that state and ledger never disagree. Nothing here knows PowerShell or WS-Management.

pub mod antivirus;
pub mod backup;
pub mod computer;
pub mod directory;
pub mod encryption;
pub mod files;
pub mod firewall;
pub mod ledger;
pub mod logging;
pub(crate) mod registry;
pub mod services;
pub mod tasks;
pub mod updates;
pub mod winrm;

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::clock::Clock;
use antivirus::Antivirus;
use backup::Backup;
use computer::Computer;
use directory::Directory;
use encryption::Encryption;
use files::Files;
use firewall::{Firewall, ProfileName};
use ledger::{Actor, Change, Entry, Ledger, Subsystem};
use logging::Logging;
use services::{Services, Status};
use tasks::Tasks;
use updates::Updates;
use winrm::Winrm;

/// What the machine is at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    /// Name, role, clock.
    pub computer: Computer,
    /// Windows Firewall.
    pub firewall: Firewall,
    /// The services.
    pub services: Services,
    /// Windows Update.
    pub updates: Updates,
    /// Scheduled tasks.
    pub tasks: Tasks,
    /// Files and folders.
    pub files: Files,
    /// How the WinRM service behaves.
    pub winrm: Winrm,
    /// Microsoft Defender.
    pub antivirus: Antivirus,
    /// Windows Server Backup.
    pub backup: Backup,
    /// BitLocker.
    pub encryption: Encryption,
    /// Audit policy and Security log.
    pub logging: Logging,
    /// Active Directory, on a domain controller.
    pub directory: Option<Directory>,
    /// A fault of the simulation: WinRM answers every logon with 401.
    pub refuse_logons: bool,
}

impl State {
    /// Whether the firewall lets a new connection to WinRM in. Servers of a domain are on a network of the Domain profile.
    #[must_use]
    pub fn admits_winrm(&self) -> bool {
        let running = self.services.get("MpsSvc").is_some_and(|s| s.status == Status::Running);
        !running
            || self.firewall.admits(ProfileName::Domain, "5985")
            || self.firewall.admits(ProfileName::Domain, "5986")
    }

    /// What the machine does by itself as time passes, up to `now` (true time).
    fn pass_time(&mut self, now: Timestamp) -> Vec<Change> {
        let offset = SignedDuration::from_secs(self.computer.clock_offset_seconds);
        let mut changes = self.backup.pass_time(now, offset);
        changes.extend(self.encryption.pass_time(now));
        changes
    }

    pub(crate) fn set_refuse_logons(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.refuse_logons, to);
        (from != to).then(|| Change {
            subsystem: Subsystem::Winrm,
            object: "logons".to_owned(),
            property: "refused",
            from: from.to_string(),
            to: to.to_string(),
        })
    }
}

#[derive(Debug)]
struct Inner {
    state: State,
    ledger: Ledger,
}

/// The simulated machine: its state and the ledger of its changes.
#[derive(Debug)]
pub struct Machine {
    inner: Mutex<Inner>,
    stops: Mutex<tasks::Stops>,
    clock: Clock,
}

impl Machine {
    /// A machine in the given state, with an empty ledger.
    #[must_use]
    pub fn new(state: State, clock: Clock) -> Self {
        Self { inner: Mutex::new(Inner { state, ledger: Ledger::default() }), stops: Mutex::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody sees the machine as it was before time passed.
        let now = self.clock.now();
        for change in inner.state.pass_time(now) {
            inner.ledger.append(now, &Actor::machine(), change);
        }
        inner
    }

    /// A copy of the state.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// A copy of the ledger.
    #[must_use]
    pub fn ledger(&self) -> Vec<Entry> {
        self.lock().ledger.entries().to_vec()
    }

    /// Reads something off the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock().state)
    }

    /// Changes the state; `edit` returns what it changed beside its own result, and all of that is recorded.
    pub(crate) fn edit<T>(&self, actor: &Actor, edit: impl FnOnce(&mut State) -> (Vec<Change>, T)) -> (usize, T) {
        let mut inner = self.lock();
        let (changes, result) = edit(&mut inner.state);
        let count = changes.len();
        let now = self.clock.now();
        for change in changes {
            tracing::info!(
                subsystem = ?change.subsystem, object = %change.object, property = change.property,
                from = %change.from, to = %change.to, source = ?actor.source, "state changed"
            );
            inner.ledger.append(now, actor, change);
        }
        (count, result)
    }

    fn stops(&self) -> MutexGuard<'_, tasks::Stops> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps how a running task is stopped.
    pub(crate) fn on_stop_task(&self, name: &str, stop: impl Fn() + Send + 'static) {
        self.stops().keep(name, stop);
    }

    /// Asks a running task to stop.
    pub(crate) fn stop_task(&self, name: &str) {
        self.stops().stop(name);
    }

    /// Asks every running task to stop: the machine goes down.
    pub(crate) fn stop_tasks(&self) {
        self.stops().stop_all();
    }

    /// True time, which does not depend on the machine's clock.
    pub(crate) fn true_time(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time that the machine's own clock shows.
    pub(crate) fn clock_time(&self) -> Timestamp {
        let offset = self.read(|s| s.computer.clock_offset_seconds);
        let now = self.clock.now();
        now.checked_add(SignedDuration::from_secs(offset)).unwrap_or(now)
    }
}
