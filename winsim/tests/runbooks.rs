//! The shipped scripts of both runbooks, run by the real client against healthy, drifted and awkward machines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::Sim;
use msp_winsim::windows::firewall::{GpoBoolean, ProfileName};
use msp_winsim::windows::services::StartType;
use msp_winsim::{Drift, Profile};
use serde_json::{Value, json};

const FIREWALL: &str = "RB-WIN-FIREWALL-001";
const SERVICE: &str = "RB-WIN-SVC-001";

fn reasons(result: &Value) -> String {
    result["reasons"].to_string()
}

fn no_winrm_rule() -> Vec<Drift> {
    ["WINRM-HTTP-In-TCP", "WINRM-HTTP-In-TCP-PUBLIC", "WINRM-HTTPS-In-TCP"]
        .map(|rule| Drift::FirewallRule { rule: rule.to_owned(), enabled: false })
        .to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_firewall_is_compliant_and_nothing_touches_it() {
    let sim = Sim::start(Profile::Member).await;
    for phase in ["detect", "remediate", "verify"] {
        let result = sim.phase(FIREWALL, phase, &json!({})).await;
        assert_eq!(result["status"], "compliant", "{result}");
        assert_eq!(result["changed"], false);
        assert_eq!(
            result["observed"],
            json!({
                "firewall_enabled": true,
                "profiles": {"Domain": "True", "Private": "True", "Public": "True"},
                "service_running": true,
                "winrm_inbound_allowed": true,
            })
        );
    }
    assert!(sim.server.machine().ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_was_turned_off_is_healed_exactly_once_and_undone_again() {
    let sim = Sim::start(Profile::Dc).await;
    sim.drift(Drift::FirewallProfileOff { profile: ProfileName::Public });

    let before = sim.phase(FIREWALL, "detect", &json!({})).await;
    assert_eq!(before["status"], "drift");
    assert_eq!(before["observed"]["firewall_enabled"], false);
    assert_eq!(before["observed"]["profiles"]["Public"], "False");
    assert!(reasons(&before).contains("profile Public: Enabled is False"));
    assert!(sim.script_changes().is_empty(), "detect only reads");

    let healed = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&healed["status"], &healed["changed"]), (&json!("compliant"), &json!(true)), "{healed}");
    let again = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&again["status"], &again["changed"]), (&json!("compliant"), &json!(false)));
    assert_eq!(sim.phase(FIREWALL, "verify", &json!({})).await["status"], "compliant");

    let changes = sim.script_changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(
        (changes[0].object.as_str(), changes[0].from.as_str(), changes[0].to.as_str()),
        ("Public", "False", "True")
    );
    assert!(changes[0].command_id.is_some());

    let undone = sim.phase(FIREWALL, "undo", &json!({"before": before["observed"]})).await;
    assert_eq!((&undone["status"], &undone["changed"]), (&json!("drift"), &json!(true)), "{undone}");
    assert_eq!(undone["observed"]["profiles"], before["observed"]["profiles"]);
    assert_eq!(sim.script_changes().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_left_unconfigured_is_on_by_default_and_read_as_text_not_as_truth() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::FirewallProfileSet { profile: ProfileName::Private, enabled: GpoBoolean::NotConfigured });
    // The careless reading: the local store says NotConfigured, which is neither False nor false.
    let local = sim.line("(Get-NetFirewallProfile -Name Private).Enabled.ToString()").await;
    assert_eq!(local, "NotConfigured");
    let truthy = sim.line("if ((Get-NetFirewallProfile -Name Private).Enabled) { 'true' } else { 'false' }").await;
    assert_eq!(truthy, "true");
    assert_eq!(sim.phase(FIREWALL, "detect", &json!({})).await["status"], "compliant");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_group_policy_turns_off_is_seen_and_is_not_fought() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::FirewallPolicy { profile: ProfileName::Domain, enabled: GpoBoolean::False });
    let detected = sim.phase(FIREWALL, "detect", &json!({})).await;
    assert_eq!(detected["status"], "drift");
    assert_eq!(detected["observed"]["profiles"]["Domain"], "False");
    let refused = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&refused["status"], &refused["changed"]), (&json!("unsupported"), &json!(false)), "{refused}");
    assert!(reasons(&refused).contains("Group Policy"));
    assert!(sim.script_changes().is_empty());

    // Beside the policy a local fault: the one that can be healed is, and the rest is still named.
    sim.drift(Drift::FirewallProfileOff { profile: ProfileName::Public });
    let partly = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&partly["status"], &partly["changed"]), (&json!("drift"), &json!(true)), "{partly}");
    assert_eq!(sim.script_changes().len(), 1);
    assert_eq!(sim.phase(FIREWALL, "verify", &json!({})).await["status"], "drift");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rule_for_winrm_remediation_refuses_instead_of_locking_itself_out() {
    let sim = Sim::start(Profile::Member).await;
    for profile in ProfileName::ALL {
        sim.drift(Drift::FirewallProfileOff { profile });
    }
    for drift in no_winrm_rule() {
        sim.drift(drift);
    }
    let detected = sim.phase(FIREWALL, "detect", &json!({})).await;
    assert_eq!(detected["status"], "drift");
    assert_eq!(detected["observed"]["winrm_inbound_allowed"], false);
    let refused = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&refused["status"], &refused["changed"]), (&json!("error"), &json!(false)), "{refused}");
    assert!(reasons(&refused).contains("no inbound rule allows TCP 5985 or 5986"));
    assert!(sim.script_changes().is_empty());

    // What it spared itself: a script that does enable the profiles ends the conversation.
    let suicidal = "Set-NetFirewallProfile -Profile Domain,Public,Private -Enabled True";
    // Its own answer may be lost already.
    let _ = sim.client.run_powershell(harness::HOST, suicidal).await;
    let fresh = harness::client(sim.port(), &sim.ca, harness::PASSWORD, 2);
    assert!(fresh.run_command(harness::HOST, "hostname", &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_firewall_service_is_started_and_never_without_a_rule_for_winrm() {
    let sim = Sim::start(Profile::Member).await;
    let stopped = Drift::ServiceStopped { service: "MpsSvc".to_owned() };
    sim.drift(stopped.clone());
    let detected = sim.phase(FIREWALL, "detect", &json!({})).await;
    assert_eq!(detected["status"], "drift");
    assert_eq!(detected["observed"]["service_running"], false);
    assert_eq!(detected["observed"]["profiles"], json!({}), "they cannot be read now");
    assert_eq!(detected["observed"]["winrm_inbound_allowed"], true, "the rules can");
    let healed = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&healed["status"], &healed["changed"]), (&json!("compliant"), &json!(true)), "{healed}");
    assert_eq!(sim.script_changes().len(), 1);

    sim.drift(stopped);
    for drift in no_winrm_rule() {
        sim.drift(drift);
    }
    let refused = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&refused["status"], &refused["changed"]), (&json!("error"), &json!(false)), "{refused}");
    assert_eq!(sim.script_changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_firewall_service_is_an_error_in_windows_own_words() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::ServiceStopped { service: "MpsSvc".to_owned() });
    sim.drift(Drift::ServiceStartType { service: "MpsSvc".to_owned(), start_type: StartType::Disabled });
    let failed = sim.phase(FIREWALL, "remediate", &json!({})).await;
    assert_eq!((&failed["status"], &failed["changed"]), (&json!("error"), &json!(false)), "{failed}");
    assert!(reasons(&failed).contains("Cannot start service MpsSvc on computer"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_without_the_state_before_the_change_fails_and_changes_nothing() {
    let sim = Sim::start(Profile::Member).await;
    let failed = sim.phase(FIREWALL, "undo", &json!({})).await;
    assert_eq!((&failed["status"], &failed["changed"]), (&json!("error"), &json!(false)));
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_lists_every_service_and_names_those_that_should_run_and_do_not() {
    let sim = Sim::start(Profile::Member).await;
    let healthy = sim.phase(SERVICE, "detect", &json!({})).await;
    assert_eq!(healthy["status"], "compliant", "{healthy}");
    assert_eq!(healthy["observed"]["service"], Value::Null);
    let dns = json!({"name": "DNS", "installed": false, "running": false, "start_type": null});
    assert!(healthy["observed"]["services"].as_array().unwrap().contains(&dns), "{healthy}");

    sim.drift(Drift::ServiceStopped { service: "W32Time".to_owned() });
    sim.drift(Drift::ServiceStopped { service: "Spooler".to_owned() });
    sim.drift(Drift::ServiceStartType { service: "Spooler".to_owned(), start_type: StartType::Disabled });
    let drifted = sim.phase(SERVICE, "detect", &json!({})).await;
    assert_eq!(drifted["status"], "drift");
    assert_eq!(drifted["observed"]["stopped"], json!(["W32Time"]), "a disabled service is a decision");
    assert_eq!(drifted["observed"]["service_running"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_is_started_exactly_once() {
    let sim = Sim::start(Profile::Dc).await;
    let dns = json!({"service": "DNS"});
    sim.drift(Drift::ServiceStopped { service: "DNS".to_owned() });
    let detected = sim.phase(SERVICE, "detect", &dns).await;
    assert_eq!((&detected["status"], &detected["observed"]["stopped"]), (&json!("drift"), &json!(["DNS"])));
    let healed = sim.phase(SERVICE, "remediate", &dns).await;
    assert_eq!((&healed["status"], &healed["changed"]), (&json!("compliant"), &json!(true)), "{healed}");
    let again = sim.phase(SERVICE, "remediate", &dns).await;
    assert_eq!((&again["status"], &again["changed"]), (&json!("compliant"), &json!(false)));
    let verified = sim.phase(SERVICE, "verify", &dns).await;
    assert_eq!((&verified["status"], &verified["observed"]["service_running"]), (&json!("compliant"), &json!(true)));
    assert_eq!(sim.script_changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_service_is_reported_and_neither_enabled_nor_started() {
    let sim = Sim::start(Profile::Dc).await;
    let dns = json!({"service": "DNS"});
    sim.drift(Drift::ServiceStopped { service: "DNS".to_owned() });
    sim.drift(Drift::ServiceStartType { service: "DNS".to_owned(), start_type: StartType::Disabled });
    assert_eq!(sim.phase(SERVICE, "detect", &dns).await["status"], "drift");
    let refused = sim.phase(SERVICE, "remediate", &dns).await;
    assert_eq!((&refused["status"], &refused["changed"]), (&json!("unsupported"), &json!(false)), "{refused}");
    assert!(reasons(&refused).contains("disabled"));
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_to_start_is_an_error_and_verify_still_sees_drift() {
    let sim = Sim::start(Profile::Dc).await;
    let dns = json!({"service": "DNS"});
    sim.drift(Drift::ServiceStopped { service: "DNS".to_owned() });
    sim.drift(Drift::ServiceStartFails { service: "DNS".to_owned(), fails: true });
    let failed = sim.phase(SERVICE, "remediate", &dns).await;
    assert_eq!((&failed["status"], &failed["changed"]), (&json!("error"), &json!(false)), "{failed}");
    assert!(reasons(&failed).contains("Cannot start service DNS on computer"), "{failed}");
    assert_eq!(sim.phase(SERVICE, "verify", &dns).await["status"], "drift");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_installed_is_unsupported_in_every_phase() {
    let sim = Sim::start(Profile::Member).await;
    for phase in ["detect", "remediate", "verify"] {
        let result = sim.phase(SERVICE, phase, &json!({"service": "DNS"})).await;
        assert_eq!((&result["status"], &result["changed"]), (&json!("unsupported"), &json!(false)), "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_outside_the_list_is_refused_in_every_phase() {
    let sim = Sim::start(Profile::Member).await;
    for name in ["WinRM", "MpsSvc", "RemoteRegistry", "*", "DNS; Stop-Service WinRM"] {
        for phase in ["detect", "remediate", "verify"] {
            let result = sim.phase(SERVICE, phase, &json!({"service": name})).await;
            assert_eq!(result["status"], "error", "{result}");
        }
    }
    for phase in ["remediate", "verify"] {
        assert_eq!(sim.phase(SERVICE, phase, &json!({})).await["status"], "error");
    }
    assert!(sim.server.machine().ledger().is_empty());
}

#[test]
fn the_list_of_services_is_the_same_in_the_scripts_and_in_the_runbook() {
    let dir = harness::runbooks().join(SERVICE);
    let yaml = std::fs::read_to_string(dir.join("runbook.yaml")).unwrap();
    let (_, list) = yaml.split_once("enum: [").unwrap();
    let expected: Vec<&str> = list.split_once(']').unwrap().0.split(", ").collect();
    let script = std::fs::read_to_string(dir.join("functions.ps1")).unwrap();
    let (_, list) = script.split_once("$allowed = ").unwrap();
    let list = list.split_once("\n$").unwrap().0;
    let names: Vec<&str> = list.split(',').map(|n| n.trim().trim_matches('\'')).collect();
    assert_eq!(names, expected);
}
