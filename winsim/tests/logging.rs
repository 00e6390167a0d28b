//! RB-WIN-LOGGING-001, and the programs it calls, against healthy, drifted and awkward machines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use clap::ValueEnum;
use harness::{HOST, Sim};
use msp_winsim::windows::computer::Language;
use msp_winsim::windows::logging::AuditSetting::{self, Failure, NoAuditing, Success, SuccessAndFailure};
use msp_winsim::windows::services::StartType;
use msp_winsim::{Drift, Profile};
use serde_json::{Value, json};

const LOGGING: &str = "RB-WIN-LOGGING-001";
const MINIMUM: u64 = 201_326_592;

fn audits(subcategory: &str, setting: AuditSetting) -> Drift {
    Drift::AuditSetting { subcategory: subcategory.to_owned(), setting }
}

fn outcome(result: &Value) -> (&str, bool) {
    (result["status"].as_str().unwrap(), result["changed"].as_bool().unwrap())
}

fn reasons(result: &Value) -> String {
    result["reasons"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_machine_of_every_kind_is_compliant_and_nothing_touches_it() {
    for profile in Profile::value_variants().iter().copied() {
        let sim = Sim::start(profile).await;
        for phase in ["detect", "remediate", "verify"] {
            let result = sim.phase(LOGGING, phase, &json!({})).await;
            assert_eq!(outcome(&result), ("compliant", false), "{profile:?} {result}");
            let size = if profile == Profile::Dc { 1 << 30 } else { MINIMUM };
            assert_eq!(
                result["observed"],
                json!({
                    "service_running": true, "log_enabled": true, "log_max_bytes": size, "log_policy_max_bytes": null,
                    "legacy_policy_overrides": false, "audit_missing": [],
                    "audit": {
                        "Logon": 3, "Logoff": 1, "Account Lockout": 3, "Process Creation": 1, "Audit Policy Change": 1,
                        "User Account Management": 3, "Security Group Management": 1,
                    },
                })
            );
        }
        assert!(sim.server.machine().ledger().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_audits_and_a_small_log_are_healed_exactly_once_and_undone_again() {
    for profile in [Profile::Member, Profile::German] {
        let sim = Sim::start(profile).await;
        sim.drift(audits("Logon", Failure));
        sim.drift(audits("Process Creation", NoAuditing));
        // Too little of the one that is wanted, and one more than is wanted: the first counts, the second stays.
        sim.drift(audits("Logoff", Failure));
        sim.drift(Drift::SecurityLogSize { bytes: 20_971_520 });

        let before = sim.phase(LOGGING, "detect", &json!({})).await;
        assert_eq!(before["status"], "drift", "{before}");
        assert_eq!(before["observed"]["audit_missing"], json!(["Logon", "Logoff", "Process Creation"]));
        assert_eq!(before["observed"]["audit"]["Process Creation"], 0);
        assert_eq!(before["observed"]["log_max_bytes"], 20_971_520);
        assert!(reasons(&before).contains("Logon: failure audited, both required"), "{before}");
        assert!(sim.script_changes().is_empty(), "detect only reads");

        let healed = sim.phase(LOGGING, "remediate", &json!({})).await;
        assert_eq!(outcome(&healed), ("compliant", true), "{healed}");
        assert_eq!(healed["observed"]["audit"]["Logoff"], 3, "failures of Logoff are still audited");
        let changes = sim.script_changes();
        let changed: Vec<_> = changes.iter().map(|c| (c.object.as_str(), c.from.as_str(), c.to.as_str())).collect();
        assert_eq!(
            changed,
            [
                ("Logon", "failure", "success_and_failure"),
                ("Logoff", "failure", "success_and_failure"),
                ("Process Creation", "no_auditing", "success"),
                ("Security", "20971520", "201326592"),
            ]
        );
        assert_eq!(outcome(&sim.phase(LOGGING, "remediate", &json!({})).await), ("compliant", false));
        assert_eq!(sim.phase(LOGGING, "verify", &json!({})).await["status"], "compliant");
        assert_eq!(sim.script_changes().len(), 4);

        let undone = sim.phase(LOGGING, "undo", &json!({"before": before["observed"]})).await;
        assert_eq!(outcome(&undone), ("drift", true), "{undone}");
        assert_eq!(undone["observed"], before["observed"]);
        assert_eq!(sim.script_changes().len(), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_event_log_is_started_and_a_disabled_one_is_left_to_a_person() {
    let sim = Sim::start(Profile::Member).await;
    let stopped = Drift::ServiceStopped { service: "EventLog".to_owned() };
    sim.drift(stopped.clone());
    let detected = sim.phase(LOGGING, "detect", &json!({})).await;
    assert_eq!(detected["status"], "drift", "{detected}");
    assert_eq!(detected["observed"]["service_running"], false);
    assert_eq!(detected["observed"]["log_max_bytes"], Value::Null, "it cannot be read now");
    assert_eq!(detected["observed"]["audit"]["Logon"], 3, "the audit policy can");
    assert_eq!(outcome(&sim.phase(LOGGING, "remediate", &json!({})).await), ("compliant", true));
    assert_eq!(sim.script_changes().len(), 1);

    sim.drift(stopped);
    sim.drift(Drift::ServiceStartType { service: "EventLog".to_owned(), start_type: StartType::Disabled });
    let refused = sim.phase(LOGGING, "remediate", &json!({})).await;
    assert_eq!(outcome(&refused), ("unsupported", false), "{refused}");
    assert!(reasons(&refused).contains("decision for a person"), "{refused}");
    assert_eq!(sim.script_changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_security_log_is_enabled() {
    let sim = Sim::start(Profile::Dc).await;
    sim.drift(Drift::SecurityLogEnabled { enabled: false });
    let detected = sim.phase(LOGGING, "detect", &json!({})).await;
    assert_eq!((&detected["status"], &detected["observed"]["log_enabled"]), (&json!("drift"), &json!(false)));
    assert_eq!(outcome(&sim.phase(LOGGING, "remediate", &json!({})).await), ("compliant", true));
    assert_eq!(sim.script_changes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_settings_of_group_policy_come_back_at_the_next_refresh() {
    let sim = Sim::start(Profile::GroupPolicy).await;
    sim.drift(Drift::AuditGroupPolicy { subcategory: "Logon".to_owned(), setting: Some(Success) });
    assert_eq!(sim.phase(LOGGING, "detect", &json!({})).await["status"], "compliant", "not before the refresh");
    for heals in 1..=2 {
        sim.drift(Drift::GroupPolicyRefresh {});
        let detected = sim.phase(LOGGING, "detect", &json!({})).await;
        assert_eq!(detected["observed"]["audit_missing"], json!(["Logon"]));
        assert_eq!(outcome(&sim.phase(LOGGING, "remediate", &json!({})).await), ("compliant", true));
        assert_eq!(sim.phase(LOGGING, "verify", &json!({})).await["status"], "compliant");
        assert_eq!(sim.script_changes().len(), heals);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_size_that_group_policy_sets_is_not_fought() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::SecurityLogSizePolicy { bytes: Some(33_554_432) });
    let detected = sim.phase(LOGGING, "detect", &json!({})).await;
    assert_eq!((&detected["status"], &detected["observed"]["log_max_bytes"]), (&json!("drift"), &json!(33_554_432)));
    let refused = sim.phase(LOGGING, "remediate", &json!({})).await;
    assert_eq!(outcome(&refused), ("unsupported", false), "{refused}");
    assert!(reasons(&refused).contains("Group Policy"), "{refused}");
    assert!(sim.script_changes().is_empty());
    // A larger one is as good as a local one, and beside the policy a local fault is healed.
    sim.drift(Drift::SecurityLogSizePolicy { bytes: Some(MINIMUM) });
    sim.drift(audits("Logoff", NoAuditing));
    assert_eq!(outcome(&sim.phase(LOGGING, "remediate", &json!({})).await), ("compliant", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_categories_of_group_policy_are_named_and_left_alone() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::LegacyAuditPolicy { no_apply: Some(1) });
    assert_eq!(reasons(&sim.phase(LOGGING, "detect", &json!({})).await), "[]");
    sim.drift(Drift::LegacyAuditPolicy { no_apply: Some(0) });
    let detected = sim.phase(LOGGING, "remediate", &json!({})).await;
    assert_eq!(outcome(&detected), ("compliant", false));
    assert_eq!(detected["observed"]["legacy_policy_overrides"], true);
    assert!(reasons(&detected).contains("SCENoApplyLegacyAuditPolicy is 0"), "{detected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_without_the_state_before_the_change_or_with_a_made_up_one_changes_nothing() {
    let sim = Sim::start(Profile::Member).await;
    for before in [json!({}), json!({"before": {"audit": {"Logon": "1 /failure:enable"}}}), json!({"before": {}})] {
        let failed = sim.phase(LOGGING, "undo", &before).await;
        assert_eq!(outcome(&failed), ("error", false), "{failed}");
    }
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn auditpol_reports_in_the_language_of_windows_under_a_header_and_a_blank_line() {
    let sim = Sim::start(Profile::German).await;
    let output = sim.client.run_command(HOST, "auditpol", &["/get", "/category:*", "/r"]).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("Machine Name,") && lines[1].is_empty(), "{text}");
    let logon = "SIM01,System,Anmelden,{0CCE9215-69AE-11D9-BED3-505054503030},Erfolg und Fehler,";
    assert!(lines.contains(&logon), "{text}");

    let script = "auditpol.exe /set '/subcategory:{0CCE9215-69AE-11D9-BED3-505054503030}' /failure:disable\n\
                  auditpol /get '/subcategory:{0CCE9215-69AE-11D9-BED3-505054503030}' /r | Select-Object -Last 1\n\
                  auditpol /get '/subcategory:{0CCE92FF-69AE-11D9-BED3-505054503030}'\n\"$LASTEXITCODE $?\"\nexit 0";
    let said = sim.line(script).await;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "Der Befehl wurde erfolgreich ausgeführt.");
    assert!(lines[1].ends_with(",Erfolg,"), "{said}");
    assert!(said.contains("Falscher Parameter.") && said.ends_with("87 False"), "{said}");
    sim.drift(Drift::DisplayLanguage { language: Language::English });
    assert!(sim.line("auditpol /get /category:*").await.starts_with("System audit policy"));
    assert_eq!(audits("Logon", SuccessAndFailure).apply(sim.server.machine()), Ok(true));
    let unknown = audits("Anmeldung", Success).apply(sim.server.machine()).unwrap_err();
    assert!(unknown.to_string().contains("no audit subcategory named 'Anmeldung'"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_writes_to_standard_error_is_an_error_record_once_it_is_redirected() {
    let sim = Sim::start(Profile::Member).await;
    // Left alone it goes past PowerShell.
    let output = sim.powershell("wevtutil gl Nonsense\n\"code $LASTEXITCODE\"\nexit 0").await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "code 15007\r\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("Failed to read configuration for log Nonsense."), "{stderr}");
    // Redirected it is in the output, or nowhere.
    let merged = "$lines = wevtutil gl Nonsense 2>&1\n$lines[1].ToString() + $lines[0].GetType().Name\nexit 0";
    assert_eq!(sim.line(merged).await, "The specified channel could not be found.ErrorRecord");
    assert_eq!(sim.line("@(wevtutil gl Nonsense 2>$null).Count\nexit 0").await, "0");
    assert_eq!(sim.line("hostname > $null; hostname *>$null; Get-Service Nonsense 2>$null; 'end'").await, "end");
    // The pitfall of Windows PowerShell 5.1: under Stop the redirected line ends the script, even into nowhere.
    for to in ["2>&1", "2>$null"] {
        let trap = format!(
            "$ErrorActionPreference = 'Stop'\ntry {{ wevtutil gl Nonsense {to} }} catch {{ \"caught $_\" }}\nexit 0"
        );
        assert_eq!(sim.line(&trap).await, "caught Failed to read configuration for log Nonsense.");
    }
    // Warnings have a stream of their own.
    let add = |to: &str| {
        format!("Add-BitLockerKeyProtector -MountPoint C: -RecoveryPasswordProtector {to} | Out-Null; 'end'")
    };
    assert!(!sim.powershell(&add("")).await.stderr.is_empty());
    assert_eq!(sim.line(&add("3>$null")).await, "end");
    // What the subset lacks is refused with its place.
    for (script, why) in [
        ("hostname > out.txt", "Redirection to a file"),
        ("'x' | hostname", "A program that takes pipeline input"),
        ("Get-Service Nonsense 2>&1", "2>&1 after something other than a program"),
    ] {
        let output = sim.powershell(script).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(why) && stderr.contains("At line:1"), "{script}: {stderr}");
    }
    assert!(sim.line("try { repadmin /showrepl } catch { $_.FullyQualifiedErrorId }").await.contains("NotFound"));
}
