//! One observation, all the way: sense, decide, act, prove. What is to be reported is in the outbox then.

use super::Agent;
use super::connection::Connection;
use super::orders;
use super::pace::{Cadence, Pace};
use super::policy::Policy;
use crate::act::perform::{RunsPhases, UnderWay};
use crate::act::{intent, perform};
use crate::adapters::inventory::Server;
use crate::adapters::winrm::WindowsHost;
use crate::decide::ladder;
use crate::guard;
use crate::model::{Decision, Escalation, Guardrail, Observation, Plan, Verdict};
use crate::prove::record::{Ending, Recorder};
use crate::redact;
use crate::sense::windows::{self, Seen, WindowsCheck};
use crate::store::incidents::{Ongoing, State};
use crate::store::orders::Waiting;
use crate::store::{StoreError, cooldowns, executions, not_stored};
use jiff::Timestamp;
use msp_contracts::evidence::Target;
use msp_contracts::finding::{CheckStatus, Finding};
use msp_contracts::ids::{BundleId, IncidentId};
use msp_contracts::outcome::{Detail, Level};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long looking back at one open intent takes at most.
pub(super) const LOOKING_BACK: Duration = Duration::from_secs(600);
/// How long a server waits at most for its turn.
const QUEUING: Duration = Duration::from_secs(3600);
/// How long following one observation takes beside its heal.
const FOLLOWING: Duration = Duration::from_secs(60);

impl Agent {
    /// Watches one Windows server until `stop`.
    pub(super) async fn watch_server(self: Arc<Self>, server: Server, stop: CancellationToken) {
        let target = server.target();
        let every = Duration::from_secs(self.config.poll_interval);
        let watched = self.vigil.watch(format!("server {}", target.name), LOOKING_BACK);
        let pace = Pace::new(watched, every, self.look.subscribe());
        let mut pace = pace.with_hints(self.sensors.hints.of(&target.host_id));
        let mut slow = Cadence::new(Duration::from_secs(self.config.windows_slow_check_interval));
        let mut connection = Connection::to(server, &self.config);
        let mut silent = false;
        while !stop.is_cancelled() {
            pace.working(LOOKING_BACK);
            let began = self.clock.now();
            let policy = Arc::clone(&self.policy.borrow());
            let with_slow = pace.only().is_some() || slow.due(self.clock.monotonic(), pace.was_woken());
            let is_asked = |check: &WindowsCheck| pace.only().is_none_or(|only| only.contains(&check.kind()));
            let checks: Vec<_> = windows::checks(&policy.catalogue, with_slow).filter(is_asked).collect();
            match connection.ready(&policy.catalogue, &self.clock) {
                Ok(host) => {
                    // A server that was silent the last time waits for others like it, not for those that answer.
                    pace.working(QUEUING);
                    let Some(_lane) = self.lanes.enter(silent, &stop).await else { return };
                    pace.working(LOOKING_BACK);
                    self.reconcile(host, host.address()).await;
                    silent = self.look_at(host, &target, &checks, &policy, &pace, &stop).await;
                }
                Err(reason) => {
                    for check in checks {
                        let seen = check.unreachable(reason, &policy.baseline.windows);
                        self.follow_all(None, &target, seen, &stop).await;
                    }
                }
            }
            self.looked(&target, began, pace.only()).await;
            if !pace.next(&stop).await {
                return;
            }
        }
    }

    /// Makes the checks one by one and follows what each saw. Whether the server fell silent: then the rest of its
    /// checks are not tried, each of which would wait for it once more.
    async fn look_at(
        &self,
        host: &WindowsHost,
        target: &Target,
        checks: &[WindowsCheck],
        policy: &Policy,
        pace: &Pace,
        stop: &CancellationToken,
    ) -> bool {
        let baseline = &policy.baseline.windows;
        let mut silent: Option<String> = None;
        for check in checks {
            pace.working(check.longest(&policy.catalogue));
            let (seen, fell_silent) = match &silent {
                Some(reason) => (check.unreachable(reason, baseline), None),
                None => tokio::select! {
                    () = stop.cancelled() => return false,
                    observed = check.observe(host, baseline) => observed,
                },
            };
            silent = silent.or(fell_silent);
            pace.working(policy.longest_heal().saturating_add(FOLLOWING));
            self.follow_all(Some(host), target, seen, stop).await;
        }
        silent.is_some()
    }

