//! Rules as deployments have written them, in YAML and JSON, under older names: each loads and matches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use msp_rules::{Action, Baseline, Phase, ResolvedAction, RuleSet, Severity, Source, Sources, View, lint_text};
use serde_json::{Value, json};

const FIVE: &str = include_str!("data/windows-baseline.yaml");

fn finding(check_type: &str, details: Value) -> View {
    let value = json!({
        "check_type": check_type, "incident_type": check_type, "severity": "high", "platform": "windows",
        "host_id": "192.168.88.244", "status": "fail", "drift_detected": true, "pre_state": {}, "details": details,
    });
    View::from_value(value).unwrap()
}

/// A finding for each of the five, under every spelling of its check.
fn findings() -> Vec<(&'static str, View)> {
    let mut findings = Vec::new();
    let mut add = |id, spellings: &[&str], details: Value| {
        findings.extend(spellings.iter().map(|check| (id, finding(check, details.clone()))));
    };
    add("WIN-DEFENDER-001", &["av_edr", "antivirus"], json!({"service_running": false, "signature_age_days": 3}));
    add("WIN-EVENTLOG-001", &["logging"], json!({"service_running": false}));
    add(
        "WIN-FIREWALL-001",
        &["firewall", "firewall_status"],
        json!({"firewall_enabled": false, "profiles": {"Domain": "False"}}),
    );
    add("WIN-PATCH-CRITICAL-001", &["patching"], json!({"critical_missing": 2, "missing": ["KB5034441"]}));
    add("WIN-BACKUP-AGE-001", &["backup", "backup_status", "windows_backup_status"], json!({"backup_age_hours": 24.5}));
    findings
}

fn assert_decides(sources: &Sources, prefix: &str, source: Source) {
    let loaded = RuleSet::load(sources).unwrap();
    assert!(loaded.quarantined.is_empty(), "{:#?}", loaded.quarantined);
    for (id, view) in findings() {
        let found = loaded.rules.find(&view).unwrap_or_else(|| panic!("{id}: {}", loaded.rules.explain(&view)));
        let matched = std::iter::once(&found.rule)
            .chain(&found.others)
            .any(|rule| rule.id == format!("{prefix}{id}") && rule.source == source);
        assert!(matched, "{id}: {}", loaded.rules.explain(&view));
        found.resolve(&view).unwrap();
    }
}

#[test]
fn the_five_windows_rules_load_as_baseline_and_each_decides_about_its_finding() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("windows.yaml"), FIVE).unwrap();
    let sources = Sources { baseline: Baseline::Folder(folder.path().to_owned()), ..Sources::default() };
    assert_decides(&sources, "L1-", Source::Baseline);
    let loaded = RuleSet::load(&sources).unwrap();
    let view = finding("patching", json!({"critical_missing": 1}));
    let found = loaded.rules.find(&view).unwrap();
    let expected = ResolvedAction::Escalate {
        reason: "A critical update is missing".to_owned(),
        urgency: Severity::High,
        runbook_id: Some("RB-WIN-PATCH-001".to_owned()),
    };
    assert_eq!(found.resolve(&view).unwrap(), expected);
}

#[test]
fn the_five_windows_rules_load_from_every_other_source_in_yaml_and_json() {
    let renamed = FIVE.replace("L1-WIN", "SITE-WIN");
    let tree: Value = serde_saphyr::from_str(&renamed).unwrap();
    let pretty = serde_json::to_string_pretty(&tree).unwrap();
    let bare = tree["rules"].to_string();
    let folder = |name: &str, text: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        folder
    };
    for (name, text) in [("a.yaml", &renamed), ("a.yml", &renamed), ("a.json", &pretty), ("a.json", &bare)] {
        let folder = folder(name, text);
        let path = Some(folder.path().to_owned());
        assert_decides(&Sources { custom: path.clone(), ..Sources::default() }, "SITE-", Source::Custom);
        assert_decides(&Sources { synced: path.clone(), ..Sources::default() }, "SITE-", Source::Synced);
        assert_decides(&Sources { promoted: path, ..Sources::default() }, "SITE-", Source::Promoted);
    }
    let single = tempfile::tempdir().unwrap();
    for (number, rule) in tree["rules"].as_array().unwrap().iter().enumerate() {
        fs::write(single.path().join(format!("{number}.json")), rule.to_string()).unwrap();
    }
    let sources = Sources { promoted: Some(single.path().to_owned()), ..Sources::default() };
    assert_decides(&sources, "SITE-", Source::Promoted);
}

