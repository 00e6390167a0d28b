//! The one judge: every plan passes here before anything is done, whoever made it.
//!
//! The order of the questions is the order of their weight: whether the runbook may touch this machine at
//! all, whether healing is on, whether the machine was left in peace long enough, whether this is a dry run.

use crate::model::{Plan, Verdict};
use crate::store::{StoreError, cooldowns};
use jiff::Timestamp;
use msp_contracts::finding::Platform;
use msp_contracts::outcome::Detail;
use msp_rules::{Catalogue, Phase};
use rusqlite::Connection;

/// What the configuration allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub healing_enabled: bool,
    pub dry_run: bool,
}

/// Whether `plan` may be carried out now.
///
/// # Errors
/// When the store cannot be read: then nothing is allowed.
pub fn judge(
    db: &Connection,
    policy: Policy,
    catalogue: &Catalogue,
    plan: &Plan,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let Some(runbook) = catalogue.get(&plan.runbook_id) else {
        return Ok(Verdict::Escalate { reason: format!("runbook {} is not in this version", plan.runbook_id) });
    };
    // A Windows runbook never runs on the appliance, nor the other way round: platform is part of the finding.
    if plan.target.platform != Platform::Windows || runbook.platform != plan.target.platform.as_str() {
        return Ok(Verdict::Escalate {
            reason: format!(
                "runbook {} is for {}, {} is {}: a plan never crosses platforms",
                runbook.id,
                runbook.platform,
                plan.target.host_id,
                plan.target.platform.as_str()
            ),
        });
    }
    if !runbook.phases.contains_key(&Phase::Verify) {
        return Ok(Verdict::Escalate { reason: format!("runbook {} has no verify phase", runbook.id) });
    }
    let refuse = |detail, reason| Ok(Verdict::Refuse { detail, reason });
    if !policy.healing_enabled {
        return refuse(Detail::Deferred, "healing is switched off (healing_enabled: false)".to_owned());
    }
    if let Some(until) = cooldowns::until(db, &plan.cooldown_key())?
        && now < until
    {
        return refuse(
            Detail::Deferred,
            format!("{} acted on this a short while ago: cooldown until {until}", plan.rule_id),
        );
    }
    if policy.dry_run {
        return refuse(Detail::DryRun, "this agent runs dry (dry_run: true)".to_owned());
    }
    Ok(Verdict::Allow)
}
