//! The Windows firewall: every profile of the baseline is on, in the store that is in force.

use super::{Seen, could_not_tell, reasons};
use crate::adapters::winrm::PhaseError;
use crate::causes::chain;
use crate::config::baseline::Windows;
use crate::model::report::ReportStatus;
use crate::model::{CheckKind, Observation, PhaseReport};
use msp_contracts::finding::Severity;
use serde_json::{Map, Value, json};

pub const RUNBOOK: &str = "RB-WIN-FIREWALL-001";

pub fn desired(baseline: &Windows) -> Value {
    let profiles: Map<_, _> =
        baseline.firewall_profiles.iter().map(|one| (one.as_str().to_owned(), Value::from("True"))).collect();
    json!({ "profiles": profiles })
}

pub fn read(report: Result<PhaseReport, PhaseError>, baseline: &Windows) -> Seen {
    let check = CheckKind::Firewall;
    let desired = desired(baseline);
    let report = match report {
        Ok(report) => report,
        Err(error) => return could_not_tell(check, desired, &chain(&error)),
    };
    let actual = Value::Object(report.observed.clone());
    let mut observation = match report.status {
        ReportStatus::Error => Observation::unknown(check, desired, reasons(&report, "the detect script says error")),
        ReportStatus::Unsupported => Observation::unsupported(check, desired, reasons(&report, "not on this server")),
        ReportStatus::Pending => {
            Observation::pending(check, actual, desired, reasons(&report, "a change is under way"))
        }
        ReportStatus::Compliant | ReportStatus::Drift => judge(&report, actual, desired, baseline),
    };
    observation.details.extend(report.observed);
    Seen { check, complete: true, observations: vec![observation] }
}

/// The baseline says which profiles matter; a profile that the script did not name is not on.
fn judge(report: &PhaseReport, actual: Value, desired: Value, baseline: &Windows) -> Observation {
    let profiles = report.observed.get("profiles");
    let state = |name: &str| profiles.and_then(|all| all.get(name)).and_then(Value::as_str).unwrap_or("not reported");
    let diff: Vec<_> = baseline
        .firewall_profiles
        .iter()
        .map(|profile| profile.as_str())
        .filter(|name| state(name) != "True")
        .map(|name| format!("firewall profile {name}: Enabled is {}, desired True", state(name)))
        .collect();
    if diff.is_empty() {
        return Observation::compliant(CheckKind::Firewall, actual, desired);
    }
    Observation::drift(CheckKind::Firewall, Severity::High, actual, desired, diff)
        .recommend("Set-NetFirewallProfile -Profile Domain,Public,Private -Enabled True")
}
