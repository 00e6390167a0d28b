//! What does not load is reported at the value that is wrong, and hurts nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use msp_rules::{Loaded, Quarantined, RuleSet, Scope, Source, Sources, lint_rule_value, lint_text};
use serde_json::json;

/// A sound rule in block style, into which a case edits one line.
const SOUND: &str = "\
rules:
  - id: GOOD-1
    conditions: [{field: drift_detected, operator: eq, value: true}]
    action: escalate
  - id: SITE-001
    name: A rule
    conditions:
      - field: check_type
        operator: eq
        value: firewall
      - {field: details.size, operator: gt, value: 5}
    action: run_windows_runbook
    action_params:
      runbook_id: RB-WIN-SVC-001
      service: W32Time
      phases: [remediate, verify]
    severity_filter: [high]
    hipaa_controls: [\"164.312(b)\"]
    priority: 7
    cooldown_seconds: 60
    enabled: true
  - id: GOOD-2
    conditions: [{field: drift_detected, operator: eq, value: true}]
    action: escalate
";

fn only(text: &str) -> Quarantined {
    let report = lint_text("site.yaml", text, Source::Custom).unwrap();
    assert_eq!(report.quarantined.len(), 1, "{text}\n{:#?}", report.quarantined);
    report.quarantined[0].clone()
}

#[test]
fn the_sound_text_loads() {
    let report = lint_text("site.yaml", SOUND, Source::Custom).unwrap();
    assert!(report.quarantined.is_empty(), "{:#?}", report.quarantined);
    assert_eq!(report.rules.len(), 3);
}

/// Takes the mark `^` out of a text and says where it stood.
fn marked(text: &str) -> (String, u64, u64) {
    let (before, after) = text.split_once('^').expect("a mark");
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() as u64 + 1;
    (format!("{before}{after}"), line, column)
}

#[test]
fn each_kind_of_fault_is_reported_at_its_line_and_column_and_the_neighbours_load() {
    // What is edited, into what, with a mark before the offending place; path, reason, suggestion.
    type Case<'a> = (&'a str, &'a str, &'a str, &'a str, Option<&'a str>);
    let cases: [Case<'_>; 40] = [
        ("name: A rule", "^nmae: A rule", "nmae", "unknown field \"nmae\"", Some("name")),
        ("name: A rule", "name: ^5", "name", "name must be a text, not a number", None),
        ("name: A rule", "name: ^\"\"", "name", "name is empty", None),
        ("id: SITE-001", "id: ^[SITE-001]", "id", "id must be a text, not a list", None),
        ("id: SITE-001", "id: ^SITE 001", "id", "the id may have", None),
        ("id: SITE-001", "id: ^GOOD-1", "id", "the id is taken by site.yaml:2:5", None),
        ("id: SITE-001", "id: ^L1-BITLOCKER-001", "id", "the id belongs to a built-in rule", None),
        ("operator: eq\n  ", "operator: ^equals\n  ", "conditions[0].operator", "unknown operator \"equals\"", None),
        ("operator: gt", "operator: ^gte", "conditions[1].operator", "unknown operator \"gte\"", Some("ge")),
        ("operator: gt", "^opertor: gt", "conditions[1].opertor", "unknown field \"opertor\"", Some("operator")),
        (
            "{field: details.size, operator: gt",
            "^{field: details.size",
            "conditions[1].operator",
            "operator is missing",
            None,
        ),
        ("value: firewall", "^value:", "conditions[0].value", "conditions[0].value is missing", None),
        (
            "field: details.size",
            "field: ^detials.size",
            "conditions[1].field",
            "unknown field \"detials.size\"",
            Some("details.size"),
        ),
        ("field: details.size", "field: ^details..size", "conditions[1].field", "has an empty part", None),
        ("field: details.size", "field: ^severity.size", "conditions[1].field", "leads nowhere", None),
        ("value: 5", "value: ^\"5\"", "conditions[1].value", "gt takes a number, not a text", None),
        ("gt, value: 5", "in, value: ^5", "conditions[1].value", "in takes a list, not a number", None),
        ("gt, value: 5", "in, value: ^[]", "conditions[1].value", "at least one value", None),
        ("gt, value: 5", "in, value: [5, ^a]", "conditions[1].value[1]", "a list holds a number and a text", None),
        ("gt, value: 5", "eq, value: ^[5]", "conditions[1].value", "must be a text, a number or a boolean", None),
        ("gt, value: 5", "exists, value: ^yes", "conditions[1].value", "exists takes true or false", None),
        ("gt, value: 5", "regex, value: ^\"(\"", "conditions[1].value", "bad regex \"(\": unclosed group", None),
        ("gt, value: 5", "not_regex, value: ^5", "conditions[1].value", "not_regex takes a pattern", None),
        ("gt, value: 5", "regex, value: ^\"(a{1000}){1000}\"", "conditions[1].value", "it needs more than", None),
        ("- id: SITE-001", "- ^id: SITE-001", "action", "action is missing", None),
        (
            "action: run_windows_runbook",
            "action: ^run_windows_runbok",
            "action",
            "unknown action \"run_windows_runbok\"",
            Some("run_windows_runbook"),
        ),
        ("action: run_windows_runbook", "action: ^run_command", "action", "never carries a command", None),
        (
            "runbook_id: RB-WIN-SVC-001",
            "runbook_id: ^RB-WIN-SCV-001",
            "action_params.runbook_id",
            "unknown runbook \"RB-WIN-SCV-001\"",
            Some("RB-WIN-SVC-001"),
        ),
        (
            "runbook_id: RB-WIN-SVC-001\n      ",
            "^",
            "action_params.runbook_id",
            "action_params.runbook_id is missing",
            None,
        ),
        (
            "service: W32Time",
            "service: ^w32time",
            "action_params.service",
            "does not admit service = \"w32time\"",
            Some("W32Time"),
        ),
        (
            "runbook_id: RB-WIN-SVC-001\n      service: W32Time",
            "^runbook_id: RB-WIN-SVC-001",
            "action_params.service",
            "parameter service of RB-WIN-SVC-001 is missing",
            None,
        ),
        (
            "service: W32Time",
            "service: {^form: details.service}",
            "action_params.service.form",
            "unknown field \"form\"",
            Some("from"),
        ),
        (
            "service: W32Time",
            "service: {from: ^detail.service}",
            "action_params.service.from",
            "unknown field \"detail.service\"",
            Some("details.service"),
        ),
        (
            "service: W32Time",
            "service: W32Time\n      ^command: whoami",
            "action_params.command",
            "it never carries a command",
            None,
        ),
        (
            "[remediate, verify]",
            "[remediate, ^verfy]",
            "action_params.phases[1]",
            "unknown phase \"verfy\"",
            Some("verify"),
        ),
        ("[remediate, verify]", "[verify, ^remediate]", "action_params.phases[1]", "out of order", None),
        (
            "severity_filter: [high]",
            "severity_filter: [^higth]",
            "severity_filter[0]",
            "unknown severity \"higth\"",
            Some("high"),
        ),
        ("priority: 7", "priority: ^-7", "priority", "must be a whole number", None),
        ("cooldown_seconds: 60", "cooldown_seconds: ^1.5", "cooldown_seconds", "must be a whole number", None),
        ("enabled: true", "enabled: ^no", "enabled", "enabled must be true or false, not a text", None),
    ];
    for (from, to, field, reason, suggestion) in cases {
        assert_eq!(SOUND.matches(from).count(), 1, "{from:?}");
        let (mut text, line, column) = marked(&SOUND.replace(from, to));
        if reason == "action is missing" {
            text = text.replace("    action: run_windows_runbook\n", "");
        }
        let found = only(&text);
        assert_eq!((found.line, found.column, found.field.as_str()), (line, column, field), "{to:?}: {found}");
        assert!(found.reason.contains(reason), "{to:?}: {found}");
        assert_eq!(found.suggestion.as_deref(), suggestion, "{to:?}: {found}");
        assert_eq!((found.scope, found.others_loaded), (Scope::Rule, 2), "{to:?}");
    }
}

