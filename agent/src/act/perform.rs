//! Carries out one plan on one machine: remediate, verify, and undo when the change did not pass.
//!
//! The verify phase decides, not an exit code. When the connection breaks during a change, nothing is sent
//! again: verify looks at the world and says what became of it.

use crate::adapters::winrm::{PhaseError, Ran, WindowsHost};
use crate::causes::chain;
use crate::model::report::{PhaseReport, ReportStatus};
use crate::model::{Phase, Plan};
use jiff::Timestamp;
use msp_contracts::evidence::ActionRecord;
use msp_contracts::outcome::Detail;
use serde_json::{Map, Value, json};
use std::future::Future;
use std::pin::Pin;

/// The seam to the machine: runs a phase and says what it reported.
pub trait RunsPhases: Sync {
    /// Runs `phase` of `runbook_id` with `parameters`.
    fn run<'a>(
        &'a self,
        runbook_id: &'a str,
        phase: Phase,
        parameters: &'a Map<String, Value>,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'a>>;

    /// Whether the runbook can take its change back.
    fn can_undo(&self, runbook_id: &str) -> bool;

    /// How a change of `plan` stands that goes on by itself once it was asked for, at `since` or later; `None` where the
    /// phases are all there is, or it was never begun.
    fn under_way(&self, _plan: &Plan, _since: Timestamp) -> Option<UnderWay> {
        None
    }

    /// In words, why this machine cannot carry out `plan` at all, as far as that is known beforehand.
    fn objection(&self, _plan: &Plan) -> Option<String> {
        None
    }
}

impl RunsPhases for WindowsHost {
    fn run<'a>(
        &'a self,
        runbook_id: &'a str,
        phase: Phase,
        parameters: &'a Map<String, Value>,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'a>> {
        Box::pin(Self::run(self, runbook_id, phase, parameters))
    }

    fn can_undo(&self, runbook_id: &str) -> bool {
        self.catalogue().script(runbook_id, Phase::Undo).is_some()
    }
}

/// How a change stands that goes on by itself.
#[derive(Debug)]
pub enum UnderWay {
    GoesOn,
    Over(Performed),
}

/// What was done, step by step, and how it ended.
#[derive(Debug)]
pub struct Performed {
    pub detail: Detail,
    pub actions: Vec<ActionRecord>,
    /// What verify observed at the end; null when it could not look.
    pub post_state: Value,
    pub error: Option<String>,
    pub rollback_available: bool,
    /// The generation of the system to return to, on the appliance.
    pub rollback_generation: Option<u64>,
}

/// Carries out `plan`.
pub async fn perform(plan: &Plan, host: &dyn RunsPhases) -> Performed {
    let mut steps = Steps { plan, host, actions: Vec::new() };
    let remediated = steps.run(Phase::Remediate, &plan.parameters).await;
    let verified = steps.run(Phase::Verify, &plan.parameters).await;
    let rollback_available = host.can_undo(&plan.runbook_id);
    // Undone is only what is known to have been changed, and is known not to have passed.
    let changed = remediated.as_ref().is_ok_and(|report| report.changed);
    let (mut detail, mut error, mut post_state) = judge(&remediated, &verified);
    if detail == Detail::Failed && changed && rollback_available && verified.is_ok() {
        let mut parameters = plan.parameters.clone();
        parameters.insert("before".to_owned(), Value::Object(plan.finding.details.clone()));
        let undone = steps.run(Phase::Undo, &parameters).await;
        let looked_again = steps.run(Phase::Verify, &plan.parameters).await;
        if let Ok(report) = &looked_again {
            post_state = Value::Object(report.observed.clone());
        }
        let why = error.unwrap_or_else(|| "the change did not pass its check".to_owned());
        match undone {
            Ok(report) if report.status != ReportStatus::Error => {
                detail = Detail::RolledBack;
                error = Some(format!("{why}; the change was undone"));
            }
            Ok(report) => error = Some(format!("{why}; undoing it failed: {}", report.reasons.join("; "))),
            Err(undo) => error = Some(format!("{why}; undoing it failed: {undo}")),
        }
    }
    Performed { detail, actions: steps.actions, post_state, error, rollback_available, rollback_generation: None }
}

/// Only looks, after a restart in the middle of a plan: says how it ended without doing anything. `None` when it
/// cannot be told yet: nobody could look, or the change is still under way.
pub async fn look_back(plan: &Plan, host: &dyn RunsPhases) -> Option<Performed> {
    let mut steps = Steps { plan, host, actions: Vec::new() };
    let seen = steps.run(Phase::Verify, &plan.parameters).await.ok()?;
    let (detail, error) = match seen.status {
        ReportStatus::Compliant => (Detail::Fixed, None),
        ReportStatus::Drift => {
            (Detail::Failed, Some(format!("interrupted by a restart of the agent: {}", said(&seen))))
        }
        ReportStatus::Unsupported => (Detail::Unsupported, Some(said(&seen))),
        ReportStatus::Pending | ReportStatus::Error => return None,
    };
    let rollback_available = host.can_undo(&plan.runbook_id);
    let post_state = Value::Object(seen.observed);
    Some(Performed { detail, actions: steps.actions, post_state, error, rollback_available, rollback_generation: None })
}

struct Steps<'a> {
    plan: &'a Plan,
    host: &'a dyn RunsPhases,
    actions: Vec<ActionRecord>,
}

