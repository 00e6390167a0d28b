//! What became of each switch: one file each, written before every step, so that a power cut leaves the truth behind.

use crate::declared::Declared;
use crate::files;
use crate::places::Places;
use crate::profile;
use jiff::Timestamp;
use msp_contracts::store_path::StorePath;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// Records beyond this many are forgotten, oldest first.
const KEPT: usize = 50;
/// The switch's unit begins at once, or not at all; in milliseconds.
const BEGINS_MS: u64 = 120_000;
/// Longer than its unit lets it last; in milliseconds.
const LASTS_MS: u64 = 100 * 60_000;

/// Who wanted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "asked_by", rename_all = "snake_case")]
pub enum Asked {
    /// An order of Central Command, whose signature was checked by the executor.
    Order {
        /// The order.
        order_id: String,
        /// Who gave it.
        issued_by: String,
        /// Why.
        why: String,
    },
    /// The agent found another system running than the declared one, and root's list allows to go back to it.
    Drift {},
    /// A person at the machine, as root.
    Person {},
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its unit has not begun.
    Asked,
    /// The system is fetched and looked at, and room made for it in /boot; what runs has not changed.
    Preparing,
    /// The system is activated, in a way that no restart of the machine survives.
    Testing,
    /// It runs, and the agent's word is waited for.
    Awaiting,
    /// The word came: profile and boot loader are being set.
    Keeping,
    /// It runs, and is what the machine starts with.
    Confirmed,
    /// It did not pass, and the system before it runs again.
    RolledBack,
    /// It was not even activated: what runs was not changed.
    Failed,
    /// It did not pass, and the system before it could not be activated either. A restart leads to what the machine
    /// starts with by default.
    Stuck,
}

impl State {
    /// Whether it goes on.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Asked | Self::Preparing | Self::Testing | Self::Awaiting | Self::Keeping)
    }

    /// The word as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Preparing => "preparing",
            Self::Testing => "testing",
            Self::Awaiting => "awaiting",
            Self::Keeping => "keeping",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
        }
    }
}

/// One switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this file's shape.
    pub schema: u32,
    /// Its name, also of its unit and its file.
    pub id: String,
    /// Who wanted it.
    #[serde(flatten)]
    pub asked: Asked,
    /// The system that should run.
    pub to: StorePath,
    /// The system that ran before; where it goes back to.
    pub from: Option<StorePath>,
    /// The system that the machine started with by default before.
    pub default_before: Option<StorePath>,
    /// Whether it waits for the agent's word; a person at the machine looks for himself.
    pub confirm: bool,
    /// Whether that word needs a check-in at Central Command: it was reachable before.
    pub contact: bool,
    /// How far it is.
    pub state: State,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// The generations that were removed to make room for it in /boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<u64>,
    /// Whether kernel or initial RAM disk are others than those that run.
    pub reboot_required: bool,
    /// The boot in which it was begun.
    pub boot_id: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// The same, in milliseconds since the machine was started.
    pub asked_ms: u64,
    /// When the system had been activated, in milliseconds since the machine was started.
    pub activated_ms: Option<u64>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

impl Record {
    /// A switch that was just asked for.
    #[must_use]
    pub fn new(places: &Places, id: &str, asked: Asked, to: StorePath) -> Self {
        Self {
            schema: 1,
            id: id.to_owned(),
            confirm: !matches!(asked, Asked::Person {}),
            asked,
            to,
            from: None,
            default_before: None,
            contact: false,
            state: State::Asked,
            reason: None,
            removed: Vec::new(),
            reboot_required: false,
            boot_id: places.boot_id(),
            asked_at: crate::now(),
            asked_ms: crate::boot_time_ms(),
            activated_ms: None,
            ended_at: None,
        }
    }

    /// In words, on whose word it was made.
    #[must_use]
    pub fn because(&self) -> String {
        match &self.asked {
            Asked::Order { order_id, issued_by, why } => format!("order {order_id} by {issued_by}: {why}"),
            Asked::Drift {} => "another system ran than the declared one".to_owned(),
            Asked::Person {} => "a person at the machine".to_owned(),
        }
    }

