//! RB-WIN-BACKUP-001: backups that are old, missing, at work, failing or nobody's business.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::time::Duration;

use harness::Sim;
use msp_winsim::windows::backup::NeverShownAs;
use msp_winsim::windows::ledger::Source;
use msp_winsim::{Drift, Profile, WindowsBackup};
use serde_json::{Value, json};

const BACKUP: &str = "RB-WIN-BACKUP-001";

async fn run(sim: &Sim, phase: &str) -> Value {
    sim.phase(BACKUP, phase, &json!({})).await
}

fn outcome(result: &Value) -> (&str, bool) {
    (result["status"].as_str().unwrap(), result["changed"].as_bool().unwrap())
}

fn drift(sim: &Sim, event: WindowsBackup) {
    sim.drift(Drift::WindowsBackup(event));
}

/// Verify until it is no longer pending.
async fn settled(sim: &Sim) -> Value {
    for _ in 0..100 {
        let result = run(sim, "verify").await;
        if result["status"] != "pending" {
            return result;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("still pending after 100 looks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_last_night_is_compliant_and_no_other_is_started() {
    let sim = Sim::start(Profile::Member).await;
    for phase in ["detect", "remediate", "verify"] {
        let result = run(&sim, phase).await;
        assert_eq!(outcome(&result), ("compliant", false), "{result}");
        let observed = &result["observed"];
        assert_eq!(observed["backup_age_hours"], 8.0);
        assert_eq!((&observed["last_result_hr"], &observed["policy_configured"]), (&json!(0), &json!(true)));
        assert_eq!(observed["job_running"], false);
        assert!(observed["last_success"].as_str().unwrap().ends_with('Z'));
    }
    assert!(sim.server.machine().ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_backup_is_followed_by_exactly_one_new_one_and_is_pending_until_it_is_there() {
    let sim = Sim::start(Profile::Dc).await;
    drift(&sim, WindowsBackup::LastSuccessHoursAgo(40));
    drift(&sim, WindowsBackup::JobSeconds(3));
    let before = run(&sim, "detect").await;
    assert_eq!(outcome(&before), ("drift", false), "{before}");
    assert_eq!(before["observed"]["backup_age_hours"], 40.0);
    assert!(sim.script_changes().is_empty(), "detect only reads");

    let started = run(&sim, "remediate").await;
    assert_eq!(outcome(&started), ("pending", true), "{started}");
    assert_eq!(started["observed"]["job_running"], true);
    assert_eq!(outcome(&run(&sim, "remediate").await), ("pending", false), "no second one");
    assert_eq!(outcome(&run(&sim, "verify").await), ("pending", false));
    assert_eq!(outcome(&run(&sim, "detect").await), ("pending", false));

    let done = settled(&sim).await;
    assert_eq!(outcome(&done), ("compliant", false), "{done}");
    assert_eq!(done["observed"]["backup_age_hours"], 0.0);
    assert_eq!(outcome(&run(&sim, "remediate").await), ("compliant", false));
    assert_eq!(sim.script_changes().len(), 1);
    let ledger = sim.server.machine().ledger();
    let itself: Vec<&str> =
        ledger.iter().filter(|e| e.source == Source::Machine).map(|e| e.property.as_str()).collect();
    assert_eq!(itself, ["job", "last_success"], "the machine ended its job by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_is_drift_again_with_its_hresult() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, WindowsBackup::LastSuccessHoursAgo(25));
    drift(&sim, WindowsBackup::JobSeconds(1));
    drift(&sim, WindowsBackup::ComingResult(0x8078_0048));
    assert_eq!(outcome(&run(&sim, "remediate").await), ("pending", true));
    let failed = settled(&sim).await;
    assert_eq!(outcome(&failed), ("drift", false), "{failed}");
    assert_eq!(failed["observed"]["last_result_hr"], 0x8078_0048_u32);
    assert!(failed["reasons"].to_string().contains("0x80780048"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_never_backed_up_has_no_age_however_windows_shows_it() {
    for shown in [NeverShownAs::Null, NeverShownAs::MinValue] {
        let sim = Sim::start(Profile::Member).await;
        drift(&sim, WindowsBackup::NeverRan(shown));
        let detected = run(&sim, "detect").await;
        assert_eq!(outcome(&detected), ("drift", false), "{shown:?} {detected}");
        assert_eq!(detected["observed"]["backup_age_hours"], Value::Null, "not seven hundred thousand days");
        assert_eq!(detected["observed"]["last_success"], Value::Null);
        assert!(detected["reasons"].to_string().contains("never was a successful backup"));
        drift(&sim, WindowsBackup::JobSeconds(0));
        assert_eq!(outcome(&run(&sim, "remediate").await), ("compliant", true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_no_backup_is_started_and_a_person_is_asked_for() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, WindowsBackup::NeverRan(NeverShownAs::Null));
    drift(&sim, WindowsBackup::PolicyConfigured(false));
    for phase in ["detect", "remediate", "verify"] {
        let result = run(&sim, phase).await;
        assert_eq!(outcome(&result), ("drift", false), "{result}");
        assert_eq!(result["observed"]["policy_configured"], false);
        assert!(result["reasons"].to_string().contains("a person must say"), "{result}");
    }
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_somebody_elses_job_is_at_work_no_second_one_is_started() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, WindowsBackup::LastSuccessHoursAgo(30));
    drift(&sim, WindowsBackup::JobRunning { hours: 1, seconds_left: 3600 });
    for phase in ["detect", "remediate", "verify"] {
        assert_eq!(outcome(&run(&sim, phase).await), ("pending", false), "{phase}");
    }
    assert!(sim.script_changes().is_empty());
    // What a script gets that starts one all the same.
    let careless = "try { Start-WBBackup -Policy (Get-WBPolicy) -Async -ErrorAction Stop } catch { 'refused' }";
    assert_eq!(sim.line(careless).await, "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_stuck_for_days_is_drift_and_is_left_to_a_person() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, WindowsBackup::LastSuccessHoursAgo(60));
    drift(&sim, WindowsBackup::JobRunning { hours: 50, seconds_left: 3600 });
    for phase in ["detect", "remediate"] {
        let stuck = run(&sim, phase).await;
        assert_eq!(outcome(&stuck), ("drift", false), "{stuck}");
        assert!(stuck["reasons"].to_string().contains("at work for 50 hours"), "{stuck}");
    }
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_backup_after_a_good_one_of_the_same_day_is_named_and_is_no_drift() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, WindowsBackup::ComingResult(0x8078_0048));
    drift(&sim, WindowsBackup::JobRunning { hours: 0, seconds_left: 0 });
    let result = run(&sim, "detect").await;
    assert_eq!(outcome(&result), ("compliant", false), "{result}");
    assert!(result["reasons"].to_string().contains("0x80780048"), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_from_the_future_is_an_error_and_not_a_young_one() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, WindowsBackup::LastSuccessHoursAgo(-48));
    let result = run(&sim, "detect").await;
    assert_eq!(outcome(&result), ("error", false), "{result}");
    assert!(result["reasons"].to_string().contains("check the clock"), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_windows_server_backup_is_unsupported_in_every_phase() {
    for profile in [Profile::Core, Profile::Workstation] {
        let sim = Sim::start(profile).await;
        for phase in ["detect", "remediate", "verify"] {
            let result = run(&sim, phase).await;
            assert_eq!(outcome(&result), ("unsupported", false), "{result}");
            assert_eq!(result["reasons"], json!(["Windows Server Backup is not installed"]));
        }
    }
}
