//! The appliance itself as a machine that runbooks act on: the executor does, the appliance's own checks look.
//!
//! A job of the service manager takes its time, so verify looks again and again until the check passes or the phase's
//! time is over. A unit has to run at two looks in a row: one that starts and fails at once is not healed.

use super::perform::{Performed, RunsPhases, UnderWay};
use crate::adapters::executor::{Executor, Operation};
use crate::adapters::winrm::{PhaseError, Ran};
use crate::config::baseline;
use crate::model::report::{PhaseReport, ReportStatus};
use crate::model::{CheckKind, Observation, Phase, Plan};
use crate::sense::host::{self, Machine};
use jiff::Timestamp;
use msp_agent_switch::profile;
use msp_agent_switch::record::{self, Asked, Record, State};
use msp_contracts::evidence::ActionRecord;
use msp_contracts::finding::CheckStatus;
use msp_contracts::ids::OrderId;
use msp_contracts::outcome::Detail;
use msp_contracts::store_path::StorePath;
use msp_rules::{Catalogue, Request};
use serde_json::{Map, Value, json};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long after one look comes the next.
const AGAIN: Duration = Duration::from_secs(1);

/// The appliance with its executor.
pub struct Appliance {
    pub machine: Arc<Machine>,
    pub executor: Executor,
    pub desired: baseline::Appliance,
    pub state_dir: PathBuf,
    pub catalogue: Arc<Catalogue>,
    /// The order to switch that waits, if one does.
    pub ordered: Option<Ordered>,
    /// Whether Central Command is reachable.
    pub contact: bool,
}

/// An order to switch to another generation.
#[derive(Debug, Clone)]
pub struct Ordered {
    pub order_id: OrderId,
    pub store_path: StorePath,
    /// What Central Command signed: root's executor judges it itself.
    pub envelope: String,
}

/// The unit that a plan is about; a name without a kind is a service's, as for systemctl.
fn unit(parameters: &Map<String, Value>) -> String {
    let name = parameters.get("service").and_then(Value::as_str).unwrap_or_default();
    if name.contains('.') { name.to_owned() } else { format!("{name}.service") }
}

/// The system that a plan to switch is about.
fn system(parameters: &Map<String, Value>) -> Option<StorePath> {
    StorePath::try_from(parameters.get("store_path")?.as_str()?.to_owned()).ok()
}

/// What a switch came to.
fn over(record: &Record, running: Option<&StorePath>, generation: Option<u64>) -> Performed {
    let reason = record.reason.clone().unwrap_or_else(|| "no reason is known".to_owned());
    let (detail, error) = match record.state {
        State::Confirmed if running != Some(&record.to) => {
            let running = running.map_or("nothing that can be told", StorePath::as_str);
            (Detail::Failed, Some(format!("the switch was confirmed, and running is {running}")))
        }
        State::Confirmed if record.reboot_required => (Detail::RebootRequired, None),
        State::Confirmed => (Detail::Fixed, None),
        State::RolledBack => (Detail::RolledBack, Some(reason)),
        _ => (Detail::Failed, Some(reason)),
    };
    let report = json!(record);
    let action = ActionRecord {
        phase: "switch".to_owned(),
        started: record.asked_at,
        completed: record.ended_at.unwrap_or(record.asked_at),
        report: report.clone(),
        error: error.clone(),
    };
    let rollback_available = record.state == State::Confirmed && generation.is_some();
    let rollback_generation = generation.filter(|_| rollback_available);
    Performed { detail, actions: vec![action], post_state: report, error, rollback_available, rollback_generation }
}

fn operation(request: Request, parameters: &Map<String, Value>) -> Operation {
    match request {
        Request::RestartUnit => Operation::RestartUnit { unit: unit(parameters) },
        Request::SyncTime => Operation::SyncTime {},
        Request::CollectGarbage => Operation::CollectGarbage {},
        Request::RestoreFirewall => Operation::RestoreFirewall {},
        // Whether the list has them does not depend on the order.
        Request::SwitchGeneration => Operation::SwitchGeneration { order: String::new(), contact: false },
        Request::RestoreGeneration => Operation::RestoreGeneration { contact: false },
    }
}

impl Appliance {
    fn request(&self, runbook_id: &str) -> Option<Request> {
        self.catalogue.get(runbook_id)?.executor
    }

    async fn report(
        &self,
        runbook_id: &str,
        phase: Phase,
        parameters: &Map<String, Value>,
    ) -> Result<PhaseReport, PhaseError> {
        let bounds = self.catalogue.get(runbook_id).and_then(|runbook| runbook.phases.get(&phase));
        let (Some(request), Some(bounds)) = (self.request(runbook_id), bounds) else {
            return Err(PhaseError::NoScript { runbook: runbook_id.to_owned(), phase: phase.as_str() });
        };
        let limit = Duration::from_secs(bounds.timeout_seconds.into());
        let report = |status, observed, reasons, changed| PhaseReport {
            schema: 1,
            runbook: runbook_id.to_owned(),
            phase: phase.as_str().to_owned(),
            status,
            observed,
            reasons,
            changed,
            reboot_required: false,
        };
        if phase == Phase::Remediate {
            let operation = match (operation(request, parameters), self.order_for(parameters)) {
                (Operation::SwitchGeneration { .. }, Some(ordered)) => {
                    Operation::SwitchGeneration { order: ordered.envelope.clone(), contact: self.contact }
                }
                (Operation::RestoreGeneration { .. }, _) => Operation::RestoreGeneration { contact: self.contact },
                (operation, _) => operation,
            };
            let asked = self.executor.ask(operation, limit).await;
            let asked = asked.map_err(|source| PhaseError::Executor { source })?;
            let observed = Map::from_iter([("asked_of_systemd".to_owned(), Value::from(asked))]);
            return Ok(report(ReportStatus::Compliant, observed, Vec::new(), true));
        }
        // What goes on by itself is looked at again by whoever asked for it.
        let seen = if phase == Phase::Detect || request.goes_on() {
            self.look(request, parameters).await
        } else {
            self.until_compliant(request, parameters, limit).await
        };
        let status = match seen.status {
            CheckStatus::Compliant => ReportStatus::Compliant,
            CheckStatus::Drift => ReportStatus::Drift,
            CheckStatus::Unsupported => ReportStatus::Unsupported,
            CheckStatus::Pending => ReportStatus::Pending,
            CheckStatus::Unknown => ReportStatus::Error,
        };
        let reasons = seen.diff.into_iter().chain(seen.reason).collect();
        let observed = Map::from_iter([("actual".to_owned(), seen.actual)]);
        Ok(report(status, observed, reasons, false))
    }

