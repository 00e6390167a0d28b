//! What was decided: run a runbook, or ask a person.
//!
//! A plan only names a runbook and parameters that the runbook's schema admits; nothing in it is a command.

use super::Guardrail;
use jiff::Timestamp;
use msp_contracts::evidence::Target;
use msp_contracts::finding::{Finding, Severity};
use msp_contracts::ids::{IncidentId, OrderId};
use msp_contracts::outcome::Level;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A runbook to run on one machine, because of one finding. Stored with its intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub incident_id: IncidentId,
    pub target: Target,
    pub finding: Finding,
    pub rule_id: String,
    pub runbook_id: String,
    pub parameters: Map<String, Value>,
    /// How long the same rule leaves the same subject of the same machine alone afterwards.
    pub cooldown_seconds: u64,
    pub level: Level,
    /// The order that asked for it; then `rule_id` is the order's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Asked>,
}

/// Who asked for a plan by an order, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    pub order_id: OrderId,
    pub issued_by: String,
    pub reason: String,
    /// Until when it may be carried out: the order's own word in the place of Central Command's freshness.
    pub execute_by: Timestamp,
}

impl Plan {
    /// What stands in the place of a rule's id where a person ran a runbook on the appliance.
    pub const BY_HAND: &str = "by-hand";

    /// In words, why this plan was made.
    pub fn because(&self) -> String {
        match &self.order {
            Some(order) => format!("order {} by {}: {}", order.order_id, order.issued_by, order.reason),
            None if self.rule_id == Self::BY_HAND => "a person ran it on the appliance".to_owned(),
            None => format!("rule {} matched", self.rule_id),
        }
    }

    /// What a cooldown is kept for: the rule, the machine and the part of it.
    pub fn cooldown_key(&self) -> String {
        // One observation tells of all units of the appliance: there the part is what the plan names.
        let named = || self.parameters.get("service").and_then(Value::as_str);
        let subject = self.finding.subject.as_deref().or_else(named).unwrap_or("");
        format!("{}|{}|{subject}", self.rule_id, self.target.host_id)
    }
}

/// A person is to be asked, and why.
#[derive(Debug, Clone)]
pub struct Escalation {
    pub incident_id: IncidentId,
    pub target: Target,
    pub finding: Finding,
    pub rule_id: Option<String>,
    pub reason: String,
    /// The guardrail that sent the plan to a person, when one did.
    pub refused_by: Option<Guardrail>,
    pub urgency: Severity,
    pub suggested_runbook: Option<String>,
}

/// What the ladder makes of a finding.
#[derive(Debug, Clone)]
pub enum Decision {
    Run(Plan),
    Escalate(Escalation),
}

/// What the guard says of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// Not now: `by` holds it back, and why.
    Refuse {
        by: Guardrail,
        reason: String,
    },
    /// Not by this agent: a person has to.
    Escalate {
        by: Guardrail,
        reason: String,
    },
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::{CheckKind, Observation};
    use msp_contracts::finding::Platform;
    use serde_json::json;

    /// A plan as level 1 makes it for a firewall profile that is off.
    pub fn plan() -> Plan {
        let target = Target { host_id: "192.0.2.7".into(), name: "FS01".into(), platform: Platform::Windows };
        let observation = Observation::drift(
            CheckKind::Firewall,
            Severity::High,
            json!({"firewall_enabled": false}),
            json!({"firewall_enabled": true}),
            vec!["profile Public is off".into()],
        )
        .detail("firewall_enabled", false);
        Plan {
            incident_id: IncidentId::from_random([1; 6]),
            finding: observation.finding(Platform::Windows, "192.0.2.7", "FS01"),
            target,
            rule_id: "L1-WIN-FIREWALL-001".into(),
            runbook_id: "RB-WIN-FIREWALL-001".into(),
            parameters: Map::new(),
            cooldown_seconds: 600,
            level: Level::L1,
            order: None,
        }
    }
}
