//! What is checked of a Windows server: the detect phases of its runbooks, held against the baseline.

mod firewall;
mod services;

use crate::adapters::winrm::WindowsHost;
use crate::config::baseline::Windows;
use crate::model::{CheckKind, Observation, Phase, PhaseReport};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The observations of one check, and whether they are all there is of it (then parts not seen are gone).
pub struct Seen {
    pub check: CheckKind,
    pub complete: bool,
    pub observations: Vec<Observation>,
}

/// Looks at one server, and changes nothing.
pub async fn observe(host: &WindowsHost, baseline: &Windows) -> Vec<Seen> {
    let firewall = host.run(firewall::RUNBOOK, Phase::Detect, &Map::new()).await.report;
    let services = host.run(services::RUNBOOK, Phase::Detect, &Map::new()).await.report;
    vec![firewall::read(firewall, baseline), services::read(services, baseline)]
}

/// Which check, and which part of it, a runbook mends with these parameters.
pub fn mends(runbook_id: &str, parameters: &BTreeMap<String, String>) -> Option<(CheckKind, Option<String>)> {
    match runbook_id {
        firewall::RUNBOOK => Some((CheckKind::Firewall, None)),
        services::RUNBOOK => Some((CheckKind::Services, parameters.get("service").cloned())),
        _ => None,
    }
}

/// What every check of a server that cannot be looked at says.
pub fn unreachable(reason: &str, baseline: &Windows) -> Vec<Seen> {
    [(CheckKind::Firewall, firewall::desired(baseline)), (CheckKind::Services, services::desired(baseline))]
        .map(|(check, desired)| could_not_tell(check, desired, reason))
        .into()
}

fn could_not_tell(check: CheckKind, desired: Value, reason: &str) -> Seen {
    Seen { check, complete: false, observations: vec![Observation::unknown(check, desired, reason)] }
}

/// What a script gave as its reasons, or `otherwise`.
fn reasons(report: &PhaseReport, otherwise: &str) -> String {
    if report.reasons.is_empty() { otherwise.to_owned() } else { report.reasons.join("; ") }
}
