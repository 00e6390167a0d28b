//! Services: the units that the baseline names run, and no unit failed.

use super::Machine;
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::Severity;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The check.
pub struct Services {
    pub machine: Arc<Machine>,
    pub desired: baseline::Services,
}

impl Check for Services {
    fn kind(&self) -> CheckKind {
        CheckKind::Services
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl Services {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let desired = json!({"running": self.desired.running, "max_failed": self.desired.max_failed});
        let systemd = &self.machine.systemd;
        let (units, failed) = match (systemd.units(&self.desired.running).await, systemd.failed_units().await) {
            (Ok(units), Ok(failed)) => (units, failed),
            (Err(error), _) | (_, Err(error)) => {
                return Observation::unknown(kind, desired, error.to_string())
                    .recommend("run it where systemd is the init process and its bus can be reached");
            }
        };
        let states: Map<String, Value> =
            units.iter().map(|unit| (unit.name.clone(), Value::from(unit.state()))).collect();
        let failed: Vec<String> = failed.into_iter().map(|unit| unit.name).collect();
        let actual = json!({"units": states, "failed": failed});
        let (starting, stopped): (Vec<_>, Vec<_>) = units
            .iter()
            .filter(|unit| !unit.is_running())
            .partition(|unit| unit.active == "activating" && unit.sub != "auto-restart");
        let mut diff: Vec<String> =
            stopped.iter().map(|unit| format!("{} is {}, not running", unit.name, unit.state())).collect();
        let too_many = failed.len() > self.desired.max_failed as usize;
        if too_many {
            diff.push(format!("failed: {} (allowed: {})", failed.join(", "), self.desired.max_failed));
        }
        let observation = if !diff.is_empty() {
            let severity = if stopped.is_empty() { Severity::Medium } else { Severity::High };
            let first = stopped.first().map(|unit| unit.name.clone()).or(failed.first().cloned()).unwrap_or_default();
            Observation::drift(kind, severity, actual, desired, diff)
                .recommend(format!("read `journalctl -u {first}`, then `systemctl restart {first}`"))
        } else if let Some(unit) = starting.first() {
            Observation::pending(kind, actual, desired, format!("{} is {}", unit.name, unit.state()))
        } else {
            Observation::compliant(kind, actual, desired)
        };
        let stopped: Vec<&str> = stopped.iter().map(|unit| unit.name.as_str()).collect();
        let observation = match stopped.first() {
            Some(first) => observation.detail("stopped_service", *first),
            None => observation,
        };
        observation
            .detail("service_running", stopped.is_empty() && starting.is_empty())
            .detail("stopped_services", stopped)
            .detail("failed_services", failed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, observe};
    use super::*;
    use msp_contracts::finding::CheckStatus;

    async fn look(fixture: &Fixture, max_failed: u32) -> Observation {
        let running = vec!["dbus.service".to_owned(), "sshd.service".to_owned()];
        observe(&Services { machine: fixture.machine(), desired: baseline::Services { running, max_failed } }).await
    }

    #[tokio::test]
    async fn running_units_are_compliant_and_a_stopped_one_is_drift() {
        let fixture =
            Fixture::new().unit("dbus.service", "active", "running").unit("sshd.service", "active", "running");
        assert_eq!(look(&fixture, 0).await.status, CheckStatus::Compliant);
        let fixture = fixture.unit("sshd.service", "inactive", "dead");
        let seen = look(&fixture, 0).await;
        assert_eq!((seen.status, seen.severity), (CheckStatus::Drift, Severity::High));
        assert_eq!(seen.diff, ["sshd.service is inactive (dead), not running"]);
        assert_eq!(seen.details["service_running"], false);
        assert_eq!(seen.details["stopped_service"], "sshd.service");
        let restarting = fixture.unit("sshd.service", "activating", "auto-restart");
        assert_eq!(look(&restarting, 0).await.status, CheckStatus::Drift);
        let starting = restarting.unit("sshd.service", "activating", "start");
        assert_eq!(look(&starting, 0).await.status, CheckStatus::Pending);
    }

    #[tokio::test]
    async fn a_unit_that_does_not_exist_is_not_running() {
        let seen = look(&Fixture::new().unit("dbus.service", "active", "running"), 0).await;
        assert_eq!(seen.diff, ["sshd.service is not-found, not running"]);
    }

    #[tokio::test]
    async fn a_failed_unit_is_drift_unless_the_baseline_allows_it() {
        let fixture = Fixture::new()
            .unit("dbus.service", "active", "running")
            .unit("sshd.service", "active", "running")
            .unit("logrotate.service", "failed", "failed");
        assert_eq!(look(&fixture, 1).await.status, CheckStatus::Compliant);
        let seen = look(&fixture, 0).await;
        assert_eq!((seen.status, seen.severity), (CheckStatus::Drift, Severity::Medium));
        assert_eq!(seen.diff, ["failed: logrotate.service (allowed: 0)"]);
    }

    #[tokio::test]
    async fn without_a_bus_nothing_is_known() {
        let seen = look(&Fixture::new().without_bus(), 0).await;
        assert_eq!(seen.status, CheckStatus::Unknown);
        assert!(seen.reason.unwrap().contains("no system bus"));
    }
}
