//! The twelve operators, and what they make of fields that are missing or of another kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use msp_rules::{Baseline, Facts, Operator, Outcome, RuleSet, Severity, Sources, Verdict, View};
use serde_json::{Map, Value, json};

/// A rule set of one rule with one condition on `details.x`, next to a marker that always matches.
fn rules(operator: &str, value: &Value) -> RuleSet {
    let custom = tempfile::tempdir().unwrap();
    let rule = json!([
        {"id": "T", "action": "escalate", "conditions": [{"field": "details.x", "operator": operator, "value": value}]},
    ]);
    fs::write(custom.path().join("t.json"), rule.to_string()).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let baseline = Baseline::Folder(empty.path().to_owned());
    let sources = Sources { baseline, custom: Some(custom.path().to_owned()), ..Sources::default() };
    let loaded = RuleSet::load(&sources).unwrap();
    assert!(loaded.quarantined.is_empty(), "{operator} {value}: {:?}", loaded.quarantined);
    loaded.rules
}

/// `None` for the actual value leaves the field out.
fn outcome(operator: &str, value: Value, actual: Option<Value>) -> Outcome {
    let rules = rules(operator, &value);
    let mut details = Map::new();
    if let Some(actual) = actual {
        details.insert("x".to_owned(), actual);
    }
    let view = View::from_value(json!({"check_type": "any", "details": details})).unwrap();
    let explained = match rules.explain(&view).rules[0].verdict.clone() {
        Verdict::Won => Outcome::Holds,
        Verdict::Failed { outcome, .. } => outcome,
        Verdict::Outranked { by } => panic!("outranked by {by}"),
    };
    assert_eq!(rules.find(&view).is_some(), explained == Outcome::Holds, "find and explain agree");
    explained
}

#[test]
fn each_operator_holds_and_differs_where_it_should() {
    use Outcome::{Differs, Holds};
    let cases = [
        ("eq", json!("a"), json!("a"), Holds),
        ("eq", json!("a"), json!("A"), Differs),
        ("eq", json!(true), json!(true), Holds),
        ("eq", json!(24), json!(24.0), Holds),
        ("eq", json!(24.0), json!(24), Holds),
        ("eq", json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64), Differs),
        ("eq", json!(u64::MAX), json!(-1), Differs),
        ("ne", json!("a"), json!("b"), Holds),
        ("ne", json!(24), json!(24.0), Differs),
        ("gt", json!(24), json!(24.5), Holds),
        ("gt", json!(24), json!(24.0), Differs),
        ("gt", json!(-1), json!(0), Holds),
        ("ge", json!(24), json!(24.0), Holds),
        ("ge", json!(24.5), json!(24), Differs),
        ("lt", json!(0.5), json!(0), Holds),
        ("lt", json!(5), json!(5), Differs),
        ("le", json!(5), json!(5), Holds),
        ("le", json!(5), json!(u64::MAX), Differs),
        ("contains", json!("fire"), json!("a firewall"), Holds),
        ("contains", json!("Fire"), json!("a firewall"), Differs),
        ("contains", json!("b"), json!(["a", "b"]), Holds),
        ("contains", json!("b"), json!(["ab"]), Differs),
        ("contains", json!(2), json!([1, 2.0]), Holds),
        ("contains", json!(2), json!([]), Differs),
        ("in", json!(["a", "b"]), json!("b"), Holds),
        ("in", json!([1, 2]), json!(2.0), Holds),
        ("in", json!(["a", "b"]), json!("c"), Differs),
        ("not_in", json!(["a", "b"]), json!("c"), Holds),
        ("not_in", json!(["a", "b"]), json!("a"), Differs),
        ("exists", json!(true), json!(false), Holds),
        ("exists", json!(true), json!({}), Holds),
        ("exists", json!(false), json!(0), Differs),
        ("regex", json!("^KB[0-9]+$"), json!("KB5034441"), Holds),
        ("regex", json!("34"), json!("KB5034441"), Holds),
        ("regex", json!("^34"), json!("KB5034441"), Differs),
        ("not_regex", json!("^34"), json!("KB5034441"), Holds),
        ("not_regex", json!("^KB"), json!("KB5034441"), Differs),
    ];
    for (operator, value, actual, expected) in cases {
        let found = outcome(operator, value.clone(), Some(actual.clone()));
        assert_eq!(found, expected, "{actual} {operator} {value}");
    }
}

fn sample(operator: Operator) -> Value {
    match operator {
        Operator::In | Operator::NotIn => json!(["a"]),
        Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => json!(1),
        Operator::Exists => json!(true),
        Operator::Eq | Operator::Ne | Operator::Contains | Operator::Regex | Operator::NotRegex => json!("a"),
    }
}

#[test]
fn a_missing_or_null_field_satisfies_only_exists_false() {
    for operator in Operator::ALL {
        for actual in [None, Some(Value::Null)] {
            assert_ne!(outcome(operator.as_str(), sample(operator), actual), Outcome::Holds, "{}", operator.as_str());
        }
    }
    assert_eq!(outcome("exists", json!(false), None), Outcome::Holds);
    assert_eq!(outcome("exists", json!(false), Some(Value::Null)), Outcome::Holds);
    assert_eq!(outcome("ne", json!("a"), None), Outcome::Missing);
}

