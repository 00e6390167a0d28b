//! Runbooks: what may be done to a machine, as data. The catalogue is the whitelist.
//!
//! A runbook is a folder `<ID>/` with `runbook.yaml` and one script a phase. What its phases share may stand in
//! `functions.ps1`: that text, a line end and the phase's own text are the script that runs. Rules, orders and the planner
//! choose a runbook by its id; its scripts are the only commands there are, and its parameters take only listed values.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::action::is_service_name;
use crate::document::{self, Position};
use crate::embedded;

/// A step of a runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Looks, changes nothing.
    Detect,
    /// Changes the machine.
    Remediate,
    /// Looks again: its answer decides the outcome.
    Verify,
    /// Takes the change back.
    Undo,
}

impl Phase {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::Detect, Self::Remediate, Self::Verify, Self::Undo];

    /// The name, which is also that of the phase's file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Remediate => "remediate",
            Self::Verify => "verify",
            Self::Undo => "undo",
        }
    }

    /// The phase of this name, exactly as written.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How much a run disturbs the people who use the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disruption {
    /// Nobody notices.
    None,
    /// Connections may drop.
    Medium,
    /// Work stops; only inside the maintenance window.
    High,
}

/// Whether a run can leave the machine waiting for a reboot. A runbook never reboots by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    /// It cannot.
    Never,
    /// It can, and the result says so.
    MayBeRequired,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// A text from the runbook's list.
    String,
    /// The name of a unit of the appliance: the executor there has the list.
    Unit,
    /// A system's path in the Nix store: the order that the executor judges has to name the same.
    #[serde(rename = "store_path")]
    StorePath,
}

/// What the appliance's executor is asked to do in the place of a script that remediates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Restart the unit that the parameter `service` names.
    RestartUnit,
    /// Restart the time service.
    SyncTime,
    /// Start the unit that frees disk space.
    CollectGarbage,
    /// Load the declared packet filter again.
    RestoreFirewall,
    /// Switch to the generation of NixOS that an order names.
    SwitchGeneration,
    /// Switch back to the declared generation of NixOS.
    RestoreGeneration,
}

impl Request {
    /// Whether it goes on by itself after it was asked for, longer than anybody should wait for it.
    #[must_use]
    pub fn goes_on(self) -> bool {
        matches!(self, Self::SwitchGeneration | Self::RestoreGeneration)
    }
}

/// The platform of runbooks that act on the appliance, whichever Linux it runs.
pub const APPLIANCE: &str = "appliance";

/// The platforms of findings that a runbook of this platform acts on.
#[must_use]
pub(crate) fn platforms(platform: &str) -> Vec<&str> {
    if platform == APPLIANCE { vec!["nixos", "linux"] } else { vec![platform] }
}

/// What a parameter admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// The values it admits, compared exactly. Nothing else ever reaches a script. Empty for a unit.
    #[serde(rename = "enum", default)]
    pub allowed: Vec<String>,
    /// Whether a run without it is refused.
    #[serde(default)]
    pub required: bool,
    /// For people.
    #[serde(default)]
    pub description: String,
}

impl Parameter {
    /// Whether it admits this value.
    #[must_use]
    pub fn admits(&self, value: &str) -> bool {
        match self.kind {
            ParameterType::String => self.allowed.iter().any(|allowed| allowed == value),
            ParameterType::Unit => is_service_name(value),
            ParameterType::StorePath => value.strip_prefix("/nix/store/").is_some_and(|name| !name.contains('/')),
        }
    }
}

/// The bounds of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseBounds {
    /// After this many seconds the phase is given up.
    pub timeout_seconds: u32,
}

