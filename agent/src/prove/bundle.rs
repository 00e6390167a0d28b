//! From what happened to the words of the evidence. Everything passes redaction here, before it is signed.

use crate::act::perform::Performed;
use crate::model::{Escalation, Guardrail, Plan};
use crate::prove::record::orders::Over;
use crate::redact;
use jiff::Timestamp;
use msp_contracts::evidence::{ActionRecord, BundleKind, PlanRecord, RollUpEntry, Target};
use msp_contracts::finding::{CheckStatus, Finding};
use msp_contracts::hipaa;
use msp_contracts::ids::IncidentId;
use msp_contracts::order::{Order, OrderAction};
use msp_contracts::outcome::{Detail, Level};
use serde_json::{Value, json};

/// A bundle without its place in the chain.
#[derive(Debug, Clone)]
pub struct Draft {
    pub kind: BundleKind,
    pub target: Target,
    pub check: String,
    pub hipaa_controls: Vec<String>,
    pub incident_id: Option<IncidentId>,
    pub plan: Option<PlanRecord>,
    pub actions: Vec<ActionRecord>,
    pub pre_state: Value,
    pub post_state: Value,
    pub detail: Option<Detail>,
    pub error: Option<String>,
    pub rollback_available: bool,
    pub rollback_generation: Option<u64>,
    pub level: Option<Level>,
    pub roll_up: Vec<RollUpEntry>,
    pub started: Timestamp,
    pub completed: Timestamp,
}

/// What a finding says of a machine's state.
fn state(finding: &Finding) -> Value {
    json!({
        "status": finding.status,
        "actual": finding.actual,
        "desired": finding.desired,
        "diff": finding.diff,
        "details": finding.details,
    })
}

impl Draft {
    fn of_finding(kind: BundleKind, target: &Target, finding: &Finding, now: Timestamp) -> Self {
        Self {
            kind,
            target: target.clone(),
            check: check(finding),
            hipaa_controls: finding.hipaa_controls.clone(),
            incident_id: None,
            plan: None,
            actions: Vec::new(),
            pre_state: Value::Null,
            post_state: Value::Null,
            detail: None,
            error: None,
            rollback_available: false,
            rollback_generation: None,
            level: None,
            roll_up: Vec::new(),
            started: now,
            completed: now,
        }
    }

    /// A check's status changed. Both states say it in the wire's word and, as `detail`, in ours.
    pub fn status_change(
        target: &Target,
        finding: &Finding,
        before: Option<CheckStatus>,
        after: CheckStatus,
        now: Timestamp,
    ) -> Self {
        let mut post_state = state(finding);
        post_state["detail"] = after.as_str().into();
        Self {
            pre_state: json!({ "status": before.map(CheckStatus::on_the_wire), "detail": before }),
            post_state,
            ..Self::of_finding(BundleKind::StatusChange, target, finding, now)
        }
        .redacted()
    }

    /// A plan was carried out.
    pub fn heal(plan: &Plan, runbook_version: u32, performed: &Performed, started: Timestamp, now: Timestamp) -> Self {
        let mut draft = Self::of_finding(BundleKind::Heal, &plan.target, &plan.finding, now);
        draft.hipaa_controls.push(hipaa::incident_response().paragraph.to_owned());
        Self {
            incident_id: Some(plan.incident_id.clone()),
            plan: Some(record(plan, Some(runbook_version), plan.because())),
            actions: performed.actions.clone(),
            pre_state: state(&plan.finding),
            post_state: performed.post_state.clone(),
            detail: Some(performed.detail),
            error: performed.error.clone(),
            rollback_available: performed.rollback_available,
            rollback_generation: performed.rollback_generation,
            level: Some(plan.level),
            started,
            ..draft
        }
        .redacted()
    }

    /// A plan was judged and not carried out.
    pub fn refusal(plan: &Plan, by: Guardrail, reason: &str, now: Timestamp) -> Self {
        let refused_by = Some(by.as_str().to_owned());
        Self {
            incident_id: Some(plan.incident_id.clone()),
            plan: Some(PlanRecord { refused_by, ..record(plan, None, reason.to_owned()) }),
            pre_state: state(&plan.finding),
            detail: Some(by.detail()),
            level: Some(plan.level),
            ..Self::of_finding(BundleKind::Refusal, &plan.target, &plan.finding, now)
        }
        .redacted()
    }