#[test]
fn a_rule_written_for_any_spelling_of_a_check_matches_a_finding_of_any_other() {
    let groups: [&[&str]; 7] = [
        &["antivirus", "av_edr"],
        &["encryption", "bitlocker", "bitlocker_status"],
        &["backup", "backup_status", "windows_backup_status"],
        &["firewall", "firewall_status"],
        &["time_sync", "ntp_sync"],
        &["services", "critical_services"],
        &["disk", "disk_space"],
    ];
    let folder = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let sources = Sources {
        baseline: Baseline::Folder(empty.path().to_owned()),
        custom: Some(folder.path().to_owned()),
        ..Sources::default()
    };
    for group in groups {
        for written in group {
            let rules: Vec<Value> = [
                ("eq", json!(written)),
                ("in", json!([written, "other"])),
                ("regex", json!(format!("^{written}$"))),
                ("contains", json!(written)),
                ("ne", json!(written)),
                ("not_in", json!([written])),
                ("not_regex", json!(format!("^{written}$"))),
            ]
            .into_iter()
            .map(|(operator, value)| {
                json!({"id": operator, "action": "escalate",
                    "conditions": [{"field": "check_type", "operator": operator, "value": value}]})
            })
            .collect();
            fs::write(folder.path().join("a.json"), json!(rules).to_string()).unwrap();
            let loaded = RuleSet::load(&sources).unwrap();
            for observed in group {
                let view = finding(observed, json!({}));
                let found = loaded.rules.find(&view).unwrap();
                let mut ids: Vec<&str> = std::iter::once(found.rule.id.as_str())
                    .chain(found.others.iter().map(|rule| rule.id.as_str()))
                    .collect();
                ids.sort_unstable();
                assert_eq!(ids, ["contains", "eq", "in", "regex"], "written {written}, observed {observed}");
            }
        }
    }
}

fn action_of(text: &str) -> Action {
    let report = lint_text("older.yaml", text, Source::Promoted).unwrap();
    assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
    report.rules[0].action.clone()
}

#[test]
fn older_actions_keep_their_meaning() {
    let rule = |action: &str| {
        format!(
            "id: T\nconditions: [{{field: drift_detected, operator: eq, value: true}}]\n{action}\nsource: promoted\n"
        )
    };
    let runs = |action: &str, wanted: &str| match action_of(&rule(action)) {
        Action::RunRunbook { runbook_id, phases, .. } => {
            assert_eq!(runbook_id, wanted, "{action}");
            assert_eq!(phases, [Phase::Remediate, Phase::Verify], "{action}");
        }
        other => panic!("{action}: {other:?}"),
    };
    runs("action: enable_bitlocker", "RB-WIN-ENCRYPTION-001");
    runs("action: restore_firewall_baseline", "RB-WIN-FIREWALL-001");
    runs("action: alert:firewall_disabled", "RB-WIN-FIREWALL-001");
    runs("action: AUTO-FIREWALL", "RB-WIN-FIREWALL-001");
    runs("action: run_runbook:AUTO-BITLOCKER_STATUS", "RB-WIN-ENCRYPTION-001");
    runs("action: run_runbook:RB-WIN-AV-001", "RB-WIN-AV-001");
    runs("action: RB-WIN-SEC-005", "RB-WIN-ENCRYPTION-001");
    runs(
        "action: run_windows_runbook\naction_params: {runbook_id: RB-WIN-SEC-005, phases: [remediate]}",
        "RB-WIN-ENCRYPTION-001",
    );
    assert!(matches!(
        action_of(&rule("action: alert:bitlocker_disabled")),
        Action::Escalate { urgency: Severity::High, runbook_id: Some(id), .. } if id == "RB-WIN-ENCRYPTION-001"
    ));
    assert!(matches!(
        action_of(&rule("action: ESCALATE\naction_params: {urgency: critical}")),
        Action::Escalate { urgency: Severity::Critical, .. }
    ));
    assert!(matches!(
        action_of(&rule("action: restart_service\naction_params: {service_name: auditd}")),
        Action::RestartService { .. }
    ));
}

#[test]
fn a_service_restart_is_the_runbook_on_windows_and_a_unit_on_the_appliance() {
    let folder = tempfile::tempdir().unwrap();
    let rule = json!([{"id": "RESTART", "priority": 0, "action": "restart_service",
        "action_params": {"service": {"from": "details.unit"}},
        "conditions": [{"field": "details.unit", "operator": "exists", "value": true}]}]);
    fs::write(folder.path().join("a.json"), rule.to_string()).unwrap();
    let sources = Sources { custom: Some(folder.path().to_owned()), ..Sources::default() };
    let loaded = RuleSet::load(&sources).unwrap();
    let on = |platform: &str, unit: Value| {
        let view =
            View::from_value(json!({"check_type": "x", "platform": platform, "details": {"unit": unit}})).unwrap();
        loaded.rules.find(&view).unwrap().resolve(&view).map_err(|error| error.to_string())
    };
    assert!(
        matches!(on("nixos", json!("auditd.service")), Ok(ResolvedAction::RestartService { service }) if service == "auditd.service")
    );
    assert!(
        matches!(on("windows", json!("W32Time")), Ok(ResolvedAction::RunRunbook { runbook_id, .. }) if runbook_id == "RB-WIN-SVC-001")
    );
    assert!(on("windows", json!("VSS")).unwrap_err().contains("does not admit service = \"VSS\""));
    for hostile in ["--now", "a b", "../x", "$(reboot)", "a\\x2d"] {
        assert!(on("nixos", json!(hostile)).unwrap_err().contains("no service name"), "{hostile}");
    }
    assert!(on("nixos", json!(7)).unwrap_err().contains("which is no text"));
}
