//! Intent before action: a plan is stored, with its cooldown, before anything is sent to a machine.
//!
//! After a restart an intent without an outcome is looked at, never simply done again: until
//! `may_run_until` the phase may still be running on the machine.

use crate::model::Plan;
use crate::store::{StoreError, cooldowns, executions, orders};
use jiff::{SignedDuration, Timestamp};
use msp_rules::{Catalogue, Phase};
use rusqlite::Connection;
use uuid::Uuid;

/// How long past its timeout a remote phase is taken to be running still: shutting it down takes time too.
const GRACE: SignedDuration = SignedDuration::from_secs(15);

/// A new execution's id.
pub fn new_execution_id() -> String {
    Uuid::new_v4().to_string()
}

/// How long carrying out a runbook may take: remediate, verify, and undo with another verify.
pub fn longest(catalogue: &Catalogue, runbook_id: &str) -> SignedDuration {
    let phases = catalogue.get(runbook_id).map(|runbook| &runbook.phases);
    let timeout = |phase| phases.and_then(|phases| phases.get(&phase)).map_or(0, |bounds| bounds.timeout_seconds);
    let [remediate, verify, undo] = [Phase::Remediate, Phase::Verify, Phase::Undo].map(timeout);
    SignedDuration::from_secs(i64::from(remediate) + 2 * i64::from(verify) + i64::from(undo)) + GRACE
}

/// Stores the intent to carry out `plan`, in the transaction in which it was judged, and returns the execution's id.
///
/// # Errors
/// When it could not be stored: then nothing may be done.
pub fn intend(db: &Connection, catalogue: &Catalogue, plan: &Plan, now: Timestamp) -> Result<String, StoreError> {
    let execution_id = new_execution_id();
    let text = serde_json::to_string(plan)
        .map_err(|error| StoreError::Form { what: "an intent", detail: error.to_string() })?;
    let may_run_until = now + longest(catalogue, &plan.runbook_id);
    let cooldown = SignedDuration::from_secs(plan.cooldown_seconds.try_into().unwrap_or(i64::from(u32::MAX)));
    cooldowns::set(db, &plan.cooldown_key(), now + cooldown)?;
    let intent = executions::Intent {
        execution_id: &execution_id,
        incident_id: &plan.incident_id,
        host_id: &plan.target.host_id,
        plan: &text,
        level: plan.level,
        rule_id: Some(&plan.rule_id),
        runbook_id: Some(&plan.runbook_id),
        started_at: now,
        may_run_until,
    };
    if let Some(asked) = &plan.order {
        orders::moved(db, asked.order_id.as_str(), orders::State::Begun, None, now)?;
    }
    executions::intend(db, &intent)?;
    Ok(execution_id)
}