    /// A person was asked.
    pub fn escalation(escalation: &Escalation, now: Timestamp) -> Self {
        let finding = &escalation.finding;
        let mut draft = Self::of_finding(BundleKind::Escalation, &escalation.target, finding, now);
        draft.hipaa_controls.push(hipaa::incident_response().paragraph.to_owned());
        Self {
            incident_id: Some(escalation.incident_id.clone()),
            plan: Some(PlanRecord {
                rule_id: escalation.rule_id.clone(),
                runbook_id: escalation.suggested_runbook.clone(),
                runbook_version: None,
                parameters: Value::Null,
                reason: escalation.reason.clone(),
                refused_by: escalation.refused_by.map(|by| by.as_str().to_owned()),
            }),
            pre_state: state(finding),
            detail: Some(Detail::Escalated),
            level: Some(Level::L3),
            ..draft
        }
        .redacted()
    }

    /// An order was carried out, or was not. `asked` is what it asked for, as it was signed.
    pub fn order(about: &Target, asked: Value, order: Option<&Order>, over: &Over<'_>, now: Timestamp) -> Self {
        Self {
            kind: BundleKind::Order,
            target: about.clone(),
            check: "order".to_owned(),
            hipaa_controls: vec![hipaa::incident_response().paragraph.to_owned()],
            incident_id: None,
            plan: Some(PlanRecord {
                rule_id: None,
                runbook_id: match order.map(|order| &order.action) {
                    Some(OrderAction::RunRunbook { runbook_id, .. }) => Some(runbook_id.clone()),
                    _ => None,
                },
                runbook_version: None,
                refused_by: None,
                parameters: asked,
                reason: order.map_or_else(
                    || "an order that does not verify".to_owned(),
                    |order| format!("order {} by {}: {}", order.order_id, order.issued_by, order.reason),
                ),
            }),
            actions: Vec::new(),
            pre_state: Value::Null,
            post_state: json!({ "order": over.state, "result": over.result }),
            detail: Some(over.detail),
            error: over.error.map(str::to_owned),
            rollback_available: false,
            rollback_generation: None,
            level: Some(Level::L3),
            roll_up: Vec::new(),
            started: order.map_or(now, |order| order.stamp.issued.min(now)),
            completed: now,
        }
        .redacted()
    }

    /// What stayed compliant since the last roll-up.
    pub fn roll_up(target: &Target, entries: Vec<RollUpEntry>, now: Timestamp) -> Self {
        let started = entries.iter().map(|entry| entry.first).min().unwrap_or(now);
        let mut paragraphs: Vec<String> = entries
            .iter()
            .flat_map(|entry| hipaa::paragraphs(entry.check.split('/').next().unwrap_or_default()))
            .collect();
        paragraphs.sort();
        paragraphs.dedup();
        Self {
            kind: BundleKind::RollUp,
            target: target.clone(),
            check: "roll_up".to_owned(),
            hipaa_controls: paragraphs,
            incident_id: None,
            plan: None,
            actions: Vec::new(),
            pre_state: Value::Null,
            post_state: Value::Null,
            detail: None,
            error: None,
            rollback_available: false,
            rollback_generation: None,
            level: None,
            roll_up: entries,
            started,
            completed: now,
        }
    }

    fn redacted(mut self) -> Self {
        redact::value(&mut self.pre_state);
        redact::value(&mut self.post_state);
        for action in &mut self.actions {
            redact::value(&mut action.report);
            action.error = action.error.as_deref().map(redact::text);
        }
        if let Some(plan) = &mut self.plan {
            redact::value(&mut plan.parameters);
            plan.reason = redact::text(&plan.reason);
        }
        self.error = self.error.as_deref().map(redact::text);
        self
    }
}

/// The check as evidence names it: with its part, where it has parts.
fn check(finding: &Finding) -> String {
    finding
        .subject
        .as_ref()
        .map_or_else(|| finding.check_type.clone(), |subject| format!("{}/{subject}", finding.check_type))
}

fn record(plan: &Plan, runbook_version: Option<u32>, reason: String) -> PlanRecord {
    PlanRecord {
        rule_id: Some(plan.rule_id.clone()),
        runbook_id: Some(plan.runbook_id.clone()),
        runbook_version,
        parameters: Value::Object(plan.parameters.clone()),
        reason,
        refused_by: None,
    }
}
