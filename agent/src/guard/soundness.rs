//! Whether a plan makes sense at all: a runbook of this version, for this kind of machine, that can be verified,
//! and something that is known to be wrong.

use crate::model::Plan;
use msp_contracts::finding::WireStatus;
use msp_rules::{Catalogue, Phase, Runbook};

/// The plan's runbook; or in words why the plan makes no sense.
pub fn runbook<'c>(catalogue: &'c Catalogue, plan: &Plan) -> Result<&'c Runbook, String> {
    let Some(runbook) = catalogue.get(&plan.runbook_id) else {
        return Err(format!("runbook {} is not in this version", plan.runbook_id));
    };
    let platform = plan.target.platform;
    // A Windows runbook never runs on the appliance, nor the other way round: platform is part of the finding.
    if !runbook.acts_on(platform.as_str()) {
        return Err(format!(
            "runbook {} is for {}, {} is {}: a plan never crosses platforms",
            runbook.id,
            runbook.platform,
            plan.target.host_id,
            platform.as_str()
        ));
    }
    if !runbook.phases.contains_key(&Phase::Verify) {
        return Err(format!("runbook {} has no verify phase", runbook.id));
    }
    if plan.finding.status != WireStatus::Fail {
        return Err(format!(
            "rule {} matched although nothing is known to be wrong: only drift is healed",
            plan.rule_id
        ));
    }
    Ok(runbook)
}
