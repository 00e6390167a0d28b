//! The one judge: every plan passes here before anything is done, whoever made it.
//!
//! The order of the questions is the order of their weight: whether the runbook may touch this machine at
//! all, whether anything is known to be wrong, whether something may still be running there, whether healing is on, whether the machine was left in peace long enough, whether this is a dry run.

use crate::model::{Plan, Verdict};
use crate::store::statuses::Key;
use crate::store::{StoreError, cooldowns, executions};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::finding::{Platform, WireStatus};
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
    if plan.finding.status != WireStatus::Fail {
        return Ok(Verdict::Escalate {
            reason: format!(
                "rule {} matched although nothing is known to be wrong: only drift is healed",
                plan.rule_id
            ),
        });
    }
    let refuse = |detail, reason| Ok(Verdict::Refuse { detail, reason });
    let key = Key::of(&plan.finding);
    if executions::any_open(db, &key)? {
        return refuse(Detail::Deferred, "an earlier plan for this may still be running on the machine".to_owned());
    }
    if !policy.healing_enabled {
        return refuse(Detail::Deferred, "healing is switched off (healing_enabled: false)".to_owned());
    }
    // A cooldown that ends further away than it lasts was set by a clock that was ahead: it counts no more.
    let longest = SignedDuration::from_secs(plan.cooldown_seconds.try_into().unwrap_or(i64::MAX));
    if let Some(until) = cooldowns::until(db, &plan.cooldown_key())?
        && now < until
        && until.duration_since(now) <= longest
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::tests::plan;
    use crate::store::Store;

    const ALLOWS: Policy = Policy { healing_enabled: true, dry_run: false };

    async fn judged(policy: Policy, change: impl FnOnce(&mut Plan), cooldown: Option<&str>) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut plan = plan();
        change(&mut plan);
        let until: Option<Timestamp> = cooldown.map(|text| text.parse().unwrap());
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let verdict = store.write(move |db| {
            if let Some(until) = until {
                cooldowns::set(db, &plan.cooldown_key(), until)?;
            }
            judge(db, policy, &Catalogue::builtin().unwrap(), &plan, now)
        });
        verdict.await.unwrap()
    }

    fn said(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Allow => "",
            Verdict::Refuse { reason, .. } | Verdict::Escalate { reason } => reason,
        }
    }

    #[tokio::test]
    async fn a_windows_runbook_never_reaches_the_appliance_and_only_drift_is_healed() {
        assert_eq!(judged(ALLOWS, |_| {}, None).await, Verdict::Allow);
        for platform in [Platform::Nixos, Platform::Linux] {
            let verdict = judged(ALLOWS, |plan| plan.target.platform = platform, None).await;
            assert!(matches!(verdict, Verdict::Escalate { .. }) && said(&verdict).contains("never crosses platforms"));
        }
        for status in [WireStatus::Error, WireStatus::Warning, WireStatus::Pass] {
            let verdict = judged(ALLOWS, |plan| plan.finding.status = status, None).await;
            assert!(matches!(verdict, Verdict::Escalate { .. }) && said(&verdict).contains("only drift is healed"));
        }
        let verdict = judged(ALLOWS, |plan| plan.runbook_id = "RB-WIN-NOSUCH-001".into(), None).await;
        assert!(matches!(verdict, Verdict::Escalate { .. }), "{verdict:?}");
    }

    #[tokio::test]
    async fn a_cooldown_holds_for_its_time_and_one_from_a_clock_that_was_years_ahead_does_not() {
        let held = judged(ALLOWS, |_| {}, Some("2026-11-21T12:09:59Z")).await;
        assert!(said(&held).contains("cooldown until"), "{held:?}");
        assert_eq!(judged(ALLOWS, |_| {}, Some("2026-11-21T12:00:00Z")).await, Verdict::Allow);
        assert_eq!(judged(ALLOWS, |_| {}, Some("2036-01-01T00:00:00Z")).await, Verdict::Allow);
    }

    #[tokio::test]
    async fn switched_off_weighs_more_than_dry() {
        let both = Policy { healing_enabled: false, dry_run: true };
        assert!(matches!(judged(both, |_| {}, None).await, Verdict::Refuse { detail: Detail::Deferred, .. }));
    }
}
