//! One transaction for what happened: evidence, the store's own rows, and what is owed to Central Command.
//!
//! Either all of it is on the disk or none of it is. Each function here is one thing that can happen.

pub mod orders;

use super::bundle::Draft;
use super::chain::{Signer, append};
use crate::act::perform::Performed;
use crate::model::{Escalation, Guardrail, Observation, Plan};
use crate::redact;
use crate::store::incidents::{self, Ongoing};
use crate::store::statuses::{self, Key};
use crate::store::{self, StoreError, executions, outbox};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api;
use msp_contracts::evidence::Target;
use msp_contracts::finding::{CheckStatus, Finding, Severity};
use msp_contracts::ids::{BundleId, IncidentId};
use msp_contracts::outcome::{Detail, Level};
use rusqlite::Connection;
use serde_json::json;

/// Who writes, under which policy, when.
pub struct Recorder<'a> {
    pub db: &'a Connection,
    pub signer: &'a Signer,
    /// SHA-256 of the baseline and the rules in force.
    pub policy_version: &'a str,
    pub now: Timestamp,
}

/// An execution that ends: its id, and when it began.
pub struct Ending<'a> {
    pub execution_id: &'a str,
    pub started: Timestamp,
}

/// How long a check may stay unknown before a person is asked to look.
pub const UNKNOWN_TOO_LONG: SignedDuration = SignedDuration::from_mins(15);