impl Steps<'_> {
    async fn run(&mut self, phase: Phase, parameters: &Map<String, Value>) -> Result<PhaseReport, PhaseError> {
        let ran = self.host.run(&self.plan.runbook_id, phase, parameters).await;
        self.actions.push(ActionRecord {
            phase: phase.as_str().to_owned(),
            started: ran.started,
            completed: ran.completed,
            report: ran.report.as_ref().map_or(Value::Null, |report| json!(report)),
            error: ran.report.as_ref().err().map(|error| chain(error)),
        });
        ran.report
    }
}

fn said(report: &PhaseReport) -> String {
    let status = json!(report.status);
    let status = status.as_str().unwrap_or_default();
    if report.reasons.is_empty() { format!("{} says {status}", report.phase) } else { report.reasons.join("; ") }
}

fn judge(
    remediated: &Result<PhaseReport, PhaseError>,
    verified: &Result<PhaseReport, PhaseError>,
) -> (Detail, Option<String>, Value) {
    let verified = match verified {
        Ok(report) => report,
        Err(error) => return (Detail::Failed, Some(chain(error)), Value::Null),
    };
    let post_state = Value::Object(verified.observed.clone());
    let reboot = verified.reboot_required || remediated.as_ref().is_ok_and(|report| report.reboot_required);
    let broke_off = remediated.as_ref().err().map(|error| chain(error));
    let (detail, error) = match verified.status {
        ReportStatus::Compliant if reboot => (Detail::RebootRequired, broke_off),
        ReportStatus::Compliant if remediated.as_ref().is_ok_and(|report| !report.changed) => (Detail::NoChange, None),
        ReportStatus::Compliant => (Detail::Fixed, broke_off),
        ReportStatus::Pending => (Detail::Pending, broke_off),
        ReportStatus::Unsupported => (Detail::Unsupported, Some(said(verified))),
        ReportStatus::Drift | ReportStatus::Error => match remediated {
            Err(error) => (Detail::Failed, Some(chain(error))),
            // The script found out that it has no say here (Group Policy, a disabled service) and changed nothing.
            Ok(report) if report.status == ReportStatus::Unsupported && !report.changed => {
                (Detail::Unsupported, Some(said(report)))
            }
            Ok(report) if !report.reasons.is_empty() => (Detail::Failed, Some(report.reasons.join("; "))),
            Ok(_) => (Detail::Failed, Some(said(verified))),
        },
    };
    (detail, error, post_state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::tests::plan;
    use std::sync::Mutex;

    /// A machine that answers each phase in turn with the next of its reports.
    struct Scripted {
        answers: Mutex<Vec<(Phase, ReportStatus, bool)>>,
        undo: bool,
    }

    impl RunsPhases for Scripted {
        fn run<'a>(
            &'a self,
            runbook_id: &'a str,
            phase: Phase,
            _: &'a Map<String, Value>,
        ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'a>> {
            let (expected, status, changed) = self.answers.lock().unwrap().remove(0);
            assert_eq!(phase, expected);
            let report = PhaseReport {
                schema: 1,
                runbook: runbook_id.to_owned(),
                phase: phase.as_str().to_owned(),
                status,
                observed: Map::new(),
                reasons: vec![],
                changed,
                reboot_required: false,
            };
            let when = jiff::Timestamp::UNIX_EPOCH;
            Box::pin(async move { Ran { started: when, completed: when, report: Ok(report) } })
        }

        fn can_undo(&self, _: &str) -> bool {
            self.undo
        }
    }

    async fn outcome(undo: bool, answers: &[(Phase, ReportStatus, bool)]) -> Performed {
        let host = Scripted { answers: Mutex::new(answers.to_vec()), undo };
        let performed = perform(&plan(), &host).await;
        assert!(host.answers.lock().unwrap().is_empty(), "not every phase was run");
        performed
    }

    #[tokio::test]
    async fn the_verify_phase_decides_and_a_change_that_fails_it_is_undone() {
        use Phase::{Remediate, Undo, Verify};
        use ReportStatus::{Compliant, Drift, Error, Pending, Unsupported};
        let changed = [(Remediate, Compliant, true)];
        let cases: [(bool, &[_], &[_], Detail); 10] = [
            (true, &[(Remediate, Unsupported, false)], &[(Verify, Drift, false)], Detail::Unsupported),
            (true, &changed, &[(Verify, Compliant, false)], Detail::Fixed),
            (true, &[(Remediate, Compliant, false)], &[(Verify, Compliant, false)], Detail::NoChange),
            (true, &[(Remediate, Error, false)], &[(Verify, Drift, false)], Detail::Failed),
            (false, &changed, &[(Verify, Drift, false)], Detail::Failed),
            (true, &changed, &[(Verify, Pending, false)], Detail::Pending),
            (true, &changed, &[(Verify, Unsupported, false)], Detail::Unsupported),
            (
                true,
                &changed,
                &[(Verify, Drift, false), (Undo, Drift, true), (Verify, Drift, false)],
                Detail::RolledBack,
            ),
            (true, &changed, &[(Verify, Error, false), (Undo, Error, false), (Verify, Drift, false)], Detail::Failed),
            (
                true,
                &[(Remediate, Error, true)],
                &[(Verify, Drift, false), (Undo, Drift, true), (Verify, Drift, false)],
                Detail::RolledBack,
            ),
        ];
        for (undo, first, rest, expected) in cases {
            let answers: Vec<_> = first.iter().chain(rest).copied().collect();
            let performed = outcome(undo, &answers).await;
            assert_eq!(performed.detail, expected, "{answers:?}");
            assert_eq!(performed.actions.len(), answers.len());
            let succeeded = matches!(expected, Detail::Fixed | Detail::NoChange | Detail::Pending);
            assert_eq!(performed.error.is_none(), succeeded, "{answers:?}: {:?}", performed.error);
        }
    }
}
