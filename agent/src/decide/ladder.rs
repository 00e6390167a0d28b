//! The ladder: level 1 rules first; what no rule covers, or what a rule cannot carry out, goes to a person.
//!
//! Level 1 takes no network and no model. Whoever follows the decision logs it, once.

use crate::model::{Decision, Escalation, Plan};
use msp_contracts::evidence::Target;
use msp_contracts::finding::{Finding, Severity, WireStatus};
use msp_contracts::ids::IncidentId;
use msp_contracts::outcome::Level;
use msp_rules::{Facts, Match, ResolvedAction, RuleSet, View};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The runbook that restarts a unit of the appliance.
const UNIT_RUNBOOK: &str = "RB-HOST-SVC-001";

fn to_rules(severity: Severity) -> msp_rules::Severity {
    match severity {
        Severity::Low => msp_rules::Severity::Low,
        Severity::Medium => msp_rules::Severity::Medium,
        Severity::High => msp_rules::Severity::High,
        Severity::Critical => msp_rules::Severity::Critical,
    }
}

fn from_rules(severity: msp_rules::Severity) -> Severity {
    match severity {
        msp_rules::Severity::Low => Severity::Low,
        msp_rules::Severity::Medium => Severity::Medium,
        msp_rules::Severity::High => Severity::High,
        msp_rules::Severity::Critical => Severity::Critical,
    }
}

/// The flat view that a rule sees of a finding.
pub fn view(finding: &Finding) -> View {
    let status = match finding.status {
        WireStatus::Pass => "pass",
        WireStatus::Fail => "fail",
        WireStatus::Warning => "warning",
        WireStatus::Error => "error",
    };
    let pre_state = match &finding.actual {
        Value::Object(actual) => actual.clone(),
        _ => Map::new(),
    };
    View::new(Facts {
        check_type: finding.check_type.clone(),
        incident_type: finding.check_type.clone(),
        severity: to_rules(finding.severity),
        platform: finding.platform.as_str().to_owned(),
        host_id: finding.host_id.clone(),
        status: status.to_owned(),
        drift_detected: finding.status == WireStatus::Fail,
        recommended_action: finding.recommended_action.clone(),
        pre_state,
        details: finding.details.clone(),
    })
}

/// What to do about a finding.
pub fn decide(rules: &RuleSet, incident_id: &IncidentId, target: &Target, finding: &Finding) -> Decision {
    let view = view(finding);
    let Some(matched) = rules.find(&view) else {
        let reason = match (finding.status, finding.details.get("reason").and_then(Value::as_str)) {
            (WireStatus::Error, Some(reason)) => {
                format!("{} could not be told for too long: {reason}", finding.check_type)
            }
            _ => format!("no rule covers {} on {}", finding.check_type, target.platform.as_str()),
        };
        return escalate(incident_id, target, finding, None, reason, finding.severity, None);
    };
    carry_out(&matched, &view, incident_id, target, finding)
}

fn carry_out(
    matched: &Match<'_>,
    view: &View,
    incident_id: &IncidentId,
    target: &Target,
    finding: &Finding,
) -> Decision {
    let rule_id = matched.rule.id.clone();
    let ask = |reason: String, urgency, runbook| {
        escalate(incident_id, target, finding, Some(rule_id.clone()), reason, urgency, runbook)
    };
    let run = |runbook_id: String, parameters: BTreeMap<String, String>| {
        Decision::Run(Plan {
            incident_id: incident_id.clone(),
            target: target.clone(),
            finding: finding.clone(),
            rule_id: rule_id.clone(),
            runbook_id,
            parameters: parameters.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
            cooldown_seconds: matched.rule.cooldown_seconds.into(),
            level: Level::L1,
            order: None,
        })
    };
    match matched.resolve(view) {
        Ok(ResolvedAction::RunRunbook { runbook_id, parameters, .. }) => run(runbook_id, parameters),
        // On a Windows server the rules have made it a runbook already.
        Ok(ResolvedAction::RestartService { service }) => {
            run(UNIT_RUNBOOK.to_owned(), BTreeMap::from([("service".to_owned(), service)]))
        }
        Ok(ResolvedAction::Escalate { reason, urgency, runbook_id }) => ask(reason, from_rules(urgency), runbook_id),
        Err(error) => ask(error.to_string(), finding.severity, None),
    }
}

fn escalate(
    incident_id: &IncidentId,
    target: &Target,
    finding: &Finding,
    rule_id: Option<String>,
    reason: String,
    urgency: Severity,
    suggested_runbook: Option<String>,
) -> Decision {
    Decision::Escalate(Escalation {
        incident_id: incident_id.clone(),
        target: target.clone(),
        finding: finding.clone(),
        rule_id,
        reason,
        refused_by: None,
        urgency,
        suggested_runbook,
    })
}