impl Recorder<'_> {
    fn prove(&self, draft: Draft) -> Result<BundleId, StoreError> {
        append(self.db, self.signer, self.policy_version, draft, self.now)
    }

    /// A check was made. Returns the incident to be dealt with, when there is trouble.
    pub fn observed(
        &self,
        target: &Target,
        observation: &Observation,
        finding: &Finding,
        new_id: IncidentId,
    ) -> Result<Option<Ongoing>, StoreError> {
        let key = Key::of(finding);
        let before = statuses::record(self.db, &key, observation.status, self.now)?;
        let same = before.as_ref().filter(|held| held.status == observation.status);
        if same.is_none() {
            let before = before.as_ref().map(|held| held.status);
            self.prove(Draft::status_change(target, finding, before, observation.status, self.now))?;
        }
        let mut ongoing = incidents::ongoing(self.db, &key)?;
        let unknown_too_long = observation.status == CheckStatus::Unknown
            && same.is_some_and(|held| self.now.duration_since(held.since) > UNKNOWN_TOO_LONG);
        match observation.status {
            CheckStatus::Drift => {
                // What a person was asked because nobody could look is over: now it can be told, and mended.
                if let Some(over) = ongoing.take_if(|ongoing| ongoing.unknown) {
                    self.resolve(&over.incident_id, Level::L3, "it can be told again")?;
                }
                ongoing.map_or_else(|| self.open(target, finding, new_id), Ok).map(Some)
            }
            CheckStatus::Unknown if unknown_too_long => {
                ongoing.map_or_else(|| self.open(target, finding, new_id), Ok).map(Some)
            }
            CheckStatus::Compliant => {
                if let Some(over) = ongoing {
                    self.compliant_again(&over)?;
                }
                Ok(None)
            }
            CheckStatus::Unsupported => {
                if let Some(over) = ongoing {
                    self.resolve(&over.incident_id, Level::L3, "no longer on this machine")?;
                }
                Ok(None)
            }
            CheckStatus::Unknown | CheckStatus::Pending => Ok(None),
        }
    }

    /// The check says compliant again. A change of ours that took its time has the merit, otherwise somebody else.
    fn compliant_again(&self, over: &Ongoing) -> Result<(), StoreError> {
        let ours = [Detail::Pending, Detail::RebootRequired, Detail::NoChange];
        let last = over.last.as_ref().filter(|last| ours.iter().any(|detail| detail.as_str() == last.detail));
        match last.and_then(|last| last.runbook_id.as_deref()) {
            Some(runbook_id) => self.resolve(&over.incident_id, Level::L1, runbook_id),
            None => self.resolve(&over.incident_id, Level::L3, "compliant again without the agent's doing"),
        }
    }

    /// A check of a machine was made completely: what it did not see this time is over, and forgotten.
    pub fn seen(&self, host_id: &str, check_type: &str, subjects: &[String]) -> Result<(), StoreError> {
        statuses::keep_only(self.db, host_id, check_type, subjects)?;
        for (id, key) in incidents::ongoing_on(self.db, host_id)? {
            if key.check_type == check_type && !subjects.contains(&key.subject) {
                self.resolve(&id, Level::L3, "no longer looked at: this part of the check is gone")?;
            }
        }
        Ok(())
    }

    /// These machines are looked after; what goes on with any other is over.
    pub fn looked_after(&self, host_ids: &[String]) -> Result<(), StoreError> {
        statuses::keep_hosts(self.db, host_ids)?;
        for host_id in incidents::hosts(self.db)?.iter().filter(|host_id| !host_ids.contains(host_id)) {
            for (id, _) in incidents::ongoing_on(self.db, host_id)? {
                self.resolve(&id, Level::L3, "the machine is no longer in the inventory")?;
            }
        }
        Ok(())
    }

    fn open(&self, target: &Target, finding: &Finding, incident_id: IncidentId) -> Result<Ongoing, StoreError> {
        incidents::open(self.db, &incident_id, target, finding, self.now)?;
        let incident = api::Incident {
            schema_version: SCHEMA_VERSION,
            incident_id: incident_id.clone(),
            incident_type: finding.check_type.clone(),
            severity: finding.severity,
            site_id: self.signer.site_id.clone(),
            host_id: target.host_id.clone(),
            host_name: target.name.clone(),
            platform: target.platform,
            raw_data: json!(finding),
            pattern_signature: pattern_signature(finding),
            created_at: self.now,
        };
        outbox::owe(self.db, outbox::Kind::Incident, incident_id.as_str(), api::INCIDENTS, &incident, self.now)?;
        let state = incidents::State::Open;
        Ok(Ongoing { incident_id, state, refusal: None, unknown: false, last: None })
    }

    fn resolve(&self, id: &IncidentId, tier: Level, action_taken: &str) -> Result<(), StoreError> {
        incidents::resolved(self.db, id, action_taken, self.now)?;
        let resolution = api::IncidentResolution {
            schema_version: SCHEMA_VERSION,
            resolution_tier: tier,
            action_taken: action_taken.to_owned(),
            resolved_at: self.now,
        };
        let path = api::INCIDENT_RESOLVE.replace("{id}", id.as_str());
        outbox::owe(self.db, outbox::Kind::Incident, &format!("{id}/resolve"), &path, &resolution, self.now)
    }

    /// A plan was carried out; what did not succeed goes to a person.
    pub fn healed(
        &self,
        plan: &Plan,
        runbook_version: u32,
        performed: &Performed,
        ending: &Ending<'_>,
    ) -> Result<BundleId, StoreError> {
        let evidence_id = self.prove(Draft::heal(plan, runbook_version, performed, ending.started, self.now))?;
        self.executed(plan, performed.detail, performed.error.as_deref(), evidence_id, ending)?;
        let result = json!({ "incident_id": plan.incident_id, "evidence_id": evidence_id });
        self.plan_over(plan, performed.detail, performed.error.as_deref(), result)?;
        match performed.detail {
            Detail::Fixed => self.resolve(&plan.incident_id, plan.level, &plan.runbook_id)?,
            Detail::Failed | Detail::RolledBack | Detail::Unsupported => {
                let why = performed.error.as_deref().unwrap_or("its check did not pass");
                let escalation = Escalation {
                    incident_id: plan.incident_id.clone(),
                    target: plan.target.clone(),
                    finding: plan.finding.clone(),
                    rule_id: Some(plan.rule_id.clone()),
                    reason: format!("{} ended {}: {why}", plan.runbook_id, performed.detail),
                    refused_by: None,
                    urgency: plan.finding.severity.max(Severity::High),
                    suggested_runbook: None,
                };
                self.ticket(&escalation, evidence_id)?;
            }
            // Under way, waiting for a restart, or the runbook sees no trouble: the next check says.
            Detail::Pending
            | Detail::RebootRequired
            | Detail::NoChange
            | Detail::Deferred
            | Detail::DryRun
            | Detail::Escalated => {}
        }
        Ok(evidence_id)
    }

    /// A restart broke off a heal, and nothing came of it. The incident stays open: the plan may be made again.
    pub fn interrupted(
        &self,
        plan: &Plan,
        runbook_version: u32,
        performed: &Performed,
        ending: &Ending<'_>,
    ) -> Result<BundleId, StoreError> {
        let evidence_id = self.prove(Draft::heal(plan, runbook_version, performed, ending.started, self.now))?;
        self.executed(plan, performed.detail, performed.error.as_deref(), evidence_id, ending)?;
        if let Some(asked) = &plan.order {
            let order_id = asked.order_id.as_str();
            store::orders::moved(
                self.db,
                order_id,
                store::orders::State::Accepted,
                performed.error.as_deref(),
                self.now,
            )?;
        }
        Ok(evidence_id)
    }

    /// A plan was judged and not carried out.
    pub fn refused(&self, plan: &Plan, by: Guardrail, reason: &str) -> Result<BundleId, StoreError> {
        let evidence_id = self.prove(Draft::refusal(plan, by, reason, self.now))?;
        incidents::refused(self.db, &plan.incident_id, by.as_str())?;
        let execution_id = crate::act::intent::new_execution_id();
        let intent = self.at_once(&execution_id, &plan.incident_id, &plan.target.host_id, plan.level);
        let intent = executions::Intent { rule_id: Some(&plan.rule_id), runbook_id: Some(&plan.runbook_id), ..intent };
        executions::intend(self.db, &intent)?;
        let ending = Ending { execution_id: &execution_id, started: self.now };
        self.executed(plan, by.detail(), Some(reason), evidence_id, &ending)?;
        Ok(evidence_id)
    }

    /// A person is asked, by a rule or because no rule could.
    pub fn escalated(&self, escalation: &Escalation) -> Result<BundleId, StoreError> {
        let evidence_id = self.prove(Draft::escalation(escalation, self.now))?;
        let execution_id = crate::act::intent::new_execution_id();
        let target = &escalation.target;
        let intent = self.at_once(&execution_id, &escalation.incident_id, &target.host_id, Level::L3);
        executions::intend(self.db, &executions::Intent { rule_id: escalation.rule_id.as_deref(), ..intent })?;
        let reason = redact::text(&escalation.reason);
        executions::complete(self.db, &execution_id, Detail::Escalated, Some(&reason), evidence_id, self.now)?;
        self.ticket(escalation, evidence_id)?;
        Ok(evidence_id)
    }

    /// What stayed compliant since the last roll-up, if anything did.
    pub fn rolled_up(&self, target: &Target) -> Result<Option<BundleId>, StoreError> {
        let entries = statuses::take_roll_up(self.db)?;
        if entries.is_empty() {
            return Ok(None);
        }
        self.prove(Draft::roll_up(target, entries, self.now)).map(Some)
    }

    /// An intent that ends in the moment in which it is stored: nothing is done on a machine.
    fn at_once<'i>(
        &self,
        execution_id: &'i str,
        incident_id: &'i IncidentId,
        host_id: &'i str,
        level: Level,
    ) -> executions::Intent<'i> {
        executions::Intent {
            execution_id,
            incident_id,
            host_id,
            plan: "null",
            level,
            rule_id: None,
            runbook_id: None,
            started_at: self.now,
            may_run_until: self.now,
        }
    }

    fn executed(
        &self,
        plan: &Plan,
        detail: Detail,
        error: Option<&str>,
        evidence_id: BundleId,
        ending: &Ending<'_>,
    ) -> Result<(), StoreError> {
        let error = error.map(redact::text);
        executions::complete(self.db, ending.execution_id, detail, error.as_deref(), evidence_id, self.now)?;
        let execution = api::Execution {
            schema_version: SCHEMA_VERSION,
            execution_id: ending.execution_id.to_owned(),
            incident_id: plan.incident_id.clone(),
            site_id: self.signer.site_id.clone(),
            host_id: plan.target.host_id.clone(),
            rule_id: Some(plan.rule_id.clone()),
            runbook_id: Some(plan.runbook_id.clone()),
            level: plan.level,
            outcome: detail.outcome(),
            detail,
            error,
            evidence_id,
            started_at: ending.started,
            completed_at: self.now,
        };
        outbox::owe(self.db, outbox::Kind::Execution, ending.execution_id, api::EXECUTIONS, &execution, self.now)
    }

    fn ticket(&self, escalation: &Escalation, evidence_id: BundleId) -> Result<(), StoreError> {
        incidents::escalated(self.db, &escalation.incident_id)?;
        let ticket_id = crate::act::intent::new_execution_id();
        let finding = &escalation.finding;
        let part = finding.subject.as_ref().map_or_else(String::new, |subject| format!(" ({subject})"));
        let ticket = api::Escalation {
            schema_version: SCHEMA_VERSION,
            ticket_id: ticket_id.clone(),
            incident_id: escalation.incident_id.clone(),
            site_id: self.signer.site_id.clone(),
            host_id: escalation.target.host_id.clone(),
            host_name: escalation.target.name.clone(),
            urgency: escalation.urgency,
            summary: format!("{}{part} on {} needs a person", finding.check_type, escalation.target.name),
            reason: redact::text(&escalation.reason),
            suggested_runbook: escalation.suggested_runbook.clone(),
            finding: json!(finding),
            evidence: vec![evidence_id],
            created_at: self.now,
        };
        outbox::owe(self.db, outbox::Kind::Escalation, &ticket_id, api::ESCALATIONS, &ticket, self.now)
    }
}

/// Incidents of the same check, part and kind of machine are the same kind of trouble.
fn pattern_signature(finding: &Finding) -> String {
    let subject = finding.subject.as_deref().unwrap_or("");
    let text = format!("{}|{}|{subject}", finding.platform.as_str(), finding.check_type);
    msp_contracts::canonical::sha256_hex(text.as_bytes())[..16].to_owned()
}

#[cfg(test)]
mod tests;
