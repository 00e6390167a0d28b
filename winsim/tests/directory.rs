//! RB-WIN-AD-001, and the programs it calls, against domain controllers in good and bad states, and against other machines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use clap::ValueEnum;
use harness::Sim;
use msp_winsim::windows::computer::Language;
use msp_winsim::windows::directory::Replication;
use msp_winsim::windows::services::StartType;
use msp_winsim::{Drift, Profile};
use serde_json::{Value, json};

const DIRECTORY: &str = "RB-WIN-AD-001";

fn replicates(partner: &str, state: Replication) -> Drift {
    Drift::Replication { partner: partner.to_owned(), state }
}

fn stopped(service: &str) -> Drift {
    Drift::ServiceStopped { service: service.to_owned() }
}

fn outcome(result: &Value) -> (&str, bool) {
    (result["status"].as_str().unwrap(), result["changed"].as_bool().unwrap())
}

fn reasons(result: &Value) -> String {
    result["reasons"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_domain_controller_is_compliant_and_nothing_touches_it() {
    let sim = Sim::start(Profile::Dc).await;
    for phase in ["detect", "remediate", "verify"] {
        let result = sim.phase(DIRECTORY, phase, &json!({})).await;
        assert_eq!(outcome(&result), ("compliant", false), "{result}");
        let observed = &result["observed"];
        assert_eq!(observed["domain_controller"], true);
        let running =
            json!({"NTDS": "Running", "DNS": "Running", "Netlogon": "Running", "Kdc": "Running", "W32Time": "Running"});
        assert_eq!((&observed["services"], &observed["stopped"]), (&running, &json!([])));
        assert_eq!((&observed["replication_failures"], &observed["dcdiag_failed"]), (&json!(0), &json!([])));
        // Two partners, five naming contexts, with their commas.
        assert_eq!(observed["replication"].as_array().unwrap().len(), 10);
        assert_eq!(observed["replication"][0]["partner"], "DC02");
        assert_eq!(observed["replication"][0]["naming_context"], "DC=clinic,DC=example");
        assert!(observed["replication"][0]["last_success"].as_str().unwrap().starts_with("20"));
    }
    assert!(sim.server.machine().ledger().is_empty());

    // A practice with a single domain controller has nobody to replicate with.
    for partner in ["DC02", "DC03"] {
        sim.drift(Drift::ReplicationPartnerRemoved { partner: partner.to_owned() });
    }
    let alone = sim.phase(DIRECTORY, "detect", &json!({})).await;
    assert_eq!((&alone["status"], &alone["observed"]["replication"]), (&json!("compliant"), &json!([])), "{alone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_no_domain_controller_is_unsupported_in_every_phase() {
    for profile in Profile::value_variants().iter().copied().filter(|p| *p != Profile::Dc) {
        let sim = Sim::start(profile).await;
        for phase in ["detect", "remediate", "verify"] {
            let result = sim.phase(DIRECTORY, phase, &json!({})).await;
            assert_eq!(outcome(&result), ("unsupported", false), "{result}");
            assert_eq!(result["observed"]["domain_controller"], false);
        }
        assert!(sim.server.machine().ledger().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_services_are_started_exactly_once_the_directory_before_the_others() {
    let sim = Sim::start(Profile::Dc).await;
    for service in ["Netlogon", "Kdc", "NTDS", "W32Time"] {
        sim.drift(stopped(service));
    }
    sim.drift(Drift::ClockOffset { seconds: -90 });
    let detected = sim.phase(DIRECTORY, "detect", &json!({})).await;
    assert_eq!(detected["status"], "drift", "{detected}");
    assert_eq!(detected["observed"]["stopped"], json!(["NTDS", "Netlogon", "Kdc", "W32Time"]));
    assert_eq!(detected["observed"]["replication_failures"], Value::Null, "nobody is there to ask");
    assert!(sim.script_changes().is_empty(), "detect only reads");

    let healed = sim.phase(DIRECTORY, "remediate", &json!({})).await;
    assert_eq!(outcome(&healed), ("compliant", true), "{healed}");
    let objects: Vec<String> = sim.script_changes().into_iter().map(|c| c.object).collect();
    assert_eq!(objects, ["NTDS", "Netlogon", "Kdc", "W32Time", "clock"]);
    assert_eq!(outcome(&sim.phase(DIRECTORY, "remediate", &json!({})).await), ("compliant", false));
    assert_eq!(sim.phase(DIRECTORY, "verify", &json!({})).await["status"], "compliant");
    assert_eq!(sim.script_changes().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_service_is_left_to_a_person_and_a_broken_one_does_not_hold_up_the_others() {
    let sim = Sim::start(Profile::Dc).await;
    sim.drift(stopped("DNS"));
    sim.drift(Drift::ServiceStartType { service: "DNS".to_owned(), start_type: StartType::Disabled });
    let refused = sim.phase(DIRECTORY, "remediate", &json!({})).await;
    assert_eq!(outcome(&refused), ("unsupported", false), "{refused}");
    assert!(reasons(&refused).contains("service DNS is disabled"), "{refused}");
    assert!(sim.script_changes().is_empty());

    sim.drift(Drift::ServiceRunning { service: "DNS".to_owned() });
    for service in ["Netlogon", "W32Time"] {
        sim.drift(stopped(service));
    }
    sim.drift(Drift::ServiceStartFails { service: "W32Time".to_owned(), fails: true });
    let partly = sim.phase(DIRECTORY, "detect", &json!({})).await;
    assert_eq!(partly["observed"]["dcdiag_failed"], json!(["Advertising", "NetLogons", "Services"]), "{partly}");
    let partly = sim.phase(DIRECTORY, "remediate", &json!({})).await;
    assert_eq!(outcome(&partly), ("error", true), "{partly}");
    assert!(reasons(&partly).contains("Cannot start service W32Time on computer"), "{partly}");
    assert_eq!(partly["observed"]["stopped"], json!(["W32Time"]));
    let objects: Vec<String> = sim.script_changes().into_iter().map(|c| c.object).collect();
    assert_eq!(objects, ["Netlogon"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_replication_is_healed_by_replicating_now() {
    let sim = Sim::start(Profile::Dc).await;
    sim.drift(replicates("DC03", Replication::Failing));
    let detected = sim.phase(DIRECTORY, "detect", &json!({})).await;
    assert_eq!((&detected["status"], &detected["observed"]["replication_failures"]), (&json!("drift"), &json!(20)));
    assert!(reasons(&detected).contains("replication of CN=Configuration,DC=clinic,DC=example from DC03: 4 failures"));
    let healed = sim.phase(DIRECTORY, "remediate", &json!({})).await;
    assert_eq!(outcome(&healed), ("compliant", true), "{healed}");
    let changes = sim.script_changes();
    let changed: Vec<_> = changes.iter().map(|c| (c.object.as_str(), c.from.as_str(), c.to.as_str())).collect();
    assert_eq!(changed, [("DC03", "failing", "ok")]);
    assert_eq!(outcome(&sim.phase(DIRECTORY, "remediate", &json!({})).await), ("compliant", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_is_off_stays_drift_and_the_others_are_healed_beside_it() {
    let sim = Sim::start(Profile::Dc).await;
    sim.drift(replicates("DC02", Replication::Offline));
    let tried = sim.phase(DIRECTORY, "remediate", &json!({})).await;
    assert_eq!(outcome(&tried), ("drift", false), "{tried}");
    assert!(reasons(&tried).contains("repadmin /syncall: exit code"), "{tried}");
    assert_eq!(sim.phase(DIRECTORY, "verify", &json!({})).await["status"], "drift");
    assert!(sim.script_changes().is_empty());
    sim.drift(replicates("DC03", Replication::Failing));
    assert_eq!(outcome(&sim.phase(DIRECTORY, "remediate", &json!({})).await), ("drift", true));
    assert_eq!(sim.script_changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_repadmin_could_not_fill_is_a_failure_not_an_absence_of_failures() {
    let sim = Sim::start(Profile::Dc).await;
    sim.drift(Drift::ReplicationQueryFails { fails: true });
    let detected = sim.phase(DIRECTORY, "detect", &json!({})).await;
    assert_eq!(detected["status"], "drift", "{detected}");
    let row = json!([{"partner": null, "naming_context": null, "failures": 1, "last_success": null}]);
    assert_eq!(detected["observed"]["replication"], row);
    assert!(reasons(&detected).contains("repadmin cannot tell: DsReplicaGetInfo() failed"), "{detected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_test_is_named_in_every_language_and_noisy_ones_are_not_asked() {
    let sim = Sim::start(Profile::Dc).await;
    for noisy in ["SystemLog", "DFSREvent", "KccEvent"] {
        sim.drift(Drift::DcdiagTest { test: noisy.to_owned(), fails: true });
    }
    assert_eq!(sim.phase(DIRECTORY, "detect", &json!({})).await["status"], "compliant");
    for test in ["SysVolCheck", "RidManager"] {
        sim.drift(Drift::DcdiagTest { test: test.to_owned(), fails: true });
    }
    let english = sim.phase(DIRECTORY, "detect", &json!({})).await;
    assert_eq!(
        (&english["status"], &english["observed"]["dcdiag_failed"]),
        (&json!("drift"), &json!(["SysVolCheck", "RidManager"]))
    );
    sim.drift(Drift::DisplayLanguage { language: Language::German });
    let german = sim.phase(DIRECTORY, "remediate", &json!({})).await;
    assert_eq!(german["observed"]["dcdiag_failed"], json!(["SysVolCheck", "RidManager"]), "{german}");
    assert_eq!(outcome(&german), ("drift", false), "no service, no replication: nothing here heals it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_the_directory_exist_only_on_a_domain_controller_and_refuse_what_they_do_not_simulate() {
    let member = Sim::start(Profile::Member).await;
    let output = member.client.run_command(harness::HOST, "dcdiag", &["/q"]).await.unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("'dcdiag' is not recognized"));
    let sim = Sim::start(Profile::Dc).await;
    for line in ["dcdiag /v", "repadmin /replsummary", "w32tm /query /status", "repadmin /showrepl"] {
        let (program, rest) = line.split_once(' ').unwrap();
        let output = sim.client.run_command(harness::HOST, program, &[rest]).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.exit_code == 1 && stderr.starts_with("This simulated server does not support"),
            "{line}: {stderr}"
        );
    }
}
