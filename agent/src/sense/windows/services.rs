//! Windows services: each service of the baseline that is installed runs, unless it is one that is started on
//! demand. One observation a service.

use super::{Seen, could_not_tell, reasons};
use crate::adapters::winrm::PhaseError;
use crate::causes::chain;
use crate::config::baseline::Windows;
use crate::model::report::ReportStatus;
use crate::model::{CheckKind, Observation, PhaseReport};
use msp_contracts::finding::Severity;
use serde::Deserialize;
use serde_json::{Value, json};

pub const RUNBOOK: &str = "RB-WIN-SVC-001";

/// One service as the sweep reports it.
#[derive(Debug, Deserialize)]
struct Service {
    name: String,
    installed: bool,
    running: bool,
    start_type: Option<String>,
}

pub fn desired(baseline: &Windows) -> Value {
    json!({ "running": baseline.services })
}

pub fn read(report: Result<PhaseReport, PhaseError>, baseline: &Windows) -> Seen {
    let check = CheckKind::Services;
    let report = match report {
        Ok(report) if report.status != ReportStatus::Error => report,
        Ok(report) => {
            return could_not_tell(check, desired(baseline), &reasons(&report, "the detect script says error"));
        }
        Err(error) => return could_not_tell(check, desired(baseline), &chain(&error)),
    };
    let listed = report.observed.get("services").cloned().unwrap_or(Value::Null);
    let services: Vec<Service> = match serde_json::from_value(listed) {
        Ok(services) => services,
        Err(error) => {
            return could_not_tell(check, desired(baseline), &format!("the detect script's list of services: {error}"));
        }
    };
    let observations = baseline.services.iter().map(|name| {
        let found = services.iter().find(|service| service.name.eq_ignore_ascii_case(name));
        found.map_or_else(|| not_looked_at(name), observation)
    });
    Seen { check, complete: true, observations: observations.collect() }
}

/// The runbook has a list of its own; a service that the baseline names and the list does not is not looked at.
fn not_looked_at(name: &str) -> Observation {
    let reason = format!("{RUNBOOK} does not look at service {name}: take it off the baseline");
    Observation::unknown(CheckKind::Services, json!({ "running": true }), reason).about(name)
}

fn observation(service: &Service) -> Observation {
    let actual = json!({ "running": service.running, "start_type": service.start_type });
    let desired = json!({ "running": true });
    // A service that is started on demand rests most of the time.
    let rests = service.start_type.as_deref() == Some("Manual");
    let seen = if !service.installed {
        Observation::unsupported(CheckKind::Services, desired, format!("service {} is not installed", service.name))
    } else if service.running || rests {
        Observation::compliant(CheckKind::Services, actual, desired)
    } else {
        let diff = vec![format!("service {} is not running", service.name)];
        Observation::drift(CheckKind::Services, Severity::High, actual, desired, diff)
            .recommend(format!("Start-Service -Name {}", service.name))
    };
    seen.about(&*service.name)
        .detail("service", &*service.name)
        .detail("service_running", service.running)
        .detail("start_type", service.start_type.clone().map_or(Value::Null, Value::from))
}
