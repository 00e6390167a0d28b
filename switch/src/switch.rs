//! The switch itself: prepare, test, wait for the agent's word, keep; or go back.

use crate::boot_space;
use crate::command::{self, CommandError};
use crate::declared;
use crate::files;
use crate::places::Places;
use crate::profile;
use crate::record::{self, Asked, Record, State};
use crate::units;
use crate::{boot_time_ms, now};
use msp_contracts::store_path::StorePath;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Fetching a system over a clinic's line.
const FETCHING: Duration = Duration::from_secs(1200);
/// Activating one; switch-to-configuration waits for the units that it starts.
const ACTIVATING: Duration = Duration::from_secs(300);
const QUICK: Duration = Duration::from_secs(60);
/// How long somebody else may be activating a system.
const LOCKED: Duration = Duration::from_secs(300);
const STEP: Duration = Duration::from_millis(500);
/// So often more is looked at the units before anything is done.
const LOOKS: u32 = 4;

/// switch-to-configuration's exit codes (nixpkgs, switch-to-configuration-ng): some units failed; the lock is held;
/// another init.
const UNITS_FAILED: i32 = 4;
const LOCK_HELD: i32 = 11;
const OTHER_INIT: i32 = 100;
/// What it says, and its exit code, when the system's own activation script failed.
const ACTIVATION_FAILED: &str = "Failed to run activate script";
const ACTIVATION_BROKE: i32 = 2;

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the agent's word, once the system runs.
    pub confirm: Duration,
    /// For a unit to fail where no word is waited for.
    pub settle: Duration,
}

/// The record is not there, or cannot be written: nothing is begun, or what was begun is left to recovery.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// Its record cannot be read or written.
    #[error("the record of switch {id} cannot be read or written")]
    Record {
        /// The switch.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such switch, or it is over.
    #[error("there is no switch {id} to begin")]
    NotAsked {
        /// What was given.
        id: String,
    },
}

/// Why a system is not kept.
enum Against {
    /// What runs was not changed.
    Before(String),
    /// It was activated, at least in part.
    After(String),
}

struct Switch<'a> {
    places: &'a Places,
    patience: Patience,
    record: Record,
}

/// Carries out the switch of this name from beginning to end, and answers its record. One that was ended in the middle
/// (killed, and its recovery with it) is gone back from.
///
/// # Errors
/// When there is none, or its record cannot be written.
pub fn run(places: &Places, id: &str, patience: Patience) -> Result<Option<Record>, SwitchError> {
    let trouble = |source| SwitchError::Record { id: id.to_owned(), source };
    settle(places, patience).map_err(trouble)?;
    let none = || SwitchError::NotAsked { id: id.to_owned() };
    let record = record::get(places, id).map_err(trouble)?.ok_or_else(none)?;
    if record.state != State::Asked {
        return recover(places, id, patience);
    }
    let mut switch = Switch { places, patience, record };
    let done = switch.forward().map_err(trouble)?;
    if let Err(against) = done {
        switch.back(against).map_err(trouble)?;
    }
    Ok(Some(switch.record))
}

/// Writes down what became of the switches that a restart of the machine ended, and finishes what it cut in two: a
/// system that the machine was already started with is declared, a profile that was set too early is set back.
///
/// # Errors
/// When a record cannot be read or written.
pub fn settle(places: &Places, patience: Patience) -> io::Result<()> {
    for told in record::list(places)? {
        let Some(written) = record::as_written(places, &told.id)? else { continue };
        if !written.state.is_open() || !written.is_of_another_boot(places) {
            continue;
        }
        let was_keeping = written.state == State::Keeping;
        let mut switch = Switch { places, patience, record: told };
        match switch.record.state {
            State::Confirmed => declared::write(places, &switch.record.to, &switch.record.because())?,
            State::RolledBack if was_keeping => {
                if let (Some(trouble), Some(reason)) = (switch.unkeep(), &mut switch.record.reason) {
                    reason.push_str(&format!("; {trouble}"));
                }
            }
            _ => {}
        }
        let state = switch.record.state;
        switch.is(state)?;
    }
    Ok(())
}