    async fn follow_all(&self, host: Option<&dyn RunsPhases>, target: &Target, seen: Seen, stop: &CancellationToken) {
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
    pub(super) async fn follow_logged(&self, host: Option<&dyn RunsPhases>, target: &Target, observation: Observation) {
        let check = observation.check;
        if let Err(error) = self.follow(host, target, observation).await {
            not_stored(&error, &format!("{check} of {} could not be followed", target.host_id));
        }
        self.owed.send_replace(());
    }

    async fn follow(
        &self,
        host: Option<&dyn RunsPhases>,
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
            Decision::Escalate(escalation) => {
                if let Some(rule_id) = &escalation.rule_id {
                    log_match(rule_id, &escalation.incident_id, target);
                }
                self.escalate(escalation).await
            }
            Decision::Run(plan) if last.is_some_and(|last| last.detail == Detail::NoChange.as_str()) => {
                let reason = format!("{} found nothing to change, and the check still sees drift", plan.runbook_id);
                self.escalate(to_a_person(plan, reason, None)).await
            }
            Decision::Run(plan) => self.carry_out(host, plan, refusal.as_deref()).await,
        }
    }

    /// An order waits for exactly this: its plan goes the way of every other, and a person has asked for it.
    async fn follow_order(
        &self,
        host: &dyn RunsPhases,
        target: &Target,
        order: Waiting,
        observation: &Observation,
        finding: &Finding,
        ongoing: Option<Ongoing>,
    ) -> Result<(), StoreError> {
        let is_about = orders::is_about(&order, &observation.details);
        let drift = ongoing.filter(|_| observation.status == CheckStatus::Drift && is_about);
        let plan = drift.as_ref().and_then(|drift| orders::plan(&order, drift.incident_id.clone(), target, finding));
        let (Some(plan), Some(drift)) = (plan, drift) else {
            return self.order_without_drift(target, observation, order).await;
        };
        // Root's executor takes what its list does not have for news of a stranger: it is not even asked.
        if let Some(why) = host.objection(&plan) {
            return self.order_failed(target, order, format!("{} cannot run: {why}", plan.runbook_id)).await;
        }
        let started = self.clock.now();
        match self.judge(&plan, true, started).await? {
            (Verdict::Allow, Some(execution_id)) => self.heal(host, plan, execution_id, started).await,
            (Verdict::Allow, None) => Ok(()),
            (Verdict::Refuse { by, reason }, _) => {
                self.refuse(plan, by, &reason, drift.refusal.as_deref()).await?;
                self.order_refused_now(target, order, by, reason).await
            }
            (Verdict::Escalate { reason, .. }, _) => self.order_failed(target, order, reason).await,
        }
    }

    /// The one door to a change: judges the plan and stores the intent of an allowed one in the same transaction.
    pub(super) async fn judge(
        &self,
        plan: &Plan,
        connected: bool,
        now: Timestamp,
    ) -> Result<(Verdict, Option<String>), StoreError> {
        let catalogue = Arc::clone(&self.policy.borrow().catalogue);
        let (plan, allowed) = (plan.clone(), Arc::clone(&self.guard));
        // On a full disk nothing is begun, whatever still fits on it: there would be no room to prove what was done.
        let room = self.store.require_room();
        self.store
            .write(move |db| {
                let verdict = guard::judge(db, &allowed, &catalogue, &plan, now)?;
                let intends = verdict == Verdict::Allow && connected;
                if intends {
                    room?;
                }
                let execution_id = intends.then(|| intent::intend(db, &catalogue, &plan, now)).transpose()?;
                Ok((verdict, execution_id))
            })
            .await
    }

