//! RB-WIN-AV-001 against Defender in charge, out of charge, and overruled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::Sim;
use msp_winsim::windows::antivirus::{OtherProduct, RunningMode};
use msp_winsim::windows::services::StartType;
use msp_winsim::{Defender, Drift, Profile};
use serde_json::{Value, json};

const AV: &str = "RB-WIN-AV-001";

async fn run(sim: &Sim, phase: &str) -> Value {
    sim.phase(AV, phase, &json!({})).await
}

fn outcome(result: &Value) -> (&str, bool) {
    (result["status"].as_str().unwrap(), result["changed"].as_bool().unwrap())
}

fn stopped() -> Drift {
    Drift::ServiceStopped { service: "WinDefend".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_defender_is_compliant_on_every_machine_where_it_is_in_charge() {
    for profile in [Profile::Member, Profile::Dc, Profile::Workstation, Profile::Core, Profile::German] {
        let sim = Sim::start(profile).await;
        for phase in ["detect", "remediate", "verify"] {
            let result = run(&sim, phase).await;
            assert_eq!(outcome(&result), ("compliant", false), "{profile:?} {result}");
            let expected = json!({
                "service_running": true, "real_time_protection": true, "signature_age_days": 0,
                "running_mode": "Normal", "tamper_protected": profile == Profile::Workstation, "third_party": null,
            });
            assert_eq!(result["observed"], expected, "{profile:?}");
        }
        assert!(sim.server.machine().ledger().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_time_protection_that_was_turned_off_is_turned_on_exactly_once() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::Defender(Defender::RealTime(false)));
    let before = run(&sim, "detect").await;
    assert_eq!(outcome(&before), ("drift", false));
    assert_eq!(before["observed"]["real_time_protection"], false);
    assert_eq!(before["reasons"], json!(["real-time protection is off"]));
    assert!(sim.script_changes().is_empty(), "detect only reads");

    assert_eq!(outcome(&run(&sim, "remediate").await), ("compliant", true));
    assert_eq!(outcome(&run(&sim, "remediate").await), ("compliant", false));
    assert_eq!(outcome(&run(&sim, "verify").await), ("compliant", false));
    let changes = sim.script_changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!((changes[0].property.as_str(), changes[0].to.as_str()), ("real_time_protection", "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_is_started_and_what_it_could_not_say_before_is_healed_with_it() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::Defender(Defender::RealTime(false)));
    sim.drift(Drift::Defender(Defender::SignatureAgeDays(9)));
    sim.drift(stopped());
    let before = run(&sim, "detect").await;
    assert_eq!(outcome(&before), ("drift", false), "{before}");
    assert_eq!(before["observed"]["service_running"], false);
    assert_eq!(before["observed"]["signature_age_days"], Value::Null, "nobody could say");
    let healed = run(&sim, "remediate").await;
    assert_eq!(outcome(&healed), ("compliant", true), "{healed}");
    assert_eq!(healed["observed"]["signature_age_days"], 0);
    let changed: Vec<String> = sim.script_changes().into_iter().map(|c| c.property).collect();
    assert_eq!(changed, ["status", "real_time_protection", "signature_age_days"]);
    assert_eq!(outcome(&run(&sim, "verify").await), ("compliant", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_service_is_somebodys_decision_and_one_that_fails_to_start_is_an_error() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(stopped());
    sim.drift(Drift::ServiceStartFails { service: "WinDefend".to_owned(), fails: true });
    let failed = run(&sim, "remediate").await;
    assert_eq!(outcome(&failed), ("error", false), "{failed}");
    assert!(failed["reasons"].to_string().contains("Cannot start service WinDefend"), "{failed}");
    sim.drift(Drift::ServiceStartType { service: "WinDefend".to_owned(), start_type: StartType::Disabled });
    let refused = run(&sim, "remediate").await;
    assert_eq!(outcome(&refused), ("unsupported", false), "{refused}");
    assert!(refused["reasons"].to_string().contains("disabled"));
    assert_eq!(outcome(&run(&sim, "detect").await), ("drift", false));
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tamper_protection_undoes_in_silence_is_noticed_and_told() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::Defender(Defender::RealTime(false)));
    sim.drift(Drift::Defender(Defender::TamperProtected(true)));
    // The careless script sees no error and believes that it changed something.
    assert_eq!(sim.line("Set-MpPreference -DisableRealtimeMonitoring $false; 'done'").await, "done");
    let refused = run(&sim, "remediate").await;
    assert_eq!(outcome(&refused), ("unsupported", false), "{refused}");
    assert_eq!(refused["observed"]["tamper_protected"], true);
    assert!(refused["reasons"].to_string().contains("tamper protection is on"), "{refused}");
    assert!(sim.script_changes().is_empty());
    assert_eq!(outcome(&run(&sim, "verify").await), ("drift", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_group_policy_turns_off_is_drift_and_is_not_fought() {
    let sim = Sim::start(Profile::GroupPolicy).await;
    sim.drift(Drift::Defender(Defender::PolicyDisablesRealTime(Some(true))));
    assert_eq!(outcome(&run(&sim, "detect").await), ("drift", false));
    let refused = run(&sim, "remediate").await;
    assert_eq!(outcome(&refused), ("unsupported", false), "{refused}");
    assert!(refused["reasons"].to_string().contains("Group Policy"), "{refused}");

    // What policy does not speak of is healed all the same, and the rest is still named.
    sim.drift(Drift::Defender(Defender::SignatureAgeDays(4)));
    let partly = run(&sim, "remediate").await;
    assert_eq!(outcome(&partly), ("drift", true), "{partly}");
    assert!(partly["reasons"].to_string().contains("Group Policy"), "{partly}");
    assert_eq!(sim.script_changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_of_three_days_are_young_and_old_ones_that_cannot_be_updated_stay_drift() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::Defender(Defender::SignatureAgeDays(3)));
    assert_eq!(outcome(&run(&sim, "detect").await), ("compliant", false));
    sim.drift(Drift::Defender(Defender::SignatureAgeDays(65_535)));
    sim.drift(Drift::Defender(Defender::UpdatesFail(true)));
    let failed = run(&sim, "remediate").await;
    assert_eq!(outcome(&failed), ("drift", false), "{failed}");
    assert!(failed["reasons"].to_string().contains("definitions update was completed with errors"), "{failed}");
    sim.drift(Drift::Defender(Defender::UpdatesFail(false)));
    assert_eq!(outcome(&run(&sim, "remediate").await), ("compliant", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_defender_is_not_in_charge_nothing_is_judged_and_nothing_is_touched() {
    // A server: Defender is passive, and nobody says because of whom.
    let server = Sim::start(Profile::ThirdPartyAntivirus).await;
    // A workstation: the other product is named, and Defender's service does not even run.
    let workstation = Sim::start(Profile::Workstation).await;
    let other = OtherProduct { name: "Bitdefender Endpoint Security".to_owned(), on: true };
    workstation.drift(Drift::Defender(Defender::OtherProduct(Some(other))));
    workstation.drift(stopped());
    // The feature is not there.
    let without = Sim::start(Profile::Member).await;
    without.drift(Drift::Defender(Defender::Installed(false)));
    for (sim, reason) in [
        (&server, "AMRunningMode is Passive Mode"),
        (&workstation, "Bitdefender Endpoint Security"),
        (&without, "not installed"),
    ] {
        for phase in ["detect", "remediate", "verify"] {
            let result = run(sim, phase).await;
            assert_eq!(outcome(&result), ("unsupported", false), "{result}");
            assert!(result["reasons"].to_string().contains(reason), "{result}");
        }
        assert!(sim.script_changes().is_empty());
    }
    assert_eq!(run(&workstation, "detect").await["observed"]["third_party"], "Bitdefender Endpoint Security");

    let blocking = Sim::start(Profile::Member).await;
    blocking.drift(Drift::Defender(Defender::RunningMode(RunningMode::EdrBlock)));
    assert_eq!(outcome(&run(&blocking, "detect").await), ("unsupported", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rival_that_is_switched_off_leaves_defender_in_charge() {
    let sim = Sim::start(Profile::Workstation).await;
    let expired = OtherProduct { name: "Contoso Trial".to_owned(), on: false };
    sim.drift(Drift::Defender(Defender::OtherProduct(Some(expired))));
    let result = run(&sim, "detect").await;
    assert_eq!(outcome(&result), ("compliant", false), "{result}");
    assert_eq!(result["observed"]["third_party"], Value::Null);
}