/// `runbook.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// Also the folder's name.
    pub id: String,
    /// Raised whenever a script changes what it does.
    pub version: u32,
    /// A title.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The platform it acts on, and no other; [`APPLIANCE`] stands for NixOS and any other Linux.
    pub platform: String,
    /// What the appliance's executor does; such a runbook has no scripts: its check looks before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Request>,
    /// How much it disturbs.
    pub disruptive: Disruption,
    /// Whether it can leave a reboot due.
    pub reboot: Reboot,
    /// The parameters it takes.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// The phases it has; undo only where the change can be taken back.
    pub phases: BTreeMap<Phase, PhaseBounds>,
    /// Paragraphs of 45 CFR that it supports.
    #[serde(default)]
    pub hipaa_controls: Vec<String>,
    /// Shortest time between two runs on the same host, in seconds.
    pub cooldown_seconds: u32,
    /// What undo does, or why there is none.
    pub undo: String,
}

impl Runbook {
    /// Whether it acts on machines of this platform.
    #[must_use]
    pub fn acts_on(&self, platform: &str) -> bool {
        platforms(&self.platform).contains(&platform)
    }
}

/// The data that the program ships, or a folder given in its place, is not sound.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The text is no YAML, or not of the expected shape.
    #[error("{file}:{}:{}: {message}; correct the file", at.line, at.column)]
    Malformed {
        /// The file.
        file: String,
        /// Where in it.
        at: Position,
        /// What is wrong.
        message: String,
    },
    /// The file is well formed and contradicts itself or its neighbours.
    #[error("{file}: {message}; correct the file")]
    Invalid {
        /// The file or folder.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot read {file}: {message}; check that it exists and may be read")]
    Unreadable {
        /// The file or folder.
        file: String,
        /// What the system said.
        message: String,
    },
}

impl DataError {
    pub(crate) fn malformed(file: &str, error: &serde_saphyr::Error) -> Self {
        let malformed = document::malformed(error);
        Self::Malformed { file: file.to_owned(), at: malformed.at, message: malformed.message }
    }

    pub(crate) fn invalid(file: &str, message: String) -> Self {
        Self::Invalid { file: file.to_owned(), message }
    }

    fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable { file: path.display().to_string(), message: error.to_string() }
    }
}

/// The file of a runbook's folder whose text stands before each phase.
const FUNCTIONS: &str = "functions.ps1";

#[derive(Debug, Clone)]
struct Shipped {
    runbook: Runbook,
    functions: Option<String>,
    phases: BTreeMap<Phase, Script>,
}

#[derive(Debug, Clone)]
struct Script {
    /// The phase's file.
    own: String,
    /// What runs.
    joined: String,
}

/// The runbooks that can be run.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    shipped: BTreeMap<String, Shipped>,
}

impl Catalogue {
    /// The runbooks built into the program.
    ///
    /// # Errors
    /// [`DataError`] when the program was built from unsound data; the tests of this crate keep that from shipping.
    pub fn builtin() -> Result<Self, DataError> {
        let mut folders: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (path, text) in embedded::RUNBOOKS {
            let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
            folders.entry(folder).or_default().push((file, text));
        }
        let mut catalogue = Self::default();
        for (folder, files) in folders {
            catalogue.add(folder, &files)?;
        }
        Ok(catalogue)
    }