    /// Carries a rule's plan out, if the guard allows it. `refused_before` is the guardrail that refused this
    /// incident's plan the last time: the same one again is no news.
    async fn carry_out(
        &self,
        host: Option<&dyn RunsPhases>,
        plan: Plan,
        refused_before: Option<&str>,
    ) -> Result<(), StoreError> {
        let started = self.clock.now();
        // What a machine never does is cured by no waiting either.
        if let Some(why) = host.and_then(|host| host.objection(&plan)) {
            log_match(&plan.rule_id, &plan.incident_id, &plan.target);
            let reason = format!("{} cannot run: {why}", plan.runbook_id);
            return self.escalate(to_a_person(plan, reason, None)).await;
        }
        let (verdict, execution_id) = self.judge(&plan, host.is_some(), started).await?;
        let known = matches!(&verdict, Verdict::Refuse { by, .. } if refused_before == Some(by.as_str()));
        if plan.level == Level::L1 && !known {
            log_match(&plan.rule_id, &plan.incident_id, &plan.target);
        }
        match (verdict, host.zip(execution_id)) {
            (Verdict::Refuse { by, reason }, _) => self.refuse(plan, by, &reason, refused_before).await,
            (Verdict::Escalate { by, reason }, _) => self.escalate(to_a_person(plan, reason, Some(by))).await,
            (Verdict::Allow, Some((host, execution_id))) => self.heal(host, plan, execution_id, started).await,
            (Verdict::Allow, None) => {
                let reason = format!("{} cannot run: there is no connection to the machine", plan.runbook_id);
                self.escalate(to_a_person(plan, reason, None)).await
            }
        }
    }

    /// The plan waits. Evidence and log say so once for each guardrail that holds it back.
    async fn refuse(
        &self,
        plan: Plan,
        by: Guardrail,
        reason: &str,
        refused_before: Option<&str>,
    ) -> Result<(), StoreError> {
        if refused_before == Some(by.as_str()) {
            return Ok(());
        }
        if by == Guardrail::DryRun {
            let parameters = serde_json::Value::Object(plan.parameters.clone());
            tracing::info!("[DRY-RUN] Would execute: {} with {parameters}", plan.runbook_id);
        }
        let said = redact::text(reason);
        tracing::info!(incident_id = %plan.incident_id, refused_by = by.as_str(), reason = %said, "the plan waits");
        let reason = reason.to_owned();
        self.record(move |recorder| recorder.refused(&plan, by, &reason).map(drop)).await
    }

    async fn heal(
        &self,
        host: &dyn RunsPhases,
        plan: Plan,
        execution_id: String,
        started: Timestamp,
    ) -> Result<(), StoreError> {
        tracing::info!(
            incident_id = %plan.incident_id, host_id = %plan.target.host_id,
            runbook_id = %plan.runbook_id, rule_id = %plan.rule_id, "healing"
        );
        let mut performed = perform::perform(&plan, host).await;
        match host.under_way(&plan, started) {
            // Its intent stays open: it is looked at until it is over, also by the agent's next process.
            Some(UnderWay::GoesOn) => return Ok(()),
            Some(UnderWay::Over(over)) => performed = over,
            None => {}
        }
        self.conclude(plan, performed, execution_id, started).await.map(drop)
    }

    pub(super) async fn conclude(
        &self,
        plan: Plan,
        performed: perform::Performed,
        execution_id: String,
        started: Timestamp,
    ) -> Result<BundleId, StoreError> {
        let version = self.version(&plan.runbook_id);
        let (incident_id, detail) = (plan.incident_id.clone(), performed.detail);
        let evidence_id = self
            .record(move |recorder| {
                let ending = Ending { execution_id: &execution_id, started };
                recorder.healed(&plan, version, &performed, &ending)
            })
            .await?;
        tracing::info!(%incident_id, %detail, %evidence_id, "healing ended");
        Ok(evidence_id)
    }

