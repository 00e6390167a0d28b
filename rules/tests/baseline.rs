//! What ships: the built-in rules, runbooks, names and baseline are sound and complete.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use msp_rules::{
    Action, Catalogue, Condition, DEFAULT_BASELINE, Loaded, Operator, Phase, ResolvedAction, RuleSet, Severity, Source,
    Sources, View, lint_text,
};
use serde_json::{Value, json};

fn baseline() -> Loaded {
    RuleSet::load(&Sources::default()).unwrap()
}

fn finding(value: Value) -> View {
    View::from_value(value).unwrap()
}

/// What the rules make of a finding: the deciding rule and its action.
fn decide(check_type: &str, platform: &str, details: Value) -> Option<(String, ResolvedAction)> {
    let loaded = baseline();
    let view = finding(json!({
        "check_type": check_type, "incident_type": check_type, "severity": "high", "platform": platform,
        "host_id": "192.168.88.244", "status": "fail", "drift_detected": true, "details": details,
    }));
    let found = loaded.rules.find(&view)?;
    Some((found.rule.id.clone(), found.resolve(&view).unwrap()))
}

#[test]
fn the_built_in_rules_all_load() {
    let loaded = baseline();
    let quarantined: Vec<String> = loaded.quarantined.iter().map(ToString::to_string).collect();
    assert!(quarantined.is_empty(), "{quarantined:#?}");
    assert!(loaded.rules.len() >= 26, "{}", loaded.rules.len());
    for warning in &loaded.warnings {
        assert!(warning.message.contains("is not shipped with this version"), "{warning}");
    }
}

#[test]
fn the_named_rules_have_the_promised_numbers() {
    let loaded = baseline();
    for (id, runbook, priority, cooldown) in [
        ("L1-WIN-DEFENDER-001", Some("RB-WIN-AV-001"), 5, 300),
        ("L1-WIN-EVENTLOG-001", Some("RB-WIN-LOGGING-001"), 5, 300),
        ("L1-WIN-FIREWALL-001", Some("RB-WIN-FIREWALL-001"), 10, 600),
        ("L1-WIN-PATCH-CRITICAL-001", None, 3, 3600),
        ("L1-WIN-BACKUP-AGE-001", Some("RB-WIN-BACKUP-001"), 15, 1800),
    ] {
        let rule = loaded.rules.get(Source::Baseline, id).unwrap_or_else(|| panic!("{id}"));
        assert_eq!((rule.priority, rule.cooldown_seconds), (priority, cooldown), "{id}");
        match (&rule.action, runbook) {
            (Action::RunRunbook { runbook_id, phases, .. }, Some(runbook)) => {
                assert_eq!(runbook_id, runbook);
                assert_eq!(phases, &[Phase::Remediate, Phase::Verify]);
            }
            (Action::Escalate { urgency, .. }, None) => assert_eq!(*urgency, Severity::High),
            (action, _) => panic!("{id}: {action:?}"),
        }
    }
    for id in ["L1-NIXOS-FW-001", "L1-FIREWALL-001", "L1-FIREWALL-002", "L1-BITLOCKER-001", "L1-WIN-SVC-001"] {
        assert!(loaded.rules.get(Source::Baseline, id).is_some(), "{id}");
    }
}

#[test]
fn a_windows_rule_never_matches_the_appliance_nor_the_other_way_round() {
    let loaded = baseline();
    for rule in loaded.rules.iter() {
        let written = |one: &&Condition| matches!(one.field.as_str(), "platform" | "details.platform");
        let platform =
            rule.conditions.iter().find(written).unwrap_or_else(|| panic!("{} asks for no platform", rule.id));
        let admitted = match (platform.operator, &platform.value) {
            (Operator::Eq, one) => vec![one.clone()],
            (Operator::In, Value::Array(some)) => some.clone(),
            other => panic!("{}: {other:?}", rule.id),
        };
        let windows = admitted.iter().filter(|name| *name == "windows").count();
        assert!(windows == 0 || windows == admitted.len(), "{}: {admitted:?}", rule.id);
        assert_eq!(windows > 0, rule.file.ends_with("windows.yaml"), "{} stands in {}", rule.id, rule.file);
    }
}

#[test]
fn every_host_check_has_an_answer_on_every_platform() {
    let checks =
        ["patching", "antivirus", "backup", "logging", "firewall", "encryption", "services", "time_sync", "disk"];
    for check in checks {
        for platform in ["windows", "nixos", "linux"] {
            let (id, _) = decide(check, platform, json!({})).unwrap_or_else(|| panic!("{check} on {platform}"));
            assert_eq!(id.contains("HOST") || id.contains("NIXOS"), platform != "windows", "{check} {platform}: {id}");
        }
    }
    let (id, action) = decide("generation", "nixos", json!({})).unwrap();
    assert_eq!(id, "L1-HOST-GENERATION-001");
    assert!(matches!(action, ResolvedAction::Escalate { .. }));
}