    /// The runbooks of a folder that is laid out as `<ID>/runbook.yaml`, perhaps `functions.ps1`, and a script a phase.
    ///
    /// # Errors
    /// [`DataError`] naming the first file that is unreadable or unsound.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let list = |path: &Path| -> Result<Vec<_>, DataError> {
            let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let mut paths: Vec<_> =
                entries.map_err(|error| DataError::unreadable(path, &error))?.iter().map(fs::DirEntry::path).collect();
            paths.sort();
            Ok(paths)
        };
        let mut catalogue = Self::default();
        for runbook in list(folder)? {
            let mut files = Vec::new();
            for path in list(&runbook)? {
                let text = fs::read_to_string(&path).map_err(|error| DataError::unreadable(&path, &error))?;
                files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text));
            }
            let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            catalogue.add(&runbook.to_string_lossy(), &files)?;
        }
        Ok(catalogue)
    }

    /// The ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.shipped.keys().map(String::as_str)
    }

    /// The runbook of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Runbook> {
        self.shipped.get(id).map(|shipped| &shipped.runbook)
    }

    /// The script of a phase as it runs: what the phases share, a line end, and the phase's own text.
    #[must_use]
    pub fn script(&self, id: &str, phase: Phase) -> Option<&str> {
        self.shipped.get(id)?.phases.get(&phase).map(|script| script.joined.as_str())
    }

    /// What the phases of a runbook share, for people to read once; none where each stands alone.
    #[must_use]
    pub fn functions(&self, id: &str) -> Option<&str> {
        self.shipped.get(id)?.functions.as_deref()
    }

    /// A phase's own text, for people to read after the [functions](Self::functions), without which it does not run.
    #[must_use]
    pub fn own_text(&self, id: &str, phase: Phase) -> Option<&str> {
        self.shipped.get(id)?.phases.get(&phase).map(|script| script.own.as_str())
    }

    fn add(&mut self, folder: &str, files: &[(&str, &str)]) -> Result<(), DataError> {
        let invalid = |message: String| Err(DataError::invalid(folder, message));
        let mut runbook: Option<Runbook> = None;
        let mut functions: Option<String> = None;
        let mut scripts = BTreeMap::new();
        for (name, text) in files {
            let phase = name.strip_suffix(".ps1").and_then(Phase::parse);
            if let Some(phase) = phase {
                scripts.insert(phase, (*text).to_owned());
            } else if *name == FUNCTIONS {
                functions = Some((*text).to_owned());
            } else if *name == "runbook.yaml" {
                let file = format!("{folder}/{name}");
                let parsed = serde_saphyr::from_str_with_options(text, document::options());
                runbook = Some(parsed.map_err(|error| DataError::malformed(&file, &error))?);
            } else {
                return invalid(format!(
                    "unexpected file {name:?} beside runbook.yaml, {FUNCTIONS} and the phases' scripts"
                ));
            }
        }
        let Some(runbook) = runbook else { return invalid("runbook.yaml is missing".to_owned()) };
        if folder.rsplit('/').next() != Some(runbook.id.as_str()) {
            return invalid(format!("the folder is not named after its runbook, {}", runbook.id));
        }
        if runbook.executor.is_some() != (runbook.platform == APPLIANCE) {
            return invalid(format!("platform {APPLIANCE} and executor belong together"));
        }
        if runbook.executor.is_some() && (!scripts.is_empty() || runbook.phases.contains_key(&Phase::Undo)) {
            return invalid("a runbook of the executor has no scripts and no undo".to_owned());
        }
        for phase in Phase::ALL {
            let (listed, scripted) = (runbook.phases.contains_key(&phase), scripts.contains_key(&phase));
            if listed != scripted && runbook.executor.is_none() {
                let (has, lacks) = if listed { ("runbook.yaml lists", "no script") } else { ("a script", "no entry") };
                return invalid(format!("phase {phase}: {has} it, and there is {lacks}"));
            }
            if !listed && phase != Phase::Undo {
                return invalid(format!("phase {phase} is missing"));
            }
        }
        for (name, parameter) in &runbook.parameters {
            if parameter.allowed.is_empty() && parameter.kind == ParameterType::String {
                return invalid(format!("parameter {name} admits no value: list them under enum"));
            }
            if matches!(name.as_str(), "runbook_id" | "phases") {
                return invalid(format!("a parameter cannot be called {name}: rules use that word themselves"));
            }
        }
        if runbook.phases.values().any(|bounds| bounds.timeout_seconds == 0) {
            return invalid("a phase with timeout_seconds: 0 could never finish".to_owned());
        }
        let script = |own: String| {
            let joined = functions.as_ref().map_or_else(|| own.clone(), |functions| format!("{functions}\n{own}"));
            Script { own, joined }
        };
        let phases = scripts.into_iter().map(|(phase, own)| (phase, script(own))).collect();
        self.shipped.insert(runbook.id.clone(), Shipped { runbook, functions, phases });
        Ok(())
    }
}