    /// The order that a plan to switch comes from.
    fn order_for(&self, parameters: &Map<String, Value>) -> Option<&Ordered> {
        self.ordered.as_ref().filter(|ordered| system(parameters).as_ref() == Some(&ordered.store_path))
    }

    /// The record of the switch that a plan asked for, at `since` or later.
    fn switch_of(&self, plan: &Plan, since: Timestamp) -> Option<Record> {
        let places = self.machine.places();
        match (self.request(&plan.runbook_id)?, &plan.order) {
            (Request::SwitchGeneration, Some(asked)) => record::get(&places, asked.order_id.as_str()).ok().flatten(),
            (Request::RestoreGeneration, _) => {
                let mut all = record::list(&places).ok()?.into_iter();
                all.rfind(|one| matches!(one.asked, Asked::Drift {}) && one.asked_at >= since)
            }
            _ => None,
        }
    }

    async fn until_compliant(&self, request: Request, parameters: &Map<String, Value>, limit: Duration) -> Observation {
        let began = self.machine.clock.monotonic();
        let wanted = if request == Request::RestartUnit { 2 } else { 1 };
        let mut in_a_row = 0;
        loop {
            let seen = self.look(request, parameters).await;
            in_a_row = if seen.status == CheckStatus::Compliant { in_a_row + 1 } else { 0 };
            let over = self.machine.clock.monotonic().saturating_sub(began) + AGAIN > limit;
            if in_a_row >= wanted || over {
                return seen;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Looks once at what a runbook of this request mends.
    async fn look(&self, request: Request, parameters: &Map<String, Value>) -> Observation {
        let kind = match request {
            Request::RestartUnit => return self.look_at_unit(&unit(parameters)).await,
            Request::SyncTime => CheckKind::TimeSync,
            Request::CollectGarbage => CheckKind::Disk,
            Request::RestoreFirewall => CheckKind::Firewall,
            Request::SwitchGeneration | Request::RestoreGeneration => CheckKind::Generation,
        };
        let ordered = system(parameters);
        let checks = host::all_of_daemon(&self.machine, &self.desired, ordered.as_ref(), &self.state_dir);
        match checks.into_iter().find(|check| check.kind() == kind) {
            Some(check) => check.observe().await,
            None => Observation::unsupported(kind, Value::Null, "this version does not make the check"),
        }
    }

    async fn look_at_unit(&self, name: &str) -> Observation {
        let (kind, desired) = (CheckKind::Services, json!({ name: "running" }));
        let units = match self.machine.systemd.units(&[name.to_owned()]).await {
            Ok(units) => units,
            Err(error) => return Observation::unknown(kind, desired, error.to_string()),
        };
        let Some(unit) = units.first() else {
            return Observation::unknown(kind, desired, format!("{name} is not in the answer"));
        };
        let actual = json!({ name: unit.state() });
        if unit.is_running() {
            Observation::compliant(kind, actual, desired)
        } else {
            let line = format!("{name} is {}, not running", unit.state());
            Observation::drift(kind, msp_contracts::finding::Severity::High, actual, desired, vec![line])
        }
    }
}

impl RunsPhases for Appliance {
    fn run<'a>(
        &'a self,
        runbook_id: &'a str,
        phase: Phase,
        parameters: &'a Map<String, Value>,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'a>> {
        Box::pin(async move {
            let started = self.machine.clock.now();
            let report = self.report(runbook_id, phase, parameters).await;
            Ran { started, completed: self.machine.clock.now(), report }
        })
    }

    fn can_undo(&self, _: &str) -> bool {
        false
    }

    fn under_way(&self, plan: &Plan, since: Timestamp) -> Option<UnderWay> {
        let record = self.switch_of(plan, since)?;
        if record.state.is_open() {
            return Some(UnderWay::GoesOn);
        }
        let places = self.machine.places();
        let running = profile::leads_to(&places, &places.current()).ok();
        let known = profile::generations(&places).unwrap_or_default();
        let before = known.iter().rfind(|one| Some(&one.store_path) == record.from.as_ref());
        Some(UnderWay::Over(over(&record, running.as_ref(), before.map(|one| one.number))))
    }

    fn objection(&self, plan: &Plan) -> Option<String> {
        let request = self.request(&plan.runbook_id)?;
        if request == Request::SwitchGeneration {
            let Some(asked) = &plan.order else {
                return Some("only an order names a generation to switch to".to_owned());
            };
            // Another one ended while this round was under way; what was seen is not about this one.
            if self.ordered.as_ref().is_none_or(|ordered| ordered.order_id != asked.order_id) {
                return Some("another order to switch was first, and is over: give this one again".to_owned());
            }
        }
        self.executor.objection(&operation(request, &plan.parameters))
    }
}