#[test]
fn a_compliant_finding_matches_nothing() {
    let loaded = baseline();
    for check in ["patching", "firewall", "services", "logging", "disk"] {
        for platform in ["windows", "nixos", "linux"] {
            let view = finding(json!({
                "check_type": check, "platform": platform, "severity": "low", "status": "pass",
                "drift_detected": false, "details": {"firewall_enabled": true, "service_running": true},
            }));
            assert!(loaded.rules.find(&view).is_none(), "{check} {platform}");
        }
    }
}

#[test]
fn a_windows_firewall_that_is_off_is_enabled_and_verified() {
    let (id, action) =
        decide("firewall", "windows", json!({"firewall_enabled": false, "service_running": true})).unwrap();
    assert_eq!(id, "L1-WIN-FIREWALL-001");
    let expected = ResolvedAction::RunRunbook {
        runbook_id: "RB-WIN-FIREWALL-001".to_owned(),
        parameters: BTreeMap::new(),
        phases: vec![Phase::Remediate, Phase::Verify],
    };
    assert_eq!(action, expected);
}

#[test]
fn a_stopped_service_is_started_by_name_and_one_off_the_list_goes_to_a_person() {
    let stopped = |service: Value| decide("services", "windows", json!({"service_running": false, "service": service}));
    let (id, action) = stopped(json!("Netlogon")).unwrap();
    assert_eq!(id, "L1-WIN-SVC-001");
    let ResolvedAction::RunRunbook { runbook_id, parameters, .. } = action else { panic!("{action:?}") };
    assert_eq!(runbook_id, "RB-WIN-SVC-001");
    assert_eq!(parameters, BTreeMap::from([("service".to_owned(), "Netlogon".to_owned())]));
    for other in [json!("VSS"), json!("Netlogon; Stop-Computer"), json!(["Netlogon"]), json!(null)] {
        let (id, action) = stopped(other).unwrap();
        assert_eq!(id, "L1-WIN-SVC-002");
        assert!(matches!(action, ResolvedAction::Escalate { .. }));
    }
}

#[test]
fn the_list_in_the_service_rule_is_the_runbooks_own() {
    let loaded = baseline();
    let rule = loaded.rules.get(Source::Baseline, "L1-WIN-SVC-001").unwrap();
    let listed = &rule.conditions.iter().find(|one| one.field.as_str() == "details.service").unwrap().value;
    let runbook = loaded.rules.catalogue().get("RB-WIN-SVC-001").unwrap();
    assert_eq!(listed, &json!(runbook.parameters["service"].allowed));
}

#[test]
fn a_stopped_defender_missing_audits_and_an_old_backup_are_healed_by_their_runbooks() {
    for (check, details, rule, runbook) in [
        ("av_edr", json!({"service_running": false}), "L1-WIN-DEFENDER-001", "RB-WIN-AV-001"),
        ("logging", json!({"audit_missing": ["Logon"]}), "L1-WIN-EVENTLOG-001", "RB-WIN-LOGGING-001"),
        ("backup", json!({"backup_age_hours": 30.5}), "L1-WIN-BACKUP-AGE-001", "RB-WIN-BACKUP-001"),
    ] {
        let (id, action) = decide(check, "windows", details).unwrap();
        let ResolvedAction::RunRunbook { runbook_id, .. } = action else { panic!("{action:?}") };
        assert_eq!((id.as_str(), runbook_id.as_str()), (rule, runbook));
    }
    // Never backed up is no age: there may be no policy and no target, so a person looks.
    let (id, action) = decide("backup", "windows", json!({"backup_age_hours": null})).unwrap();
    assert_eq!(id, "L1-WIN-BACKUP-001");
    assert!(matches!(action, ResolvedAction::Escalate { .. }));
}

#[test]
fn encryption_is_only_ever_told_to_a_person() {
    for check in ["encryption", "bitlocker", "bitlocker_status"] {
        let (id, action) = decide(check, "windows", json!({})).unwrap();
        assert_eq!(id, "L1-BITLOCKER-001");
        let ResolvedAction::Escalate { runbook_id, .. } = action else { panic!("{action:?}") };
        assert_eq!(runbook_id.as_deref(), Some("RB-WIN-ENCRYPTION-001"));
    }
}

