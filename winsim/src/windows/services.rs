//! The service control manager: services, their states, start types and dependencies.
//!
//! Starting a service starts what it depends on; a disabled service, or one that depends on a disabled one, does not
//! start; some services (the firewall) accept no stop. Failures are told apart by a type, and worded by the cmdlets.

use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};

/// `ServiceControllerStatus`, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Does not run.
    Stopped = 1,
    /// On its way up.
    StartPending = 2,
    /// On its way down.
    StopPending = 3,
    /// Runs.
    Running = 4,
    /// Held.
    Paused = 7,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::StartPending => "StartPending",
            Self::StopPending => "StopPending",
            Self::Running => "Running",
            Self::Paused => "Paused",
        }
    }
}

/// `ServiceStartMode`, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartType {
    /// Started at boot.
    Automatic = 2,
    /// Started on demand.
    Manual = 3,
    /// Cannot be started.
    Disabled = 4,
}

impl StartType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "Automatic",
            Self::Manual => "Manual",
            Self::Disabled => "Disabled",
        }
    }
}

/// One installed service.
#[derive(Debug, Clone, Serialize)]
pub struct Service {
    /// Short name, unique whatever its case.
    pub name: String,
    /// What a person sees.
    pub display_name: String,
    /// Whether it runs.
    pub status: Status,
    /// How it is started.
    pub start_type: StartType,
    /// Short names of the services that must run first.
    pub depends_on: Vec<String>,
    /// Whether it accepts a stop.
    pub accepts_stop: bool,
    /// A fault of the simulation: a start ends in the stopped state, with an error.
    pub start_fails: bool,
}

/// Why a service was not started or stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No service has this name.
    NotFound,
    /// Disabled, broken, or it depends on one that is.
    CannotStart,
    /// It accepts no stop.
    CannotStop,
    /// Others that run depend on it, and the stop was not forced.
    HasDependents,
}

/// All services.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Services {
    list: Vec<Service>,
}

impl Services {
    pub(crate) fn new(list: Vec<Service>) -> Self {
        Self { list }
    }

    /// In the order of their names, as the cmdlet lists them.
    pub(crate) fn all(&self) -> &[Service] {
        &self.list
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Service> {
        self.list.iter().find(|s| s.name.eq_ignore_ascii_case(name))
    }

    /// Takes a service off the machine, as removing its feature does.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Service> {
        let at = self.list.iter().position(|s| s.name.eq_ignore_ascii_case(name))?;
        Some(self.list.remove(at))
    }

    /// Puts a service on the machine, at its place in the order of names.
    pub(crate) fn add(&mut self, service: Service) {
        self.list.push(service);
        self.list.sort_by_key(|s| s.name.to_lowercase());
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Service> {
        self.list.iter_mut().find(|s| s.name.eq_ignore_ascii_case(name))
    }

    /// Starts a service after those it depends on. All changes up to a refusal have happened, and are returned with it.
    pub(crate) fn start(&mut self, name: &str) -> (Vec<Change>, Result<(), Refusal>) {
        let mut changes = Vec::new();
        let result = self.start_into(name, &mut changes, 0);
        (changes, result)
    }

    fn start_into(&mut self, name: &str, changes: &mut Vec<Change>, depth: usize) -> Result<(), Refusal> {
        // Deeper than any real chain of services: only a circle gets here, and a circle never starts.
        const DEEPEST: usize = 16;
        let service = self.get(name).ok_or(Refusal::NotFound)?;
        if service.status == Status::Running {
            return Ok(());
        }
        if service.start_type == StartType::Disabled || service.start_fails || depth > DEEPEST {
            return Err(Refusal::CannotStart);
        }
        for dependency in service.depends_on.clone() {
            self.start_into(&dependency, changes, depth + 1).map_err(|_| Refusal::CannotStart)?;
        }
        changes.extend(self.set_status(name, Status::Running)?);
        Ok(())
    }

    /// Stops a service; with `force`, also those that depend on it.
    pub(crate) fn stop(&mut self, name: &str, force: bool) -> (Vec<Change>, Result<(), Refusal>) {
        let mut changes = Vec::new();
        let result = self.stop_into(name, force, &mut changes, 0);
        (changes, result)
    }

    fn stop_into(&mut self, name: &str, force: bool, changes: &mut Vec<Change>, depth: usize) -> Result<(), Refusal> {
        const DEEPEST: usize = 16;
        let service = self.get(name).ok_or(Refusal::NotFound)?;
        if service.status == Status::Stopped {
            return Ok(());
        }
        if !service.accepts_stop || depth > DEEPEST {
            return Err(Refusal::CannotStop);
        }
        let dependents: Vec<String> = self
            .list
            .iter()
            .filter(|s| s.status == Status::Running)
            .filter(|s| s.depends_on.iter().any(|d| d.eq_ignore_ascii_case(name)))
            .map(|s| s.name.clone())
            .collect();
        if !dependents.is_empty() && !force {
            return Err(Refusal::HasDependents);
        }
        for dependent in dependents {
            self.stop_into(&dependent, force, changes, depth + 1)?;
        }
        changes.extend(self.set_status(name, Status::Stopped)?);
        Ok(())
    }

    /// Puts a service into a state, whatever its start type says: a crash, a hang.
    pub(crate) fn set_status(&mut self, name: &str, to: Status) -> Result<Option<Change>, Refusal> {
        let service = self.get_mut(name).ok_or(Refusal::NotFound)?;
        let from = std::mem::replace(&mut service.status, to);
        Ok((from != to).then(|| change(&service.name, "status", from.as_str(), to.as_str())))
    }

    pub(crate) fn set_start_type(&mut self, name: &str, to: StartType) -> Result<Option<Change>, Refusal> {
        let service = self.get_mut(name).ok_or(Refusal::NotFound)?;
        let from = std::mem::replace(&mut service.start_type, to);
        Ok((from != to).then(|| change(&service.name, "start_type", from.as_str(), to.as_str())))
    }

    pub(crate) fn set_start_fails(&mut self, name: &str, to: bool) -> Result<Option<Change>, Refusal> {
        let service = self.get_mut(name).ok_or(Refusal::NotFound)?;
        let from = std::mem::replace(&mut service.start_fails, to);
        Ok((from != to).then(|| change(&service.name, "start_fails", &from.to_string(), &to.to_string())))
    }
}

fn change(object: &str, property: &'static str, from: &str, to: &str) -> Change {
    Change {
        subsystem: Subsystem::Services,
        object: object.to_owned(),
        property,
        from: from.to_owned(),
        to: to.to_owned(),
    }
}