#[test]
fn a_rule_that_would_match_everything_or_run_on_the_wrong_platform_is_quarantined() {
    let rule = |conditions: &str, action: &str| format!("- id: T\n  conditions: {conditions}\n  action: {action}\n");
    assert_eq!(only(&rule("[]", "escalate")).reason, "conditions are empty, so every finding would match");
    let wrong = only(&rule("[{field: platform, operator: eq, value: nixos}]", "RB-WIN-FIREWALL-001"));
    assert_eq!(
        (wrong.line, wrong.column, wrong.reason.as_str()),
        (3, 11, "RB-WIN-FIREWALL-001 acts on windows, and the rule asks for platform eq \"nixos\"")
    );
    let undo = only(&rule(
        "[{field: platform, operator: exists, value: true}]",
        "RB-WIN-FIREWALL-001\n  action_params: {phases: [undo]}",
    ));
    assert!(undo.reason.contains("a rule cannot ask for it"), "{undo}");
}

#[test]
fn the_message_has_the_promised_shape() {
    let text = "rules:\n  - id: L1-FW-002\n    conditions:\n      - {field: host_id, operator: notregex, value: x}\n    action: escalate\n";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.yaml"), text).unwrap();
    let sources = Sources { custom: Some(folder.path().to_owned()), ..Sources::default() };
    let loaded = RuleSet::load(&sources).unwrap();
    let path = folder.path().join("site.yaml");
    let expected = format!(
        "{}:4:36: unknown operator \"notregex\" in rule L1-FW-002 (did you mean \"not_regex\"?); the rule is quarantined, {} others loaded",
        path.display(),
        loaded.rules.len()
    );
    assert_eq!(loaded.quarantined[0].to_string(), expected);
}

