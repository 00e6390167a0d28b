//! Windows Update: what the machine is offered, what it has, and whether a reboot is due.
//!
//! An update that needs a reboot is *staged* by its installation: a search goes on offering it until the machine has
//! restarted. That, a policy that names a WSUS server, and a searcher that answers only local callers, are what make a
//! careless script wrong, so they are kept apart here.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ledger::{Change, Subsystem};
use crate::profiles::Profile;

/// A Windows error code, written `0x8024402C`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HResult(pub i32);

impl std::fmt::Display for HResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

impl Serialize for HResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        digits
            .and_then(|d| u32::from_str_radix(d, 16).ok())
            .map(|n| Self(n.cast_signed()))
            .ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no error code like \"0x8024402C\"")))
    }
}

/// `MsrcSeverity`. Many updates have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// Critical.
    Critical,
    /// Important.
    Important,
    /// Moderate.
    Moderate,
    /// Low.
    Low,
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "Critical",
            Self::Important => "Important",
            Self::Moderate => "Moderate",
            Self::Low => "Low",
        }
    }
}

/// One update that applies to the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Number of its article, such as `KB5034129`.
    pub kb: String,
    /// What a person sees.
    pub title: String,
    /// What Microsoft says of the hole it closes.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// `BrowseOnly`: optional, such as a preview; Windows installs it only when somebody asks for it.
    #[serde(default)]
    pub optional: bool,
    /// Its installation asks questions, so that it needs a person at the screen.
    #[serde(default)]
    pub asks_user: bool,
    /// Whether its licence was accepted (or it has none).
    #[serde(default = "yes")]
    pub eula_accepted: bool,
    /// Its installation ends with a reboot due.
    #[serde(default)]
    pub needs_reboot: bool,
    /// A fault of the simulation: downloading it fails.
    #[serde(default)]
    pub download_error: Option<HResult>,
    /// A fault of the simulation: installing it fails.
    #[serde(default)]
    pub install_error: Option<HResult>,
    /// How long its installation takes.
    #[serde(default)]
    pub install_seconds: u32,
    /// Where it stands.
    #[serde(default)]
    pub stage: Stage,
}

fn yes() -> bool {
    true
}

/// How far an update has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Offered.
    #[default]
    Missing,
    /// Its files are here.
    Downloaded,
    /// Installed as far as a running Windows can be: the reboot finishes it. A search still offers it.
    Staged,
    /// Installed.
    Installed,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Downloaded => "downloaded",
            Self::Staged => "staged",
            Self::Installed => "installed",
        }
    }
}

/// The places where Windows notes that a reboot is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebootMark {
    /// The key `Component Based Servicing\RebootPending`.
    ComponentServicing,
    /// The key `WindowsUpdate\Auto Update\RebootRequired`.
    WindowsUpdate,
    /// The value `PendingFileRenameOperations`, which installers of all kinds leave and which says little.
    FileRenames,
}

impl RebootMark {
    fn as_str(self) -> &'static str {
        match self {
            Self::ComponentServicing => "component_servicing",
            Self::WindowsUpdate => "windows_update",
            Self::FileRenames => "file_renames",
        }
    }
}

/// The state of Windows Update.
#[derive(Debug, Clone, Serialize)]
pub struct Updates {
    /// What applies to this machine, installed or not.
    pub list: Vec<Update>,
    /// `WUServer`, the WSUS server that Group Policy names; without it, Microsoft's own.
    pub wsus_server: Option<String>,
    /// A fault of the simulation: a search fails like this, as when the server cannot be reached.
    pub search_error: Option<HResult>,
    /// A fault of the simulation: a search answers "succeeded with errors", and what it lists is not all.
    pub search_incomplete: bool,
    /// Windows refuses the searcher to callers who are logged on over the network (Server 2025, Windows 11 24H2).
    pub searcher_local_only: bool,
    /// Where it is noted that a reboot is due.
    pub reboot_marks: Vec<RebootMark>,
}

impl Updates {
    /// A machine with every update installed.
    pub fn of(profile: Profile) -> Self {
        let mut rollup = update("KB5034129", "2024-01 Cumulative Update for Microsoft server operating system", true);
        rollup.severity = Some(Severity::Critical);
        Self {
            list: vec![rollup, update("KB890830", "Windows Malicious Software Removal Tool x64", false)],
            wsus_server: None,
            search_error: None,
            search_incomplete: false,
            searcher_local_only: profile == Profile::Server2025,
            reboot_marks: Vec::new(),
        }
    }

    pub(crate) fn get(&self, kb: &str) -> Option<&Update> {
        self.list.iter().find(|u| u.kb.eq_ignore_ascii_case(kb))
    }

    /// What a search for missing software finds.
    pub(crate) fn offered(&self) -> Vec<Update> {
        self.list.iter().filter(|u| u.stage != Stage::Installed).cloned().collect()
    }

    /// Whether Windows Update itself wants a reboot.
    pub(crate) fn reboot_due(&self) -> bool {
        self.reboot_marks.iter().any(|m| *m != RebootMark::FileRenames)
    }

