//! The one judge: every plan passes here before anything is done, whoever made it.
//!
//! First what no waiting cures: such a plan goes to a person. Then what holds it back for now, in the order of
//! weight: somebody's word (kill switch, healing switched off), what may still be running, trust in clock, window and
//! server for a disruptive plan, then the limits, and last the dry run, so that it names what would really be done.
//! Each guardrail is a file: a pure function over values. The values are read in the transaction that stores
//! the intent of an allowed plan, so that no limit is passed by two plans that were judged at the same time.

mod allowlist;
mod circuit_breaker;
pub mod clock_sanity;
mod cooldown;
pub mod dry_run;
mod flapping;
mod freshness;
mod kill_switch;
mod policy;
mod rate_limit;
mod soundness;
pub mod window;

use crate::model::{Guardrail, Plan, Verdict};
use crate::store::statuses::Key;
use crate::store::{StoreError, executions};
use jiff::Timestamp;
use msp_rules::{Catalogue, Runbook};
pub use policy::Policy;
use rusqlite::Connection;

/// A guardrail and what it has against a plan, in words; `None` when it has nothing.
type Objection = Option<(Guardrail, String)>;

/// Whether `plan` may be carried out now.
///
/// # Errors
/// When the store cannot be read: then nothing is allowed.
pub fn judge(
    db: &Connection,
    policy: &Policy,
    catalogue: &Catalogue,
    plan: &Plan,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let runbook = match soundness::runbook(catalogue, plan) {
        Ok(runbook) => runbook,
        Err(reason) => return Ok(Verdict::Escalate { by: Guardrail::Soundness, reason }),
    };
    if let Some((by, reason)) = never(db, policy, runbook, plan, now)? {
        return Ok(Verdict::Escalate { by, reason });
    }
    if let Some((by, reason)) = not_now(db, policy, runbook, plan, now)? {
        return Ok(Verdict::Refuse { by, reason });
    }
    Ok(Verdict::Allow)
}

/// What no waiting cures.
fn never(
    db: &Connection,
    policy: &Policy,
    runbook: &Runbook,
    plan: &Plan,
    now: Timestamp,
) -> Result<Objection, StoreError> {
    if let Some(reason) = allowlist::objection(&policy.runbook_allowlist, &runbook.id) {
        return Ok(Some((Guardrail::Allowlist, reason)));
    }
    let undone = flapping::objection(db, policy.flapping, plan, now)?;
    Ok(undone.map(|reason| (Guardrail::Flapping, reason)))
}

/// What may be over later.
fn not_now(
    db: &Connection,
    policy: &Policy,
    runbook: &Runbook,
    plan: &Plan,
    now: Timestamp,
) -> Result<Objection, StoreError> {
    if let Some(reason) = kill_switch::objection(db)? {
        return Ok(Some((Guardrail::KillSwitch, reason)));
    }
    if !policy.healing_enabled {
        let reason = "healing is switched off (healing_enabled: false)".to_owned();
        return Ok(Some((Guardrail::HealingEnabled, reason)));
    }
    if executions::any_open(db, &Key::of(&plan.finding))? {
        let reason = "an earlier plan for this may still be running on the machine".to_owned();
        return Ok(Some((Guardrail::OpenIntent, reason)));
    }
    if runbook.disruptive >= policy.disruptive_from
        && let Some(objection) = not_disruptive_now(db, policy, runbook, plan, now)?
    {
        return Ok(Some(objection));
    }
    if let Some(reason) = circuit_breaker::objection(db, policy.breaker, plan, now)? {
        return Ok(Some((Guardrail::CircuitBreaker, reason)));
    }
    if let Some(reason) = cooldown::objection(db, plan, now)? {
        return Ok(Some((Guardrail::Cooldown, reason)));
    }
    if let Some(reason) = rate_limit::objection(db, policy.limits, plan, now)? {
        return Ok(Some((Guardrail::RateLimit, reason)));
    }
    let dry = dry_run::in_force(db, policy.dry_run)?;
    Ok(dry.map(|reason| (Guardrail::DryRun, reason)))
}

/// What holds back a plan that disturbs people, and no other.
fn not_disruptive_now(
    db: &Connection,
    policy: &Policy,
    runbook: &Runbook,
    plan: &Plan,
    now: Timestamp,
) -> Result<Objection, StoreError> {
    if let Err(insane) = clock_sanity::of(db, now)? {
        return Ok(Some((Guardrail::ClockSanity, format!("{} disturbs people, and {insane}", runbook.id))));
    }
    if let Some(reason) = window::objection(policy.window.as_ref(), runbook, now) {
        return Ok(Some((Guardrail::MaintenanceWindow, reason)));
    }
    let stale = freshness::objection(db, runbook, plan, now)?;
    Ok(stale.map(|reason| (Guardrail::Freshness, reason)))
}

#[cfg(test)]
mod tests;
