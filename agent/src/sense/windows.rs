//! What is checked of a Windows server: the detect phases of its runbooks, one after another.

mod firewall;
mod scripted;
mod services;

use crate::adapters::winrm::{PhaseError, WindowsHost};
use crate::config::baseline::Windows;
use crate::model::{CheckKind, Observation, Phase, PhaseReport};
use msp_rules::Catalogue;
use scripted::{ANTIVIRUS, BACKUP, DIRECTORY, ENCRYPTION, LOGGING, PATCHING, Scripted};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// The observations of one check, and whether they are all there is of it (then parts not seen are gone).
pub struct Seen {
    pub check: CheckKind,
    pub complete: bool,
    pub observations: Vec<Observation>,
}

/// One check of a Windows server.
#[derive(Debug, Clone, Copy)]
pub enum WindowsCheck {
    Firewall,
    Services,
    Scripted(&'static Scripted),
}

/// The quick ones first: what they find need not wait for the slow ones.
const CHECKS: [WindowsCheck; 8] = [
    WindowsCheck::Firewall,
    WindowsCheck::Services,
    WindowsCheck::Scripted(&ANTIVIRUS),
    WindowsCheck::Scripted(&LOGGING),
    WindowsCheck::Scripted(&BACKUP),
    WindowsCheck::Scripted(&ENCRYPTION),
    WindowsCheck::Scripted(&DIRECTORY),
    WindowsCheck::Scripted(&PATCHING),
];

/// The checks that there are runbooks for, in the order in which they are made; with `slow` those too that cost a server
/// more than a moment.
pub fn checks(catalogue: &Catalogue, slow: bool) -> impl Iterator<Item = WindowsCheck> {
    CHECKS
        .into_iter()
        .filter(move |check| catalogue.get(check.runbook_id()).is_some() && (slow || !check.kind().is_slow()))
}

impl WindowsCheck {
    /// The runbook whose detect phase makes it.
    pub fn runbook_id(self) -> &'static str {
        match self {
            Self::Firewall => firewall::RUNBOOK,
            Self::Services => services::RUNBOOK,
            Self::Scripted(scripted) => scripted.runbook_id,
        }
    }

    pub fn kind(self) -> CheckKind {
        match self {
            Self::Firewall => CheckKind::Firewall,
            Self::Services => CheckKind::Services,
            Self::Scripted(scripted) => scripted.check,
        }
    }

    /// How long it takes at most: the detect phase, which is tried twice when the connection breaks.
    pub fn longest(self, catalogue: &Catalogue) -> Duration {
        let phases = catalogue.get(self.runbook_id()).map(|runbook| &runbook.phases);
        let bounds = phases.and_then(|phases| phases.get(&Phase::Detect));
        Duration::from_secs(bounds.map_or(0, |bounds| bounds.timeout_seconds).into()) * 3
    }

    /// Looks at one server, and changes nothing. When nothing came back from it, why.
    pub async fn observe(self, host: &WindowsHost, baseline: &Windows) -> (Seen, Option<String>) {
        let report = host.run(self.runbook_id(), Phase::Detect, &Map::new()).await.report;
        let silent = report.as_ref().err().filter(|error| error.is_silence()).map(|error| crate::causes::chain(error));
        (self.read(report, baseline), silent)
    }

    fn read(self, report: Result<PhaseReport, PhaseError>, baseline: &Windows) -> Seen {
        match self {
            Self::Firewall => firewall::read(report, baseline),
            Self::Services => services::read(report, baseline),
            Self::Scripted(scripted) => scripted.read(report, baseline),
        }
    }

    fn desired(self, baseline: &Windows) -> Value {
        match self {
            Self::Firewall => firewall::desired(baseline),
            Self::Services => services::desired(baseline),
            Self::Scripted(scripted) => scripted.desired(),
        }
    }

    /// What it says of a server that cannot be looked at.
    pub fn unreachable(self, reason: &str, baseline: &Windows) -> Seen {
        could_not_tell(self.kind(), self.desired(baseline), reason)
    }
}

/// The check whose trouble this runbook mends.
pub fn check_of(runbook_id: &str) -> Option<WindowsCheck> {
    CHECKS.into_iter().find(|check| check.runbook_id() == runbook_id)
}

/// Which check, and which part of it, a runbook mends with these parameters.
pub fn mends(runbook_id: &str, parameters: &BTreeMap<String, String>) -> Option<(CheckKind, Option<String>)> {
    let check = check_of(runbook_id)?;
    let part = matches!(check, WindowsCheck::Services).then(|| parameters.get("service").cloned()).flatten();
    Some((check.kind(), part))
}

fn could_not_tell(check: CheckKind, desired: Value, reason: &str) -> Seen {
    Seen { check, complete: false, observations: vec![Observation::unknown(check, desired, reason)] }
}

/// What a script gave as its reasons, or `otherwise`.
fn reasons(report: &PhaseReport, otherwise: &str) -> String {
    if report.reasons.is_empty() { otherwise.to_owned() } else { report.reasons.join("; ") }
}