    pub(crate) fn set_stage(&mut self, kb: &str, to: Stage) -> Option<Change> {
        let update = self.list.iter_mut().find(|u| u.kb.eq_ignore_ascii_case(kb))?;
        let from = std::mem::replace(&mut update.stage, to);
        (from != to).then(|| change(&update.kb, "stage", from.as_str(), to.as_str()))
    }

    pub(crate) fn accept_eula(&mut self, kb: &str) -> Option<Change> {
        let update = self.list.iter_mut().find(|u| u.kb.eq_ignore_ascii_case(kb))?;
        let from = std::mem::replace(&mut update.eula_accepted, true);
        (!from).then(|| change(&update.kb, "eula_accepted", "false", "true"))
    }

    /// Installs an update whose files are here: its error, or whether it left a reboot due.
    pub(crate) fn install(&mut self, kb: &str) -> (Vec<Change>, Result<bool, HResult>) {
        /// The files are not there.
        const NOT_DOWNLOADED: HResult = HResult(0x8024_200D_u32.cast_signed());
        let Some(update) = self.get(kb).cloned() else {
            return (Vec::new(), Err(NOT_DOWNLOADED));
        };
        match (update.stage, update.install_error) {
            (Stage::Missing, _) => (Vec::new(), Err(NOT_DOWNLOADED)),
            (Stage::Installed | Stage::Staged, _) => (Vec::new(), Ok(update.stage == Stage::Staged)),
            (Stage::Downloaded, Some(error)) => (Vec::new(), Err(error)),
            (Stage::Downloaded, None) if update.needs_reboot => {
                let mut changes: Vec<Change> = self.set_stage(kb, Stage::Staged).into_iter().collect();
                changes.extend(self.set_mark(RebootMark::ComponentServicing, true));
                changes.extend(self.set_mark(RebootMark::WindowsUpdate, true));
                (changes, Ok(true))
            }
            (Stage::Downloaded, None) => (self.set_stage(kb, Stage::Installed).into_iter().collect(), Ok(false)),
        }
    }

    pub(crate) fn set_mark(&mut self, mark: RebootMark, due: bool) -> Option<Change> {
        let from = self.reboot_marks.contains(&mark);
        self.reboot_marks.retain(|m| *m != mark);
        if due {
            self.reboot_marks.push(mark);
        }
        (from != due).then(|| change(mark.as_str(), "reboot_pending", &from.to_string(), &due.to_string()))
    }

    /// The machine restarts: what was staged is installed, and nothing is due any more.
    pub(crate) fn reboot(&mut self) -> Vec<Change> {
        let staged: Vec<String> = self.list.iter().filter(|u| u.stage == Stage::Staged).map(|u| u.kb.clone()).collect();
        let mut changes: Vec<Change> = staged.iter().filter_map(|kb| self.set_stage(kb, Stage::Installed)).collect();
        for mark in self.reboot_marks.clone() {
            changes.extend(self.set_mark(mark, false));
        }
        changes
    }

    /// An update appears, or one that there is gets other properties.
    pub(crate) fn offer(&mut self, update: Update) -> Option<Change> {
        let from = self.list.iter().position(|u| u.kb.eq_ignore_ascii_case(&update.kb));
        let before = match from {
            Some(index) => self.list.remove(index),
            None => {
                let change = change(&update.kb, "stage", "none", update.stage.as_str());
                self.list.push(update);
                return Some(change);
            }
        };
        let differs = before != update;
        let change = change(&update.kb, "stage", before.stage.as_str(), update.stage.as_str());
        self.list.push(update);
        differs.then_some(change)
    }

    pub(crate) fn set_wsus_server(&mut self, to: Option<String>) -> Option<Change> {
        let text = |url: &Option<String>| url.clone().unwrap_or_else(|| "none".to_owned());
        let from = std::mem::replace(&mut self.wsus_server, to);
        (from != self.wsus_server).then(|| change("policy", "wsus_server", &text(&from), &text(&self.wsus_server)))
    }

    pub(crate) fn set_search_error(&mut self, to: Option<HResult>) -> Option<Change> {
        let text = |e: Option<HResult>| e.map_or_else(|| "none".to_owned(), |e| e.to_string());
        let from = std::mem::replace(&mut self.search_error, to);
        (from != to).then(|| change("search", "error", &text(from), &text(to)))
    }

    pub(crate) fn set_search_incomplete(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.search_incomplete, to);
        (from != to).then(|| change("search", "incomplete", &from.to_string(), &to.to_string()))
    }
}

/// An update that is installed.
fn update(kb: &str, title: &str, needs_reboot: bool) -> Update {
    Update {
        kb: kb.to_owned(),
        title: format!("{title} ({kb})"),
        severity: None,
        optional: false,
        asks_user: false,
        eula_accepted: true,
        needs_reboot,
        download_error: None,
        install_error: None,
        install_seconds: 0,
        stage: Stage::Installed,
    }
}

fn change(object: &str, property: &'static str, from: &str, to: &str) -> Change {
    Change {
        subsystem: Subsystem::Updates,
        object: object.to_owned(),
        property,
        from: from.to_owned(),
        to: to.to_owned(),
    }
}
