//! The shells that clients have open, and the commands in them.
//!
//! A shell belongs to the account that made it, and ends by Delete or by being left alone for its idle time. Closing a
//! shell stops its commands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::fault::Fault;
use crate::clock::Clock;
use crate::process::{self, CommandIo};
use crate::windows::Machine;
use crate::windows::ledger::Actor;

/// `MaxShellsPerUser` and `MaxProcessesPerShell` of a stock server.
const MOST_SHELLS: usize = 30;
const MOST_COMMANDS: usize = 25;

/// The idle time of a shell when the client names none, and the longest it can ask for.
const IDLE_DEFAULT: Duration = Duration::from_secs(7_200);
const IDLE_LONGEST: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct Shell {
    owner: String,
    environment: HashMap<String, String>,
    idle: Duration,
    used: Instant,
    commands: HashMap<String, Arc<CommandIo>>,
}

impl Shell {
    fn is_expired(&self, now: Instant) -> bool {
        let busy = self.commands.values().any(|c| !c.is_finished());
        !busy && now.saturating_duration_since(self.used) > self.idle
    }

    fn stop(&self) {
        for command in self.commands.values() {
            command.cancel();
        }
    }
}

/// All open shells.
#[derive(Debug)]
pub(super) struct Shells {
    machine: Arc<Machine>,
    open: Mutex<HashMap<String, Shell>>,
}

/// A shell that was made.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) id: String,
    pub(super) idle: Duration,
}

impl Shells {
    pub(super) fn new(machine: Arc<Machine>) -> Self {
        Self { machine, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Shell>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Clock.instant();
        open.retain(|_, shell| !shell.is_expired(now));
        open
    }

    /// Opens a shell.
    pub(super) fn create(
        &self,
        owner: &str,
        environment: HashMap<String, String>,
        idle: Option<Duration>,
    ) -> Result<Created, Fault> {
        let mut open = self.lock();
        if open.values().filter(|s| s.owner == owner).count() >= MOST_SHELLS {
            return Err(Fault::Quota { what: "shells", limit: MOST_SHELLS });
        }
        let id = Uuid::new_v4().to_string().to_uppercase();
        let idle = idle.unwrap_or(IDLE_DEFAULT).min(IDLE_LONGEST);
        open.insert(
            id.clone(),
            Shell { owner: owner.to_owned(), environment, idle, used: Clock.instant(), commands: HashMap::new() },
        );
        Ok(Created { id, idle })
    }

    /// Does something with a shell of this account.
    fn with<T>(
        &self,
        owner: &str,
        id: Option<&str>,
        run: impl FnOnce(&mut Shell) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let id = id.unwrap_or_default();
        let mut open = self.lock();
        // Somebody else's shell is answered like none at all.
        let shell = open
            .iter_mut()
            .find(|(known, shell)| known.eq_ignore_ascii_case(id) && shell.owner == owner)
            .map(|(_, shell)| shell)
            .ok_or_else(|| Fault::ShellNotFound { shell_id: id.to_owned() })?;
        shell.used = Clock.instant();
        run(shell)
    }

    /// Starts a command under the identifier the client chose, or a new one.
    pub(super) fn start(
        &self,
        owner: &str,
        shell_id: Option<&str>,
        command_id: Option<&str>,
        line: String,
    ) -> Result<String, Fault> {
        self.with(owner, shell_id, |shell| {
            if shell.commands.len() >= MOST_COMMANDS {
                return Err(Fault::Quota { what: "commands in this shell", limit: MOST_COMMANDS });
            }
            let id = match command_id {
                Some(id) => id.to_owned(),
                None => Uuid::new_v4().to_string().to_uppercase(),
            };
            if shell.commands.contains_key(&id) {
                return Err(Fault::Schema { reason: format!("the CommandId {id} is already in use") });
            }
            let start = process::Start {
                line,
                environment: shell.environment.clone(),
                user: owner.to_owned(),
                machine: Arc::clone(&self.machine),
                actor: Actor::script(&id),
            };
            let io = process::start(start).map_err(|e| Fault::Internal { reason: e.to_string() })?;
            shell.commands.insert(id.clone(), io);
            Ok(id)
        })
    }

    /// A command of a shell.
    pub(super) fn command(
        &self,
        owner: &str,
        shell_id: Option<&str>,
        command_id: &str,
    ) -> Result<Arc<CommandIo>, Fault> {
        self.with(owner, shell_id, |shell| {
            shell
                .commands
                .get(command_id)
                .map(Arc::clone)
                .ok_or_else(|| Fault::CommandNotFound { command_id: command_id.to_owned() })
        })
    }

    /// Stops a command; with `forget`, also drops what is left of it.
    pub(super) fn stop(
        &self,
        owner: &str,
        shell_id: Option<&str>,
        command_id: &str,
        forget: bool,
    ) -> Result<(), Fault> {
        let command = self.command(owner, shell_id, command_id)?;
        command.cancel();
        if forget {
            self.with(owner, shell_id, |shell| {
                shell.commands.remove(command_id);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Closes a shell.
    pub(super) fn delete(&self, owner: &str, shell_id: Option<&str>) -> Result<(), Fault> {
        self.with(owner, shell_id, |shell| {
            shell.stop();
            Ok(())
        })?;
        let id = shell_id.unwrap_or_default();
        self.lock().retain(|known, _| !known.eq_ignore_ascii_case(id));
        Ok(())
    }

    /// Stops every command of every shell.
    pub(super) fn stop_all(&self) {
        for shell in self.lock().values() {
            shell.stop();
        }
    }
}
