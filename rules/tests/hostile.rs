//! Texts made to hurt the loader: each ends quickly, with a reason, and hurts no sound rule.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::fs;

use msp_rules::{LintReport, MAX_FILE_BYTES, RuleSet, Source, Sources, View, lint_text};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use serde_json::{Value, json};

fn lint(text: &str) -> LintReport {
    lint_text("hostile.yaml", text, Source::Synced).unwrap()
}

fn refused_whole(text: &str, reason: &str) {
    let report = lint(text);
    assert!(report.rules.is_empty());
    assert_eq!(report.quarantined.len(), 1);
    let shown = report.quarantined[0].to_string();
    assert!(shown.contains(reason), "{reason}: {}", &shown[..shown.len().min(300)]);
}

#[test]
fn a_text_that_grows_when_it_is_read_is_refused() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let before = level - 1;
        writeln!(laughs, "a{level}: &a{level} [{}]", vec![format!("*a{before}"); 9].join(", ")).unwrap();
    }
    laughs.push_str("rules: *a11\n");
    refused_whole(&laughs, "alias");
    refused_whole("rules: &a [*a]\n", "not valid YAML");
}

#[test]
fn a_text_that_is_too_deep_or_too_long_is_refused() {
    refused_whole(&format!("rules: {}{}", "[".repeat(100_000), "]".repeat(100_000)), "not valid YAML");
    refused_whole(&format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000)), "not valid YAML");
    let mut steps = String::new();
    for depth in 0..500 {
        writeln!(steps, "{}a:", " ".repeat(depth)).unwrap();
    }
    refused_whole(&steps, "not valid YAML");
    refused_whole(&"#".repeat(MAX_FILE_BYTES + 1), "longer than");
}

#[test]
fn ten_thousand_rules_in_one_file_are_refused_and_a_thousand_load() {
    let rules = |count: usize| {
        let mut text = String::from("rules:\n");
        for number in 0..count {
            writeln!(
                text,
                "- {{id: R{number}, conditions: [{{field: host_id, operator: eq, value: h}}], action: escalate}}"
            )
            .unwrap();
        }
        text
    };
    refused_whole(&rules(10_000), "budget");
    assert_eq!(lint(&rules(1_000)).rules.len(), 1_000);
}

#[test]
fn a_pattern_that_takes_other_engines_forever_is_matched_in_linear_time() {
    let folder = tempfile::tempdir().unwrap();
    let rule = json!([{"id": "T", "action": "escalate",
        "conditions": [{"field": "details.x", "operator": "regex", "value": "^(a+)+$"}]}]);
    fs::write(folder.path().join("a.json"), rule.to_string()).unwrap();
    let loaded = RuleSet::load(&Sources { custom: Some(folder.path().to_owned()), ..Sources::default() }).unwrap();
    let view = |text: String| View::from_value(json!({"details": {"x": text}})).unwrap();
    assert!(loaded.rules.find(&view(format!("{}b", "a".repeat(200_000)))).is_none());
    assert!(loaded.rules.find(&view("a".repeat(200_000))).is_some());
}

#[test]
fn five_hundred_faulty_rules_do_not_stop_the_one_that_is_sound() {
    let faults: [Value; 10] = [
        json!({}),
        json!(null),
        json!("rm -rf /"),
        json!({"id": "X"}),
        json!({"id": "X", "conditions": [], "action": "escalate"}),
        json!({"id": "X", "conditions": [{"field": "details.x", "operator": "eq", "value": {}}], "action": "escalate"}),
        json!({"id": "X", "conditions": [{"field": "details.x", "operator": "regex", "value": "[" }], "action": "escalate"}),
        json!({"id": "X", "conditions": {"field": "x"}, "action": ["escalate"]}),
        json!({"id": "X", "conditions": [{"field": "details.x", "operator": "exists", "value": true}], "action": "run_runbook",
            "action_params": {"runbook_id": "RB-WIN-SVC-001", "service": "$(reboot)"}}),
        json!({"id": "X", "conditions": [{"field": "details.x", "operator": "exists", "value": true}], "action": "run_runbook",
            "action_params": {"runbook_id": "RB-WIN-FIREWALL-001", "script": "Stop-Computer"}}),
    ];
    let mut rules: Vec<Value> = (0..500).map(|number| faults[number % faults.len()].clone()).collect();
    let good = json!({"id": "GOOD", "action": "escalate", "priority": 0,
        "conditions": [{"field": "details.x", "operator": "exists", "value": true}]});
    rules.insert(250, good);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), json!({"rules": rules}).to_string()).unwrap();
    let loaded = RuleSet::load(&Sources { synced: Some(folder.path().to_owned()), ..Sources::default() }).unwrap();
    assert_eq!(loaded.quarantined.len(), 500);
    let view = View::from_value(json!({"details": {"x": 1}})).unwrap();
    assert_eq!(loaded.rules.find(&view).unwrap().rule.id, "GOOD");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_in_a_folder_make_a_load_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..3000) {
        let folder = tempfile::tempdir().unwrap();
        let sound = include_str!("data/windows-baseline.yaml").replace("L1-", "SITE-");
        let cut = (0..=cut.min(sound.len())).rev().find(|end| sound.is_char_boundary(*end)).unwrap();
        fs::write(folder.path().join("a.yaml"), &bytes).unwrap();
        fs::write(folder.path().join("b.yaml"), &sound[..cut]).unwrap();
        fs::write(folder.path().join("c.yaml"), &sound).unwrap();
        let loaded = RuleSet::load(&Sources { custom: Some(folder.path().to_owned()), ..Sources::default() }).unwrap();
        let site = loaded.rules.iter().filter(|rule| rule.id.starts_with("SITE-")).count();
        prop_assert_eq!(site, 5);
    }
}