    /// Whether it was begun in another boot, as far as that can be told.
    #[must_use]
    pub fn is_of_another_boot(&self, places: &Places) -> bool {
        self.boot_id.is_empty() || self.boot_id != places.boot_id()
    }

    /// One whose unit never began, or was not able to write how it ended (a full disk), is over all the same: nobody
    /// waits for it any longer.
    fn unless_given_up(mut self) -> Self {
        let age = crate::boot_time_ms().saturating_sub(self.asked_ms);
        let (state, reason) = match self.state {
            State::Asked if age > BEGINS_MS => (State::Failed, "its unit did not begin"),
            state if state.is_open() && age > LASTS_MS => (State::Stuck, "it did not say how it ended"),
            _ => return self,
        };
        (self.state, self.reason) = (state, Some(reason.to_owned()));
        self
    }

    /// How it stands, in this boot: one that a restart of the machine ended is told as what it came to.
    fn in_this_boot(mut self, places: &Places) -> Self {
        if !self.state.is_open() {
            return self;
        }
        if !self.is_of_another_boot(places) {
            return self.unless_given_up();
        }
        let said = "the machine was restarted before the switch was confirmed";
        let (state, reason) = match self.state {
            State::Asked | State::Preparing => (State::Failed, "the machine was restarted before the switch began"),
            // Profile and boot loader were being set: which of them was, what runs now tells.
            State::Keeping if profile::leads_to(places, &places.current()).ok().as_ref() == Some(&self.to) => {
                (State::Confirmed, "the machine was restarted while it was made the default")
            }
            _ => (State::RolledBack, said),
        };
        (self.state, self.reason) = (state, Some(reason.to_owned()));
        self
    }
}

/// A name that may be part of a unit's and a file's name.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
}

fn folder(places: &Places) -> PathBuf {
    places.state().join("switches")
}

/// Stores a record, and forgets those that are too many.
///
/// # Errors
/// When it cannot be written.
pub fn put(places: &Places, record: &Record) -> io::Result<()> {
    if !is_id(&record.id) {
        return Err(io::Error::other(format!("{:?} is no name of a switch", record.id)));
    }
    let file = |id: &str| folder(places).join(format!("{id}.json"));
    files::replace(&file(&record.id), &serde_json::to_vec_pretty(record)?)?;
    let all = list(places)?;
    // By the wall clock, which may have been set back: never the one that was just written.
    for old in all.iter().filter(|old| old.id != record.id).take(all.len().saturating_sub(KEPT)) {
        std::fs::remove_file(file(&old.id))?;
    }
    Ok(())
}

/// The record of this name, as it stands in this boot.
///
/// # Errors
/// When it cannot be read.
pub fn get(places: &Places, id: &str) -> io::Result<Option<Record>> {
    Ok(as_written(places, id)?.map(|record| record.in_this_boot(places)))
}

/// The record of this name, word for word.
pub(crate) fn as_written(places: &Places, id: &str) -> io::Result<Option<Record>> {
    if !is_id(id) {
        return Ok(None);
    }
    match std::fs::read(folder(places).join(format!("{id}.json"))) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every switch that is remembered, oldest first, as it stands in this boot. One that cannot be read is left out.
///
/// # Errors
/// When their folder cannot be read.
pub fn list(places: &Places) -> io::Result<Vec<Record>> {
    let entries = match std::fs::read_dir(folder(places)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        if let Ok(record) = serde_json::from_slice::<Record>(&bytes) {
            found.push(record.in_this_boot(places));
        }
    }
    found.sort_by(|one, other| (one.asked_at, &one.id).cmp(&(other.asked_at, &other.id)));
    Ok(found)
}

/// The last switch, where it was rolled back and nothing was declared since: a person has not settled it yet.
#[must_use]
pub fn unsettled(switches: &[Record], declared: Option<&Declared>) -> Option<Record> {
    let last = switches.last().filter(|last| matches!(last.state, State::RolledBack | State::Stuck))?;
    let is_settled = declared.is_some_and(|declared| declared.at > last.asked_at);
    (!is_settled).then(|| last.clone())
}

/// The switch that goes on in this boot, if any does.
///
/// # Errors
/// When the records cannot be read.
pub fn open(places: &Places) -> io::Result<Option<Record>> {
    Ok(list(places)?.into_iter().find(|record| record.state.is_open()))
}