/// Goes back from a switch that was ended in the middle (killed, out of memory); one that is over is left alone.
///
/// # Errors
/// When its record cannot be read or written.
pub fn recover(places: &Places, id: &str, patience: Patience) -> Result<Option<Record>, SwitchError> {
    let trouble = |source| SwitchError::Record { id: id.to_owned(), source };
    let Some(record) = record::get(places, id).map_err(trouble)?.filter(|record| record.state.is_open()) else {
        return Ok(None);
    };
    // The next start leads back by itself; to activate a system while units stop would only hold that up.
    if record.state != State::Keeping && units::is_stopping() {
        return Ok(None);
    }
    let said = format!("the switch was ended in the middle (while {})", record.state.as_str());
    let before = matches!(record.state, State::Asked | State::Preparing);
    let mut switch = Switch { places, patience, record };
    switch.back(if before { Against::Before(said) } else { Against::After(said) }).map_err(trouble)?;
    Ok(Some(switch.record))
}

/// The units that fail now: one that is started again and again is seen at one of a few looks.
fn failed_before() -> Result<BTreeSet<String>, CommandError> {
    let mut failed = units::failed()?;
    for _ in 0..LOOKS {
        std::thread::sleep(STEP);
        failed.extend(units::failed()?);
    }
    Ok(failed)
}

/// The binary caches that this machine's nix asks; none where it does not say.
fn substituters() -> Vec<String> {
    let arguments = ["--extra-experimental-features", "nix-command", "config", "show", "substituters"].map(OsStr::new);
    let told = command::output("nix", &arguments, QUICK).unwrap_or_default();
    told.split_whitespace().map(str::to_owned).collect()
}

/// Whether root's list in a system allows the confirmation; one without any /etc says nothing about it.
fn confirms(system: &Path) -> bool {
    if !system.join("etc").exists() {
        return true;
    }
    let list = std::fs::read(system.join("etc/msp-agent/act.json")).ok();
    let list = list.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    list.is_some_and(|list| list.get("switch").is_some_and(serde_json::Value::is_object))
}

