//! The judge on a store of its own: what each guardrail holds back, for how long, and in which order they speak.

use super::circuit_breaker::Breaker;
use super::clock_sanity::BUILT;
use super::flapping::Flapping;
use super::rate_limit::Limits;
use super::*;
use crate::config::window::Window;
use crate::model::Asked;
use crate::model::plan::tests::plan;
use crate::store::{cooldowns, executions, facts, incidents, open_or_begin};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, civil};
use msp_contracts::finding::{Platform, WireStatus};
use msp_contracts::ids::{BundleId, IncidentId, OrderId};
use msp_contracts::outcome::Detail;
use msp_rules::Disruption;

/// A state, a policy that allows everything, and noon of a day on which the clock is sane.
struct Place {
    folder: tempfile::TempDir,
    db: Connection,
    policy: Policy,
    noon: Timestamp,
    incidents: u8,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = open_or_begin(&folder.path().join("agent.db")).unwrap();
        let policy = Policy {
            healing_enabled: true,
            dry_run: false,
            runbook_allowlist: Vec::new(),
            disruptive_from: Disruption::High,
            window: None,
            limits: Limits { per_host: 12, per_site: 60 },
            flapping: Flapping { limit: 3, within: SignedDuration::from_hours(24) },
            breaker: Breaker { failures: 3, pause: SignedDuration::from_mins(30) },
        };
        let day = BUILT.to_zoned(TimeZone::UTC).date() + 30.days();
        let noon = TimeZone::UTC.to_timestamp(day.at(12, 0, 0, 0)).unwrap();
        Self { folder, db, policy, noon, incidents: 0 }
    }

    fn restart(&mut self) {
        self.db = open_or_begin(&self.folder.path().join("agent.db")).unwrap();
    }

    fn at(&self, minutes: i64) -> Timestamp {
        self.noon + SignedDuration::from_mins(minutes)
    }

    fn judge(&self, plan: &Plan, minutes: i64) -> Verdict {
        judge(&self.db, &self.policy, &Catalogue::builtin().unwrap(), plan, self.at(minutes)).unwrap()
    }

    fn set(&self, fact: &str, value: &str) {
        facts::set(&self.db, fact, value).unwrap();
    }

    /// A heal like `plan` that was begun and, unless `ended` is none, ended at once.
    fn heal(&mut self, plan: &Plan, minutes: i64, ended: Option<Detail>) {
        self.incidents += 1;
        let (incident_id, at) = (IncidentId::from_random([self.incidents; 6]), self.at(minutes));
        incidents::open(&self.db, &incident_id, &plan.target, &plan.finding, at).unwrap();
        let execution_id = self.incidents.to_string();
        let intent = executions::Intent {
            execution_id: &execution_id,
            incident_id: &incident_id,
            host_id: &plan.target.host_id,
            plan: "{}",
            level: plan.level,
            rule_id: Some(&plan.rule_id),
            runbook_id: Some(&plan.runbook_id),
            started_at: at,
            may_run_until: at,
        };
        executions::intend(&self.db, &intent).unwrap();
        if let Some(detail) = ended {
            let evidence = BundleId { day: civil::date(2026, 11, 21), number: self.incidents.into() };
            executions::complete(&self.db, &execution_id, detail, None, evidence, at).unwrap();
            incidents::resolved(&self.db, &incident_id, "", at).unwrap();
        }
    }
}

/// A plan for the service `subject` of the machine `host_id`.
fn about(host_id: &str, subject: &str) -> Plan {
    let mut plan = plan();
    plan.target.host_id = host_id.into();
    plan.finding.host_id = host_id.into();
    plan.finding.subject = Some(subject.into());
    plan
}

fn disruptive(place: &mut Place) -> Plan {
    place.policy.disruptive_from = Disruption::Medium;
    place.set(facts::FRESH_UNTIL, &place.at(60).to_string());
    plan()
}