#[test]
fn what_cannot_be_compared_never_matches_not_even_negated() {
    let other_kinds = |operator: Operator| match operator {
        Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => {
            vec![json!("5"), json!(true), json!([5]), json!({})]
        }
        Operator::Contains => vec![json!(5), json!(true), json!({"a": "a"})],
        Operator::Exists => vec![],
        Operator::Eq | Operator::Ne | Operator::In | Operator::NotIn | Operator::Regex | Operator::NotRegex => {
            vec![json!(5), json!(false), json!(["a"]), json!({})]
        }
    };
    for operator in Operator::ALL {
        for actual in other_kinds(operator) {
            let found = outcome(operator.as_str(), sample(operator), Some(actual.clone()));
            assert_eq!(found, Outcome::Incomparable, "{actual} {}", operator.as_str());
        }
    }
    assert_eq!(outcome("ne", json!(5), Some(json!("5"))), Outcome::Incomparable);
    assert_eq!(outcome("eq", json!("true"), Some(json!(true))), Outcome::Incomparable);
}

#[test]
fn a_dotted_field_walks_objects_and_arrays_and_stops_at_scalars() {
    let custom = tempfile::tempdir().unwrap();
    let rule = |id: &str, field: &str| json!({"id": id, "action": "escalate", "conditions": [{"field": field, "operator": "eq", "value": "on"}]});
    let rules = json!([
        rule("OBJECT", "details.volumes.c.state"),
        rule("ARRAY", "details.list.1.state"),
        rule("BEYOND", "details.list.7.state"),
        rule("SCALAR", "details.text.state"),
        rule("BEFORE", "pre_state.state"),
    ]);
    fs::write(custom.path().join("t.json"), rules.to_string()).unwrap();
    let sources = Sources { custom: Some(custom.path().to_owned()), ..Sources::default() };
    let loaded = RuleSet::load(&sources).unwrap();
    let view = View::new(Facts {
        check_type: "volumes".to_owned(),
        incident_type: "volumes".to_owned(),
        severity: Severity::Low,
        platform: "windows".to_owned(),
        host_id: "10.0.0.5".to_owned(),
        status: "fail".to_owned(),
        drift_detected: true,
        recommended_action: None,
        pre_state: json!({"state": "on"}).as_object().unwrap().clone(),
        details: json!({"volumes": {"c": {"state": "on"}}, "list": [{}, {"state": "on"}], "text": "on"})
            .as_object()
            .unwrap()
            .clone(),
    });
    let found = loaded.rules.find(&view).unwrap();
    let ids: Vec<&str> = std::iter::once(found.rule).chain(found.others).map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["ARRAY", "BEFORE", "OBJECT"]);
}

#[test]
fn the_platform_is_the_findings_own_whatever_was_observed() {
    let view =
        View::from_value(json!({"platform": "nixos", "details": {"platform": "windows", "firewall_enabled": false},
        "check_type": "firewall", "drift_detected": true, "severity": "high"}))
        .unwrap();
    let loaded = RuleSet::load(&Sources::default()).unwrap();
    assert_eq!(loaded.rules.find(&view).unwrap().rule.id, "L1-NIXOS-FW-001");
}

#[test]
fn a_severity_filter_admits_the_listed_severities_only() {
    let custom = tempfile::tempdir().unwrap();
    let rule = "id: T\nconditions: [{field: drift_detected, operator: eq, value: true}]\naction: escalate\nseverity_filter: [high, critical]\n";
    fs::write(custom.path().join("t.yaml"), rule).unwrap();
    let sources = Sources { custom: Some(custom.path().to_owned()), ..Sources::default() };
    let loaded = RuleSet::load(&sources).unwrap();
    let matches = |severity: Value| {
        let view = View::from_value(json!({"drift_detected": true, "severity": severity})).unwrap();
        loaded.rules.find(&view).is_some()
    };
    assert!(matches(json!("high")) && matches(json!("critical")));
    assert!(!matches(json!("low")) && !matches(json!("medium")) && !matches(Value::Null));
}

#[test]
fn a_rule_that_runs_a_windows_runbook_never_matches_the_appliance_even_when_it_does_not_say_so() {
    let custom = tempfile::tempdir().unwrap();
    let rule = "id: T\nconditions: [{field: drift_detected, operator: eq, value: true}]\naction: run_runbook\naction_params: {runbook_id: RB-WIN-FIREWALL-001}\n";
    fs::write(custom.path().join("t.yaml"), rule).unwrap();
    let sources = Sources { custom: Some(custom.path().to_owned()), ..Sources::default() };
    let loaded = RuleSet::load(&sources).unwrap();
    for (view, expected) in [
        (json!({"drift_detected": true, "platform": "windows"}), true),
        (json!({"drift_detected": true, "platform": "nixos"}), false),
        (json!({"drift_detected": true}), false),
    ] {
        let found = View::from_value(view.clone()).unwrap();
        assert_eq!(loaded.rules.find(&found).is_some(), expected, "{view}");
    }
}