#[test]
fn a_text_that_is_no_document_is_quarantined_whole_with_its_position() {
    for (text, reason) in [
        ("rules: [\n  ^- id: A\n", "not valid YAML"),
        ("rules:\n  - id: A\n    ^id: B\n", "the key \"id\" appears twice"),
        ("^rulez: []\n", "unknown field \"rulez\""),
        ("rules: ^5\n", "rules must be a list, not a number"),
        ("schema_version: ^2\nrules: []\n", "schema_version 2 is not 1"),
        ("^just text\n", "a rule file must be a mapping"),
        ("{\"rules\": ^[}", "not valid YAML"),
    ] {
        let (text, line, column) = marked(text);
        let found = only(&text);
        assert_eq!((found.line, found.column, found.scope), (line, column, Scope::File), "{text:?}: {found}");
        assert!(found.reason.contains(reason), "{text:?}: {found}");
        assert!(found.to_string().ends_with("; the file is quarantined, 0 rules loaded"), "{found}");
    }
    for empty in ["", "# nothing yet\n", "rules:\n", "rules: []\n"] {
        let report = lint_text("site.yaml", empty, Source::Custom).unwrap();
        assert!(report.quarantined.is_empty() && report.rules.is_empty(), "{empty:?}");
    }
}

#[test]
fn a_rule_held_as_json_is_refused_by_the_name_of_the_field() {
    let rule = json!({"id": "T", "action": "escalate",
        "conditions": [{"field": "details.x", "operator": "regexp", "value": "x"}]});
    let report = lint_rule_value(&rule, Source::Synced).unwrap();
    let found = &report.quarantined[0];
    assert_eq!((found.line, found.field.as_str()), (0, "conditions[0].operator"));
    assert_eq!(
        found.to_string(),
        "rule: unknown operator \"regexp\" in rule T (did you mean \"regex\"?); the rule is quarantined, 0 others loaded"
    );
    let sound = json!({"id": "T", "action": "escalate", "conditions": [{"field": "details.x", "operator": "regex", "value": "x"}]});
    assert_eq!(lint_rule_value(&sound, Source::Synced).unwrap().rules[0].priority, 5);
}

fn load_custom(files: &[(&str, &str)]) -> (tempfile::TempDir, Loaded) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let loaded = RuleSet::load(&Sources { custom: Some(folder.path().to_owned()), ..Sources::default() }).unwrap();
    (folder, loaded)
}

#[test]
fn enabled_false_under_its_id_switches_a_built_in_rule_off_and_nothing_else_may_stand_there() {
    let all = RuleSet::load(&Sources::default()).unwrap().rules.len();
    let (_folder, loaded) = load_custom(&[("off.yaml", "- {id: L1-WIN-FIREWALL-001, enabled: false}\n")]);
    assert!(loaded.quarantined.is_empty(), "{:?}", loaded.quarantined);
    assert_eq!(loaded.switched_off[0].rule_id, "L1-WIN-FIREWALL-001");
    assert_eq!(loaded.rules.len(), all - 1);
    assert!(loaded.rules.get(Source::Baseline, "L1-WIN-FIREWALL-001").is_none());

    let redefined = "- {id: L1-WIN-FIREWALL-001, priority: 0, action: escalate, conditions: [{field: platform, operator: exists, value: true}]}\n";
    for text in
        [redefined, "- {id: L1-WIN-FIREWALL-001, enabled: true}\n", "- {id: L1-WIN-FIREWALL-001, enabled: no}\n"]
    {
        let (_folder, loaded) = load_custom(&[("off.yaml", text)]);
        assert!(loaded.quarantined[0].reason.contains("belongs to a built-in rule"), "{}", loaded.quarantined[0]);
        assert_eq!((loaded.rules.len(), loaded.switched_off.len()), (all, 0));
    }
    let (_folder, loaded) = load_custom(&[("off.yaml", "- {id: L1-WIN-FIREWAL-001, enabled: false}\n")]);
    assert_eq!(loaded.quarantined[0].suggestion.as_deref(), Some("L1-WIN-FIREWALL-001"));
    assert_eq!(loaded.rules.len(), all);
}