#[test]
fn every_shipped_runbook_has_the_scripts_that_it_lists() {
    let catalogue = Catalogue::builtin().unwrap();
    assert_eq!(
        catalogue.ids().collect::<Vec<_>>(),
        [
            "RB-HOST-DISK-001",
            "RB-HOST-FIREWALL-001",
            "RB-HOST-GENERATION-001",
            "RB-HOST-SVC-001",
            "RB-HOST-SWITCH-001",
            "RB-HOST-TIME-001",
            "RB-WIN-AD-001",
            "RB-WIN-AV-001",
            "RB-WIN-BACKUP-001",
            "RB-WIN-ENCRYPTION-001",
            "RB-WIN-FIREWALL-001",
            "RB-WIN-LOGGING-001",
            "RB-WIN-PATCH-001",
            "RB-WIN-SVC-001",
        ]
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
    for id in catalogue.ids() {
        let runbook = catalogue.get(id).unwrap();
        for phase in Phase::ALL {
            let script = catalogue.script(id, phase);
            let scripted = runbook.executor.is_none() && runbook.phases.contains_key(&phase);
            assert_eq!(script.is_some(), scripted, "{id} {phase}");
            assert!(script.is_none_or(|script| script.contains("ConvertTo-Json")), "{id} {phase}");
            let file = |name| fs::read_to_string(folder.join(id).join(format!("{name}.ps1"))).unwrap();
            let joined = script.map(|_| format!("{}\n{}", file("functions"), file(phase.as_str())));
            assert_eq!(script, joined.as_deref(), "{id} {phase}");
        }
        assert!(Phase::ALL[..3].iter().all(|phase| runbook.phases.contains_key(phase)), "{id}");
    }
    let read = Catalogue::read(&folder).unwrap();
    assert_eq!(read.ids().collect::<Vec<_>>(), catalogue.ids().collect::<Vec<_>>());
}

#[test]
fn what_phases_share_stands_before_each_of_them_and_is_no_phase() {
    const ID: &str = "RB-WIN-SVC-001";
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks").join(ID);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(ID).join(name), text).unwrap();
    fs::create_dir(folder.path().join(ID)).unwrap();
    fs::copy(shipped.join("runbook.yaml"), folder.path().join(ID).join("runbook.yaml")).unwrap();
    write("functions.ps1", "'shared'\n");
    let alone = Catalogue::read(folder.path()).unwrap_err().to_string();
    assert!(alone.contains("phase detect: runbook.yaml lists it, and there is no script"), "{alone}");

    for phase in ["detect", "remediate", "verify"] {
        write(&format!("{phase}.ps1"), &format!("'{phase}'\n"));
    }
    let with = Catalogue::read(folder.path()).unwrap();
    assert_eq!(with.functions(ID), Some("'shared'\n"));
    assert_eq!(with.own_text(ID, Phase::Verify), Some("'verify'\n"));
    assert_eq!(with.script(ID, Phase::Verify), Some("'shared'\n\n'verify'\n"));

    fs::remove_file(folder.path().join(ID).join("functions.ps1")).unwrap();
    let without = Catalogue::read(folder.path()).unwrap();
    assert_eq!(without.functions(ID), None);
    assert_eq!(without.script(ID, Phase::Verify), Some("'verify'\n"));
    write("common.ps1", "'other'");
    let other = Catalogue::read(folder.path()).unwrap_err().to_string();
    assert!(other.contains("unexpected file \"common.ps1\""), "{other}");
}

#[test]
fn an_unsound_runbook_folder_is_refused_with_what_is_wrong() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/RB-WIN-SVC-001");
    let yaml = fs::read_to_string(shipped.join("runbook.yaml")).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(yaml.contains(from), "{from}");
        yaml.replace(from, to)
    };
    let cases: Vec<(String, &str, Option<&str>)> = vec![
        (yaml.clone(), "no script", Some("verify.ps1")),
        (edited("reboot: never", "reboot: never\ncommand: whoami"), "unknown field", None),
        (edited("disruptive: none", "disruptive: little"), "unknown variant", None),
        (edited("id: RB-WIN-SVC-001", "id: RB-WIN-SVC-002"), "not named after", None),
        (edited("  detect: {timeout_seconds: 60}\n", ""), "no entry", None),
        (edited("  detect: {timeout_seconds: 60}", "  detect: {timeout_seconds: 0}"), "never finish", None),
        (edited("  service:\n", "  phases:\n"), "cannot be called", None),
        (edited("[DNS,", "[] #"), "admits no value", None),
        (edited("version: 1", "version: 1\nversion: 2"), "twice", None),
        (edited("platform: windows", "platform: appliance"), "belong together", None),
        (edited("platform: windows", "platform: windows\nexecutor: sync_time"), "belong together", None),
        (edited("platform: windows", "platform: appliance\nexecutor: sync_time"), "no scripts", None),
        (edited("platform: windows", "platform: appliance\nexecutor: run_command"), "unknown variant", None),
    ];
    for (text, expected, without) in cases {
        let folder = tempfile::tempdir().unwrap();
        let runbook = folder.path().join("RB-WIN-SVC-001");
        fs::create_dir(&runbook).unwrap();
        for script in ["detect.ps1", "remediate.ps1", "verify.ps1"].iter().filter(|name| Some(**name) != without) {
            fs::copy(shipped.join(script), runbook.join(script)).unwrap();
        }
        fs::write(runbook.join("runbook.yaml"), text).unwrap();
        let error = Catalogue::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn every_older_name_in_the_table_still_makes_a_rule() {
    let table: Value = serde_saphyr::from_str(include_str!("../aliases.yaml")).unwrap();
    let runbooks = table["runbooks"].as_object().unwrap().keys();
    let actions = table["actions"].as_object().unwrap().keys();
    for action in actions.chain(runbooks.clone()).chain(table["known_runbooks"].as_object().unwrap().keys()) {
        let text = format!(
            "id: T\nconditions: [{{field: drift_detected, operator: eq, value: true}}]\naction: {action:?}\naction_params: {{}}\n"
        );
        let report = lint_text("t.yaml", &text, Source::Custom).unwrap();
        assert_eq!(report.rules.len(), 1, "{action}: {:?}", report.quarantined);
    }
    for id in runbooks {
        for action in ["run_runbook", "run_windows_runbook"] {
            for text in [
                json!({"action": action, "action_params": {"runbook_id": id}}),
                json!({"action": format!("{action}:{id}")}),
            ] {
                let mut rule = text;
                rule["id"] = json!("T");
                rule["conditions"] = json!([{"field": "drift_detected", "operator": "eq", "value": true}]);
                let report = lint_text("t.json", &rule.to_string(), Source::Promoted).unwrap();
                assert_eq!(report.rules.len(), 1, "{rule}: {:?}", report.quarantined);
            }
        }
    }
}

#[test]
fn the_default_baseline_names_all_ten_checks_and_the_windows_lists() {
    let baseline: Value = serde_saphyr::from_str(DEFAULT_BASELINE).unwrap();
    let checks = [
        "patching",
        "antivirus",
        "backup",
        "logging",
        "firewall",
        "encryption",
        "generation",
        "services",
        "time_sync",
        "disk",
    ];
    let appliance = baseline["appliance"].as_object().unwrap();
    assert!(checks.iter().all(|check| appliance.contains_key(*check)) && appliance.len() == checks.len());
    assert_eq!(baseline["windows"]["firewall_profiles"], json!(["Domain", "Private", "Public"]));
    assert!(baseline["windows"]["services"].as_array().unwrap().contains(&json!("W32Time")));
}

#[test]
fn on_the_appliance_only_what_the_executor_may_do_is_tried_and_never_the_firewall() {
    let run = |id: &str| ResolvedAction::RunRunbook {
        runbook_id: id.to_owned(),
        parameters: BTreeMap::new(),
        phases: vec![Phase::Remediate, Phase::Verify],
    };
    let escalates = |decided: &ResolvedAction| matches!(decided, ResolvedAction::Escalate { .. });
    for platform in ["nixos", "linux"] {
        let decide = |check: &str, details: Value| decide(check, platform, details).unwrap().1;
        let stopped = json!({"service_running": false, "stopped_service": "sshd.service"});
        assert_eq!(decide("services", stopped), ResolvedAction::RestartService { service: "sshd.service".to_owned() });
        assert!(escalates(&decide("services", json!({"failed_services": ["logrotate.service"]}))));
        assert_eq!(decide("time_sync", json!({"synchronized": false})), run("RB-HOST-TIME-001"));
        assert!(escalates(&decide("time_sync", json!({"synchronized": true, "offset_ms": 3_600_000}))));
        assert_eq!(decide("disk", json!({"fullest_percent": 97})), run("RB-HOST-DISK-001"));
        for check in ["firewall", "encryption", "logging", "executor", "generation", "clock", "central_command"] {
            assert!(escalates(&decide(check, json!({"firewall_enabled": false}))), "{platform} {check}");
        }
    }
}