impl Switch<'_> {
    fn is(&mut self, state: State) -> io::Result<()> {
        self.record.state = state;
        if !state.is_open() {
            self.record.ended_at = Some(now());
        }
        record::put(self.places, &self.record)
    }

    fn forward(&mut self) -> io::Result<Result<(), Against>> {
        let to = self.record.to.clone();
        self.note_the_way_back();
        self.is(State::Preparing)?;
        if let Err(reason) = self.prepare(&to) {
            return Ok(Err(Against::Before(reason)));
        }
        let before = match failed_before() {
            Ok(failed) => failed,
            Err(error) => return Ok(Err(Against::Before(format!("the units cannot be asked: {error}")))),
        };
        // Fetching may have taken its time, in which somebody else has switched.
        self.note_the_way_back();
        if let Some(from) = &self.record.from {
            files::keep(&self.places.gc_root("from"), from)?;
        }
        self.is(State::Testing)?;
        if let Err(against) = self.test(&to) {
            return Ok(Err(against));
        }
        self.record.activated_ms = Some(boot_time_ms());
        self.is(State::Awaiting)?;
        if let Err(reason) = self.probe(&before) {
            return Ok(Err(Against::After(reason)));
        }
        self.is(State::Keeping)?;
        if let Err(reason) = self.keep(&to) {
            return Ok(Err(Against::After(reason)));
        }
        let by = self.record.because();
        declared::write(self.places, &to, &by)?;
        self.is(State::Confirmed)?;
        Ok(Ok(()))
    }

    fn note_the_way_back(&mut self) {
        self.record.from = profile::leads_to(self.places, &self.places.current()).ok();
        self.record.default_before = profile::leads_to(self.places, &self.places.profile()).ok();
    }

    /// Everything that can be found out without changing what runs.
    fn prepare(&mut self, to: &StorePath) -> Result<(), String> {
        let (path, root) = (OsStr::new(to.as_str()), self.places.gc_root("to"));
        let fetch = ["--realise".as_ref(), path, "--add-root".as_ref(), root.as_os_str()];
        command::run("nix-store", &fetch, FETCHING).map_err(|error| format!("{to} cannot be fetched: {error}"))?;
        // What root accepted at the machine, or runs already as its declared generation, root answers for.
        if matches!(self.record.asked, Asked::Order { .. }) {
            let arguments =
                "--extra-experimental-features nix-command store verify --recursive --no-contents --sigs-needed 1";
            // What was built or installed here has no signature of its own: who serves the same thing may have one.
            let substituters = substituters();
            let served = substituters.iter().flat_map(|url| [OsStr::new("--substituter"), OsStr::new(url)]);
            let arguments: Vec<&OsStr> = arguments.split(' ').map(OsStr::new).chain(served).chain([path]).collect();
            command::run("nix", &arguments, FETCHING).map_err(|error| {
                format!(
                    "{to}, or something that it needs, is not signed by a key that this machine's nix trusts, here or by a \
                     substituter (what was built on this machine never is): {error}"
                )
            })?;
        }
        let system = self.places.inside(to);
        if self.record.confirm && !confirms(&system) {
            return Err(format!(
                "the agent could not confirm {to}: it has no services.msp-agent.generations in its configuration"
            ));
        }
        if !system.join("bin/switch-to-configuration").exists() {
            return Err(format!("{to} is no system of NixOS: it has no bin/switch-to-configuration"));
        }
        if self.record.from.is_none() {
            return Err("which system runs now cannot be told, so there would be no way back".to_owned());
        }
        let declared = declared::read(self.places).ok().flatten().map(|declared| declared.store_path);
        self.record.removed =
            boot_space::make(self.places, to, declared.as_ref()).map_err(|error| error.to_string())?;
        self.record.reboot_required = self.starts_anew(&system);
        Ok(())
    }

    /// Whether the system only takes its full effect when the machine starts anew.
    fn starts_anew(&self, system: &Path) -> bool {
        ["kernel", "initrd", "kernel-modules"].iter().any(|part| {
            let of = |system: &Path| std::fs::read_link(system.join(part)).ok();
            of(system) != of(&self.places.booted())
        })
    }

    fn activate(&self, system: &StorePath, how: &str) -> Result<Option<i32>, CommandError> {
        let program = self.places.inside(system).join("bin/switch-to-configuration");
        let until = boot_time_ms() + u64::try_from(LOCKED.as_millis()).unwrap_or(u64::MAX);
        loop {
            let (status, broke) = command::status_and(&program, &[how.as_ref()], ACTIVATING, ACTIVATION_FAILED)?;
            // Its own code for this is overwritten when a unit fails as well.
            let code =
                if broke && status.code() == Some(UNITS_FAILED) { Some(ACTIVATION_BROKE) } else { status.code() };
            if code != Some(LOCK_HELD) || boot_time_ms() > until {
                return Ok(code);
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    fn test(&self, to: &StorePath) -> Result<(), Against> {
        let activated = self.activate(to, "test");
        // These codes may also be a last error number, of something that went wrong later.
        let untouched = profile::leads_to(self.places, &self.places.current()).ok() == self.record.from;
        match activated {
            // Units that fail are judged by whether they did before.
            Ok(Some(0 | UNITS_FAILED)) => Ok(()),
            Ok(Some(LOCK_HELD)) if untouched => Err(Against::Before(format!(
                "somebody else has been activating a system for {} s ({} is held)",
                LOCKED.as_secs(),
                self.places.lock().display()
            ))),
            Ok(Some(OTHER_INIT)) if untouched => Err(Against::Before(format!(
                "{to} has another init: it can only be started with, which a person has to do (nixos-rebuild boot)"
            ))),
            Ok(Some(code)) => Err(Against::After(format!("activating {to} failed (exit code {code})"))),
            Ok(None) => Err(Against::After(format!("activating {to} was killed"))),
            Err(error) => Err(Against::After(error.to_string())),
        }
    }

    /// Waits for the agent's word while no unit fails that had not failed before.
    fn probe(&self, before: &BTreeSet<String>) -> Result<(), String> {
        let began = boot_time_ms();
        let confirmation = self.places.confirmation(&self.record.id);
        loop {
            let failed = units::failed().map_err(|error| format!("the units cannot be asked: {error}"))?;
            let new: Vec<&str> = failed.difference(before).map(String::as_str).collect();
            if !new.is_empty() {
                return Err(format!("newly failed: {}", new.join(", ")));
            }
            let waited = Duration::from_millis(boot_time_ms().saturating_sub(began));
            // Some units take a moment to fail, word or no word.
            if waited >= self.patience.settle && (!self.record.confirm || confirmation.exists()) {
                return Ok(());
            }
            if waited >= self.patience.confirm.max(self.patience.settle) {
                let reached = if self.record.contact { ", which has to reach Central Command for it" } else { "" };
                return Err(format!("no confirmation by the agent{reached}, within {} s", waited.as_secs()));
            }
            std::thread::sleep(STEP);
        }
    }

    /// From here on the machine starts with it.
    fn keep(&self, to: &StorePath) -> Result<(), String> {
        self.set_profile(to).map_err(|error| format!("the profile could not be set: {error}"))?;
        match self.activate(to, "boot") {
            Ok(Some(0)) => Ok(()),
            Ok(code) => Err(format!("the boot loader could not be installed (exit code {code:?})")),
            Err(error) => Err(format!("the boot loader could not be installed ({error})")),
        }
    }

    fn set_profile(&self, path: &StorePath) -> Result<(), CommandError> {
        let profile = self.places.profile();
        // `--set` gives an earlier system another, later number; what it had already is what people know it by.
        let known = profile::generations(self.places).unwrap_or_default();
        let number = known.iter().rfind(|one| one.store_path == *path).map(|one| one.number.to_string());
        let (how, what) = number.as_deref().map_or(("--set", path.as_str()), |number| ("--switch-generation", number));
        command::run("nix-env", &["--profile".as_ref(), profile.as_os_str(), how.as_ref(), what.as_ref()], QUICK)
    }

    /// Takes back what [`Self::keep`] may have done; in words what of it could not be.
    fn unkeep(&self) -> Option<String> {
        let before = self.record.default_before.as_ref()?;
        if let Err(error) = self.set_profile(before) {
            return Some(format!("the profile could not be set back: {error}"));
        }
        // What was written by then is written anew for the generation before.
        match self.activate(before, "boot") {
            Ok(Some(0)) => None,
            other => {
                Some(format!("nor could the boot loader for {before} ({other:?}): look at /boot before a restart"))
            }
        }
    }

    fn back(&mut self, against: Against) -> io::Result<()> {
        let reason = match against {
            Against::Before(reason) => {
                self.record.reason = Some(reason);
                return self.is(State::Failed);
            }
            Against::After(reason) => reason,
        };
        let unkept = if self.record.state == State::Keeping { self.unkeep() } else { None };
        let reason = unkept.map_or_else(|| reason.clone(), |trouble| format!("{reason}; {trouble}"));
        let Some(from) = self.record.from.clone() else {
            self.record.reason = Some(format!("{reason}; which system ran before is not known"));
            return self.is(State::Stuck);
        };
        let state = match self.activate(&from, "test") {
            Ok(Some(0 | UNITS_FAILED)) => State::RolledBack,
            other => {
                let said = other.map_or_else(|error| error.to_string(), |code| format!("exit code {code:?}"));
                self.record.reason = Some(format!("{reason}; {from} could not be activated again either ({said})"));
                return self.is(State::Stuck);
            }
        };
        self.record.reason = Some(reason);
        self.is(state)
    }
}
