//! Windows services: each service of the baseline that is installed runs. One observation a service.

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
    let wanted = |service: &&Service| {
        service.installed && baseline.services.iter().any(|name| name.eq_ignore_ascii_case(&service.name))
    };
    Seen { check, complete: true, observations: services.iter().filter(wanted).map(observation).collect() }
}

fn observation(service: &Service) -> Observation {
    let actual = json!({ "running": service.running, "start_type": service.start_type });
    let desired = json!({ "running": true });
    let seen = if service.running {
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