    async fn escalate(&self, escalation: Escalation) -> Result<(), StoreError> {
        tracing::warn!(
            incident_id = %escalation.incident_id, host_id = %escalation.target.host_id,
            check = %escalation.finding.check_type, reason = %redact::text(&escalation.reason), "a person is asked"
        );
        self.record(move |recorder| recorder.escalated(&escalation).map(drop)).await
    }

    /// Deals with intents that a restart left without an outcome: looks at the machine, does nothing to it.
    pub(super) async fn reconcile(&self, host: &dyn RunsPhases, host_id: &str) {
        let host_id = host_id.to_owned();
        let catalogue = Arc::clone(&self.policy.borrow().catalogue);
        let open = match self.store.write(move |db| executions::open_on::<Plan>(db, &host_id)).await {
            Ok(open) => open,
            Err(error) => return not_stored(&error, "open intents cannot be read"),
        };
        for intent in open {
            match host.under_way(&intent.plan, intent.started_at) {
                Some(UnderWay::GoesOn) => continue,
                Some(UnderWay::Over(over)) => {
                    let done = self.conclude(intent.plan, over, intent.execution_id, intent.started_at).await;
                    if let Err(error) = done {
                        not_stored(&error, "a change that is over could not be stored");
                    }
                    continue;
                }
                None => {}
            }
            let longest = intent::longest(&catalogue, &intent.plan.runbook_id);
            let left = intent.may_run_until.duration_since(self.clock.now());
            // An end further away than a plan can last was set by a clock that was ahead.
            let may_still_run = left.is_positive() && left <= longest;
            let Some(performed) = perform::look_back(&intent.plan, host).await else { continue };
            if performed.detail != Detail::Fixed && may_still_run {
                continue;
            }
            if let Err(error) = self.interrupted(intent, performed).await {
                not_stored(&error, "an open intent could not be reconciled");
            }
        }
    }

    async fn interrupted(
        &self,
        intent: executions::Open<Plan>,
        performed: perform::Performed,
    ) -> Result<(), StoreError> {
        tracing::warn!(
            incident_id = %intent.plan.incident_id, detail = %performed.detail,
            "a heal was interrupted by a restart; the machine was looked at"
        );
        if performed.detail == Detail::Fixed {
            let done = self.conclude(intent.plan, performed, intent.execution_id, intent.started_at).await;
            return done.map(drop);
        }
        let version = self.version(&intent.plan.runbook_id);
        self.record(move |recorder| {
            // Nothing came of it: the plan may be made again at once.
            cooldowns::clear(recorder.db, &intent.plan.cooldown_key())?;
            let ending = Ending { execution_id: &intent.execution_id, started: intent.started_at };
            recorder.interrupted(&intent.plan, version, &performed, &ending).map(drop)
        })
        .await
    }

    fn version(&self, runbook_id: &str) -> u32 {
        self.policy.borrow().catalogue.get(runbook_id).map_or(0, |runbook| runbook.version)
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

/// A line that operators grep for: once a decision, not with every round in which the plan waits.
fn log_match(rule_id: &str, incident_id: &IncidentId, target: &Target) {
    tracing::info!(%rule_id, %incident_id, host_id = %target.host_id, "L1 rule matched");
}

fn to_a_person(plan: Plan, reason: String, refused_by: Option<Guardrail>) -> Escalation {
    Escalation {
        incident_id: plan.incident_id,
        target: plan.target,
        urgency: plan.finding.severity,
        finding: plan.finding,
        rule_id: Some(plan.rule_id),
        reason,
        refused_by,
        suggested_runbook: Some(plan.runbook_id),
    }
}

/// Six bytes of the operating system's randomness.
pub(super) fn random() -> [u8; 6] {
    let id = uuid::Uuid::new_v4().into_bytes();
    // The first six bytes of a version 4 UUID are all random.
    [id[0], id[1], id[2], id[3], id[4], id[5]]
}