#[test]
fn the_server_can_neither_switch_off_nor_replace_a_built_in_rule() {
    let all = RuleSet::load(&Sources::default()).unwrap().rules.len();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), r#"[{"id": "L1-WIN-FIREWALL-001", "enabled": false}]"#).unwrap();
    let path = Some(folder.path().to_owned());
    for sources in
        [Sources { synced: path.clone(), ..Sources::default() }, Sources { promoted: path, ..Sources::default() }]
    {
        let loaded = RuleSet::load(&sources).unwrap();
        assert_eq!((loaded.rules.len(), loaded.switched_off.len(), loaded.quarantined.len()), (all, 0, 1));
    }
}

#[test]
fn files_that_cannot_be_rules_are_named_and_the_others_load() {
    let good = "id: GOOD\nconditions: [{field: drift_detected, operator: eq, value: true}]\naction: escalate\n";
    let (folder, loaded) = load_custom(&[("a.yaml", good), ("b.txt", good), (".hidden.yaml", "["), ("c.yaml", "[")]);
    assert!(loaded.rules.get(Source::Custom, "GOOD").is_some());
    assert_eq!(loaded.quarantined.len(), 1);
    assert!(loaded.quarantined[0].file.ends_with("c.yaml"));
    assert!(loaded.warnings.iter().any(|warning| warning.file.ends_with("b.txt")), "{:?}", loaded.warnings);

    fs::write(folder.path().join("d.yaml"), b"id: x\n  \xff").unwrap();
    fs::create_dir(folder.path().join("e.yaml")).unwrap();
    std::os::unix::fs::symlink(Path::new("/nonexistent"), folder.path().join("f.yaml")).unwrap();
    std::os::unix::net::UnixListener::bind(folder.path().join("g.yaml")).unwrap();
    let loaded = RuleSet::load(&Sources { custom: Some(folder.path().to_owned()), ..Sources::default() }).unwrap();
    let shown: Vec<String> = loaded.quarantined.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 4, "{shown:#?}");
    assert!(shown[1].contains("d.yaml:2:3: the file is not UTF-8 text"), "{shown:#?}");
    assert!(shown[2].contains("f.yaml:1:1: the file cannot be read"), "{shown:#?}");
    assert!(shown[3].contains("g.yaml:1:1: not a regular file"), "{shown:#?}");
    assert!(loaded.rules.get(Source::Custom, "GOOD").is_some());
}

#[test]
fn a_folder_that_does_not_exist_holds_no_rules() {
    let sources = Sources { custom: Some("/nonexistent/rules".into()), ..Sources::default() };
    let loaded = RuleSet::load(&sources).unwrap();
    assert!(loaded.quarantined.is_empty() && !loaded.rules.is_empty());
}

#[test]
fn a_rule_that_loads_with_a_doubt_comes_with_a_warning_at_its_place() {
    let warnings = |text: &str| {
        let report = lint_text("site.yaml", text, Source::Custom).unwrap();
        assert_eq!(report.rules.len(), 1, "{:?}", report.quarantined);
        report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let text = "id: T\nconditions: [{field: check_type, operator: eq, value: firewal}]\naction: escalate\n";
    let expected =
        "site.yaml:2:13: warning: rule T: no built-in check is called \"firewal\" (did you mean \"firewall\"?)";
    assert_eq!(warnings(text), [expected]);
    let text = "id: T\nconditions: [{field: check_type, operator: eq, value: patching}]\naction: run_runbook\naction_params:\n  runbook_id: RB-WIN-PATCH-001\n  phases: [remediate]\n";
    let expected =
        ["site.yaml:6:11: warning: rule T: phases do not end in verify, which is run all the same: it decides"];
    assert_eq!(warnings(text), expected);
}