fn refused(verdict: &Verdict) -> (Guardrail, &str) {
    match verdict {
        Verdict::Refuse { by, reason } => (*by, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_windows_runbook_never_reaches_the_appliance_and_only_drift_is_healed() {
    let place = Place::new();
    let never = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        match place.judge(&plan, 0) {
            Verdict::Escalate { by: Guardrail::Soundness, reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(place.judge(&plan(), 0), Verdict::Allow);
    for platform in [Platform::Nixos, Platform::Linux] {
        assert!(never(&|plan| plan.target.platform = platform).contains("never crosses platforms"));
    }
    for runbook_id in ["RB-HOST-SVC-001", "RB-HOST-FIREWALL-001"] {
        assert!(never(&|plan| plan.runbook_id = runbook_id.into()).contains("never crosses platforms"));
        for platform in [Platform::Nixos, Platform::Linux] {
            let mut plan = plan();
            (plan.runbook_id, plan.target.platform) = (runbook_id.into(), platform);
            assert_eq!(place.judge(&plan, 0), Verdict::Allow, "{runbook_id} {platform:?}");
        }
    }
    for status in [WireStatus::Error, WireStatus::Warning, WireStatus::Pass] {
        assert!(never(&|plan| plan.finding.status = status).contains("only drift is healed"));
    }
    assert!(never(&|plan| plan.runbook_id = "RB-WIN-NOSUCH-001".into()).contains("not in this version"));
}

#[test]
fn what_the_site_does_not_allow_goes_to_a_person() {
    let mut place = Place::new();
    place.policy.runbook_allowlist = vec!["RB-WIN-FIREWALL-001".into()];
    assert_eq!(place.judge(&plan(), 0), Verdict::Allow);
    place.policy.runbook_allowlist = vec!["RB-WIN-SVC-001".into(), "rb-win-firewall-001".into()];
    let verdict = place.judge(&plan(), 0);
    assert!(matches!(verdict, Verdict::Escalate { by: Guardrail::Allowlist, .. }), "{verdict:?}");
}

#[test]
fn the_kill_switch_outlives_a_restart_and_outweighs_every_setting() {
    let mut place = Place::new();
    place.set(facts::KILL_SWITCH, "printers burn");
    place.set(facts::DRY_RUN, "true");
    place.policy.healing_enabled = false;
    place.restart();
    let verdict = place.judge(&plan(), 0);
    assert_eq!(refused(&verdict), (Guardrail::KillSwitch, "the kill switch is engaged: printers burn"));
    place.db.execute("DELETE FROM facts WHERE name = 'kill_switch'", []).unwrap();
    assert_eq!(refused(&place.judge(&plan(), 0)).0, Guardrail::HealingEnabled, "switched off weighs more than dry");
}

#[test]
fn an_order_s_dry_run_outweighs_the_configuration_either_way() {
    let mut place = Place::new();
    place.set(facts::DRY_RUN, "true");
    assert_eq!(refused(&place.judge(&plan(), 0)).0, Guardrail::DryRun);
    place.policy.dry_run = true;
    place.set(facts::DRY_RUN, "false");
    assert_eq!(place.judge(&plan(), 0), Verdict::Allow);
    place.set(facts::DRY_RUN, "perhaps");
    let judged = judge(&place.db, &place.policy, &Catalogue::builtin().unwrap(), &plan(), place.noon);
    assert!(judged.is_err(), "what cannot be read allows nothing: {judged:?}");
}

#[test]
fn a_cooldown_holds_for_its_time_and_one_from_a_clock_that_was_years_ahead_does_not() {
    let place = Place::new();
    let plan = plan();
    let until = |until| cooldowns::set(&place.db, &plan.cooldown_key(), until).unwrap();
    until(place.at(10));
    assert!(refused(&place.judge(&plan, 0)).1.contains("cooldown until"));
    assert_eq!(place.judge(&plan, 10), Verdict::Allow);
    until(place.at(60 * 24 * 4000));
    assert_eq!(place.judge(&plan, 0), Verdict::Allow);
}

#[test]
fn what_disturbs_people_waits_for_the_window_and_the_rest_does_not() {
    let mut place = Place::new();
    let plan = disruptive(&mut place);
    let clock = |hour| civil::time(hour, 0, 0, 0);
    let days = civil::Weekday::Monday.cycle_forward().take(7).collect();
    place.policy.window = Some(Window { start: clock(12), end: clock(13), days, zone: TimeZone::UTC });
    assert_eq!(place.judge(&plan, 0), Verdict::Allow);
    place.set(facts::FRESH_UNTIL, &place.at(120).to_string());
    let verdict = place.judge(&plan, 60);
    assert_eq!(refused(&verdict).0, Guardrail::MaintenanceWindow);
    assert!(refused(&verdict).1.contains("12:00 UTC"), "{verdict:?}");
    place.policy.disruptive_from = Disruption::High;
    assert_eq!(place.judge(&plan, 60), Verdict::Allow, "RB-WIN-FIREWALL-001 disturbs little");
}

#[test]
fn what_disturbs_people_needs_a_fresh_word_of_central_command_or_an_order_in_its_time() {
    let mut place = Place::new();
    let mut plan = disruptive(&mut place);
    assert_eq!(place.judge(&plan, 59), Verdict::Allow);
    assert_eq!(refused(&place.judge(&plan, 60)).0, Guardrail::Freshness);
    plan.order = Some(Asked {
        order_id: OrderId::from_random([1; 6]),
        issued_by: "ada".to_owned(),
        reason: "a test".to_owned(),
        execute_by: place.at(90),
    });
    assert_eq!(place.judge(&plan, 60), Verdict::Allow, "an order runs without Central Command");
    assert_eq!(refused(&place.judge(&plan, 90)).0, Guardrail::Freshness);
    plan.order = None;
    place.db.execute("DELETE FROM facts WHERE name = 'fresh_until'", []).unwrap();
    assert!(refused(&place.judge(&plan, 0)).1.contains("never heard"));
    place.policy.disruptive_from = Disruption::High;
    assert_eq!(place.judge(&plan, 0), Verdict::Allow, "what disturbs little is healed while Central Command is away");
}

#[test]
fn with_an_insane_clock_nothing_that_disturbs_people_is_done() {
    let mut place = Place::new();
    let plan = disruptive(&mut place);
    place.set(facts::CLOCK_AHEAD_SECONDS, "301");
    assert_eq!(refused(&place.judge(&plan, 0)).0, Guardrail::ClockSanity);
    place.set(facts::CLOCK_AHEAD_SECONDS, "-2");
    place.set(facts::NEWEST_TIME, &place.at(6).to_string());
    assert_eq!(refused(&place.judge(&plan, 0)).0, Guardrail::ClockSanity);
    assert_eq!(place.judge(&plan, 1), Verdict::Allow);
    place.policy.disruptive_from = Disruption::High;
    assert_eq!(place.judge(&plan, 0), Verdict::Allow);
}

#[test]
fn a_full_hour_of_a_machine_or_of_the_site_lets_nothing_more_through_also_after_a_restart() {
    let mut place = Place::new();
    place.policy.limits = Limits { per_host: 2, per_site: 3 };
    place.heal(&about("192.0.2.7", "a"), 0, Some(Detail::Fixed));
    place.heal(&about("192.0.2.7", "b"), 1, None);
    // A clock that was ahead wrote this one: it does not count.
    place.heal(&about("192.0.2.8", "c"), 60 * 24 * 4000, Some(Detail::Fixed));
    place.restart();
    let verdict = place.judge(&about("192.0.2.7", "d"), 59);
    assert!(refused(&verdict).1.contains("heals_per_host_per_hour: 2"), "{verdict:?}");
    assert_eq!(place.judge(&about("192.0.2.8", "d"), 59), Verdict::Allow);
    assert_eq!(place.judge(&about("192.0.2.7", "d"), 60), Verdict::Allow, "the first is an hour ago");
    place.heal(&about("192.0.2.8", "e"), 2, Some(Detail::Fixed));
    let verdict = place.judge(&about("192.0.2.9", "d"), 59);
    assert!(refused(&verdict).1.contains("heals_per_site_per_hour: 3"), "{verdict:?}");
}

#[test]
fn what_keeps_coming_undone_goes_to_a_person_who_is_told_so() {
    let mut place = Place::new();
    let dns = about("192.0.2.7", "DNS");
    for minutes in [0, 60, 120] {
        assert_eq!(place.judge(&dns, minutes), Verdict::Allow);
        place.heal(&dns, minutes, Some(Detail::Fixed));
    }
    place.heal(&about("192.0.2.7", "Kdc"), 130, Some(Detail::Fixed));
    // A refusal and a failure are no heals that came undone; the future is a clock that was ahead.
    place.heal(&dns, 140, Some(Detail::Failed));
    place.heal(&dns, 60 * 24 * 4000, Some(Detail::Fixed));
    place.restart();
    let Verdict::Escalate { by: Guardrail::Flapping, reason } = place.judge(&dns, 180) else { panic!("not seen") };
    assert!(reason.starts_with(&format!("healed 3 times since {:.0}", place.at(0))), "{reason}");
    assert!(reason.contains("something else undoes it"), "{reason}");
    assert_eq!(place.judge(&about("192.0.2.7", "Kdc"), 180), Verdict::Allow, "another part of the check");
    assert_eq!(place.judge(&about("192.0.2.8", "DNS"), 180), Verdict::Allow, "another machine");
    assert_eq!(place.judge(&dns, 24 * 60), Verdict::Allow, "the oldest is a day old");
}

#[test]
fn a_machine_whose_heals_fail_is_left_alone_and_then_tried_once() {
    let mut place = Place::new();
    for (minutes, detail) in [(0, Detail::Failed), (1, Detail::RolledBack), (2, Detail::Failed)] {
        place.heal(&about("192.0.2.7", "a"), minutes, Some(detail));
    }
    place.restart();
    let next = about("192.0.2.7", "b");
    let verdict = place.judge(&next, 31);
    assert_eq!(refused(&verdict).0, Guardrail::CircuitBreaker);
    assert!(refused(&verdict).1.contains(&format!("until {:.0}", place.at(32))), "{verdict:?}");
    assert_eq!(place.judge(&about("192.0.2.8", "b"), 31), Verdict::Allow, "another machine");
    assert_eq!(place.judge(&next, 32), Verdict::Allow);
    place.heal(&next, 32, None);
    let verdict = place.judge(&about("192.0.2.7", "c"), 33);
    assert!(refused(&verdict).1.contains("one is being tried"), "{verdict:?}");
    place
        .db
        .execute("UPDATE executions SET completed_at = started_at, detail = 'fixed' WHERE detail IS NULL", [])
        .unwrap();
    assert_eq!(place.judge(&about("192.0.2.7", "c"), 33), Verdict::Allow, "the trial passed");
}
