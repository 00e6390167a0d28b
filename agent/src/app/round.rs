//! One observation, all the way: sense, decide, act, prove. What is to be reported is in the outbox then.

use super::Agent;
use super::connection::Connection;
use super::orders;
use super::pace::Pace;
use crate::act::{intent, perform};
use crate::adapters::inventory::Server;
use crate::adapters::winrm::WindowsHost;
use crate::causes::chain;
use crate::decide::ladder;
use crate::guard;
use crate::model::{Decision, Escalation, Observation, Plan, Verdict};
use crate::prove::record::{Ending, Recorder};
use crate::redact;
use crate::sense::windows::{self, Seen};
use crate::store::incidents::{Ongoing, State};
use crate::store::orders::Waiting;
use crate::store::{StoreError, cooldowns, executions};
use jiff::Timestamp;
use msp_contracts::evidence::Target;
use msp_contracts::finding::{CheckStatus, Finding};
use msp_contracts::ids::IncidentId;
use msp_contracts::outcome::Detail;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long it takes at most to look at a server: every detect phase, and looking back at open intents.
const LOOKING: Duration = Duration::from_secs(600);
/// How long one heal takes at most: the phases of the slowest runbook.
const HEALING: Duration = Duration::from_secs(900);

impl Agent {
    /// Watches one Windows server until `stop`.
    pub(super) async fn watch_server(self: Arc<Self>, server: Server, stop: CancellationToken) {
        let target = server.target();
        let mut policy = self.policy.subscribe();
        let every = Duration::from_secs(self.config.poll_interval);
        let watched = self.vigil.watch(format!("server {}", target.name), LOOKING);
        let mut pace = Pace::new(watched, every, self.look.subscribe());
        let mut connection = Connection::to(server, &self.config);
        while !stop.is_cancelled() {
            pace.working(LOOKING);
            let began = self.clock.now();
            let current = Arc::clone(&policy.borrow_and_update());
            let windows = &current.baseline.windows;
            let (host, seen) = match connection.ready(&current.catalogue, &self.clock) {
                Ok(host) => {
                    self.reconcile(host).await;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        seen = windows::observe(host, windows) => (Some(host), seen),
                    }
                }
                Err(reason) => (None, windows::unreachable(reason, windows)),
            };
            for seen in seen {
                self.follow_all(host, &target, seen, &pace, &stop).await;
            }
            self.looked(&target, began).await;
            if !pace.next(&stop).await {
                return;
            }
        }
    }

    async fn follow_all(
        &self,
        host: Option<&WindowsHost>,
        target: &Target,
        seen: Seen,
        pace: &Pace,
        stop: &CancellationToken,
    ) {
        if seen.complete {
            let subjects: Vec<_> =
                seen.observations.iter().map(|one| one.subject.clone().unwrap_or_default()).collect();
            let (host_id, check) = (target.host_id.clone(), seen.check.as_str());
            let kept = self.record(move |recorder| recorder.seen(&host_id, check, &subjects)).await;
            if let Err(error) = kept {
                tracing::error!(error = %chain(&error), "the checks of a server could not be stored");
            }
        }
        for observation in seen.observations {
            // No new heal begins on a server that is no longer watched.
            if stop.is_cancelled() {
                return;
            }
            pace.working(HEALING);
            self.follow_logged(host, target, observation).await;
        }
    }

    /// Follows an observation; what goes wrong with the store is logged and tried again with the next one.
    pub(super) async fn follow_logged(&self, host: Option<&WindowsHost>, target: &Target, observation: Observation) {
        let check = observation.check;
        if let Err(error) = self.follow(host, target, observation).await {
            tracing::error!(%check, host_id = %target.host_id, error = %chain(&error), "an observation could not be followed");
        }
        self.owed.send_replace(());
    }

    async fn follow(
        &self,
        host: Option<&WindowsHost>,
        target: &Target,
        observation: Observation,
    ) -> Result<(), StoreError> {
        let mut finding = observation.finding(target.platform, &target.host_id, &target.name);
        redact::finding(&mut finding);
        let new_id = IncidentId::from_random(random());
        let (about, found) = (target.clone(), finding.clone());
        let observed = observation.clone();
        let ongoing = self.record(move |recorder| recorder.observed(&about, &observation, &found, new_id)).await?;
        if let (Some(host), Some(order)) = (host, self.order_for(&finding).await?) {
            return self.follow_order(host, target, order, &observed, &finding, ongoing).await;
        }
        let Some(Ongoing { incident_id, state: State::Open, refusal, last, .. }) = ongoing else { return Ok(()) };

        let policy = Arc::clone(&self.policy.borrow());
        match ladder::decide(&policy.rules, &incident_id, target, &finding) {
            Decision::Escalate(escalation) => self.escalate(escalation).await,
            Decision::Run(plan) if last.is_some_and(|last| last.detail == Detail::NoChange.as_str()) => {
                let reason = format!("{} found nothing to change, and the check still sees drift", plan.runbook_id);
                self.escalate(to_a_person(plan, reason)).await
            }
            Decision::Run(plan) => {
                let verdict = self.judge(&plan).await?;
                self.carry_out(host, plan, verdict, refusal).await
            }
        }
    }

    async fn judge(&self, plan: &Plan) -> Result<Verdict, StoreError> {
        let catalogue = Arc::clone(&self.policy.borrow().catalogue);
        let (plan, allowed, now) = (plan.clone(), self.guard_policy(), self.clock.now());
        self.store.write(move |db| guard::judge(db, allowed, &catalogue, &plan, now)).await
    }

    /// An order waits for exactly this: its plan goes the way of every other, and a person has asked for it.
    async fn follow_order(
        &self,
        host: &WindowsHost,
        target: &Target,
        order: Waiting,
        observation: &Observation,
        finding: &Finding,
        ongoing: Option<Ongoing>,
    ) -> Result<(), StoreError> {
        let drift = ongoing.filter(|_| observation.status == CheckStatus::Drift);
        let plan = drift.as_ref().and_then(|drift| orders::plan(&order, drift.incident_id.clone(), target, finding));
        let (Some(plan), Some(drift)) = (plan, drift) else {
            return self.order_without_drift(target, observation, order).await;
        };
        let verdict = self.judge(&plan).await?;
        if verdict == Verdict::Allow {
            return self.heal(host, plan).await;
        }
        self.order_judged(plan.clone(), order, verdict.clone()).await?;
        match verdict {
            Verdict::Refuse { .. } => self.carry_out(Some(host), plan, verdict, drift.refusal).await,
            Verdict::Allow | Verdict::Escalate { .. } => Ok(()),
        }
    }

    async fn carry_out(
        &self,
        host: Option<&WindowsHost>,
        plan: Plan,
        verdict: Verdict,
        refused_before: Option<String>,
    ) -> Result<(), StoreError> {
        match (verdict, host) {
            (Verdict::Refuse { reason, .. }, _) if refused_before.as_deref() == Some(&reason) => Ok(()),
            (Verdict::Refuse { detail, reason }, _) => {
                if detail == Detail::DryRun {
                    let parameters = serde_json::Value::Object(plan.parameters.clone());
                    tracing::info!("[DRY-RUN] Would execute: {} with {parameters}", plan.runbook_id);
                }
                self.record(move |recorder| recorder.refused(&plan, detail, &reason).map(drop)).await
            }
            (Verdict::Escalate { reason }, _) => self.escalate(to_a_person(plan, reason)).await,
            (Verdict::Allow, Some(host)) => self.heal(host, plan).await,
            (Verdict::Allow, None) => {
                let reason = format!("{} cannot run: there is no connection to the machine", plan.runbook_id);
                self.escalate(to_a_person(plan, reason)).await
            }
        }
    }

    async fn heal(&self, host: &WindowsHost, plan: Plan) -> Result<(), StoreError> {
        let started = self.clock.now();
        let execution_id = intent::intend(&self.store, host.catalogue(), &plan, started).await?;
        tracing::info!(
            incident_id = %plan.incident_id, host_id = %plan.target.host_id,
            runbook_id = %plan.runbook_id, rule_id = %plan.rule_id, "healing"
        );
        let performed = perform::perform(&plan, host).await;
        self.conclude(host, plan, performed, execution_id, started).await
    }

    async fn conclude(
        &self,
        host: &WindowsHost,
        plan: Plan,
        performed: perform::Performed,
        execution_id: String,
        started: Timestamp,
    ) -> Result<(), StoreError> {
        let version = host.catalogue().get(&plan.runbook_id).map_or(0, |runbook| runbook.version);
        let (incident_id, detail) = (plan.incident_id.clone(), performed.detail);
        let evidence_id = self
            .record(move |recorder| {
                let ending = Ending { execution_id: &execution_id, started };
                recorder.healed(&plan, version, &performed, &ending)
            })
            .await?;
        tracing::info!(%incident_id, %detail, %evidence_id, "healing ended");
        Ok(())
    }

    async fn escalate(&self, escalation: Escalation) -> Result<(), StoreError> {
        tracing::warn!(
            incident_id = %escalation.incident_id, host_id = %escalation.target.host_id,
            check = %escalation.finding.check_type, reason = %redact::text(&escalation.reason), "a person is asked"
        );
        self.record(move |recorder| recorder.escalated(&escalation).map(drop)).await
    }

    /// Deals with intents that a restart left without an outcome: looks at the machine, does nothing to it.
    async fn reconcile(&self, host: &WindowsHost) {
        let host_id = host.address().to_owned();
        let open = match self.store.write(move |db| executions::open_on::<Plan>(db, &host_id)).await {
            Ok(open) => open,
            Err(error) => return tracing::error!(error = %chain(&error), "open intents cannot be read"),
        };
        for intent in open {
            let longest = intent::longest(host.catalogue(), &intent.plan.runbook_id);
            let left = intent.may_run_until.duration_since(self.clock.now());
            // An end further away than a plan can last was set by a clock that was ahead.
            let may_still_run = left.is_positive() && left <= longest;
            let Some(performed) = perform::look_back(&intent.plan, host).await else { continue };
            if performed.detail != Detail::Fixed && may_still_run {
                continue;
            }
            if let Err(error) = self.interrupted(host, intent, performed).await {
                tracing::error!(error = %chain(&error), "an open intent could not be reconciled");
            }
        }
    }

    async fn interrupted(
        &self,
        host: &WindowsHost,
        intent: executions::Open<Plan>,
        performed: perform::Performed,
    ) -> Result<(), StoreError> {
        tracing::warn!(
            incident_id = %intent.plan.incident_id, detail = %performed.detail,
            "a heal was interrupted by a restart; the machine was looked at"
        );
        if performed.detail == Detail::Fixed {
            return self.conclude(host, intent.plan, performed, intent.execution_id, intent.started_at).await;
        }
        let version = host.catalogue().get(&intent.plan.runbook_id).map_or(0, |runbook| runbook.version);
        self.record(move |recorder| {
            // Nothing came of it: the plan may be made again at once.
            cooldowns::clear(recorder.db, &intent.plan.cooldown_key())?;
            let ending = Ending { execution_id: &intent.execution_id, started: intent.started_at };
            recorder.interrupted(&intent.plan, version, &performed, &ending).map(drop)
        })
        .await
    }

    /// Records in one transaction, signed and under the policy in force.
    pub(super) async fn record<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Recorder<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let signer = Arc::clone(&self.signer);
        let policy = Arc::clone(&self.policy.borrow());
        let now = self.clock.now();
        let done = self
            .store
            .write(move |db| work(&Recorder { db, signer: &signer, policy_version: &policy.version, now }))
            .await;
        self.owed.send_replace(());
        done
    }
}

fn to_a_person(plan: Plan, reason: String) -> Escalation {
    Escalation {
        incident_id: plan.incident_id,
        target: plan.target,
        urgency: plan.finding.severity,
        finding: plan.finding,
        rule_id: Some(plan.rule_id),
        reason,
        suggested_runbook: Some(plan.runbook_id),
    }
}

/// Six bytes of the operating system's randomness.
fn random() -> [u8; 6] {
    let id = uuid::Uuid::new_v4().into_bytes();
    // The first six bytes of a version 4 UUID are all random.
    [id[0], id[1], id[2], id[3], id[4], id[5]]
}
