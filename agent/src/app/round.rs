//! One observation, all the way: sense, decide, act, prove. What is to be reported is in the outbox then.

use super::Agent;
use super::connection::Connection;
use crate::act::{intent, perform};
use crate::adapters::inventory::Server;
use crate::adapters::winrm::WindowsHost;
use crate::decide::ladder;
use crate::guard;
use crate::model::{Decision, Escalation, Observation, Plan, Verdict};
use crate::prove::record::{Ending, Recorder};
use crate::redact;
use crate::sense::windows::{self, Seen};
use crate::store::incidents::{Ongoing, State};
use crate::store::{StoreError, cooldowns, executions, not_stored};
use jiff::Timestamp;
use msp_contracts::evidence::Target;
use msp_contracts::ids::IncidentId;
use msp_contracts::outcome::Detail;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Agent {
    /// Watches one Windows server until `stop`.
    pub(super) async fn watch_server(self: Arc<Self>, server: Server, stop: CancellationToken) {
        let target = server.target();
        let mut policy = self.policy.subscribe();
        let every = Duration::from_secs(self.config.poll_interval);
        let mut connection = Connection::to(server, &self.config);
        while !stop.is_cancelled() {
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
                self.follow_all(host, &target, seen, &stop).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.clock.real(every)) => {}
            }
        }
    }

    async fn follow_all(&self, host: Option<&WindowsHost>, target: &Target, seen: Seen, stop: &CancellationToken) {
        if seen.complete {
            let subjects: Vec<_> =
                seen.observations.iter().map(|one| one.subject.clone().unwrap_or_default()).collect();
            let (host_id, check) = (target.host_id.clone(), seen.check.as_str());
            let kept = self.record(move |recorder| recorder.seen(&host_id, check, &subjects)).await;
            if let Err(error) = kept {
                not_stored(&error, "the checks of a server could not be stored");
            }
        }
        for observation in seen.observations {
            // No new heal begins on a server that is no longer watched.
            if stop.is_cancelled() {
                return;
            }
            self.follow_logged(host, target, observation).await;
        }
    }

    /// Follows an observation; what goes wrong with the store is logged and tried again with the next one.
    pub(super) async fn follow_logged(&self, host: Option<&WindowsHost>, target: &Target, observation: Observation) {
        let check = observation.check;
        if let Err(error) = self.follow(host, target, observation).await {
            not_stored(&error, &format!("{check} of {} could not be followed", target.host_id));
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
        let ongoing = self.record(move |recorder| recorder.observed(&about, &observation, &found, new_id)).await?;
        let Some(Ongoing { incident_id, state: State::Open, refusal, last, .. }) = ongoing else { return Ok(()) };

        let policy = Arc::clone(&self.policy.borrow());
        match ladder::decide(&policy.rules, &incident_id, target, &finding) {
            Decision::Escalate(escalation) => self.escalate(escalation).await,
            Decision::Run(plan) if last.is_some_and(|last| last.detail == Detail::NoChange.as_str()) => {
                let reason = format!("{} found nothing to change, and the check still sees drift", plan.runbook_id);
                self.escalate(to_a_person(plan, reason)).await
            }
            Decision::Run(plan) => {
                let (judged, catalogue, allowed) = (plan.clone(), Arc::clone(&policy.catalogue), self.guard_policy());
                let now = self.clock.now();
                let verdict = self.store.write(move |db| guard::judge(db, allowed, &catalogue, &judged, now)).await?;
                self.carry_out(host, plan, verdict, refusal).await
            }
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
            Err(error) => return not_stored(&error, "open intents cannot be read"),
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
                not_stored(&error, "an open intent could not be reconciled");
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
