//! Which rule wins, held against a naive oracle; and what `explain` says about the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use msp_rules::{Baseline, Outcome, RuleSet, Source, Sources, Verdict, View};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use serde_json::{Value, json};

const CHECKS: [&str; 5] = ["firewall", "firewall_status", "backup", "windows_backup_status", "made_up"];

#[derive(Debug, Clone)]
struct Plain {
    source: usize,
    id: String,
    check: Option<usize>,
    limit: Option<i64>,
    priority: Option<u32>,
    enabled: bool,
}

fn plain() -> impl Strategy<Value = Plain> {
    let check = proptest::option::of(0..CHECKS.len());
    let limit = proptest::option::of(-2i64..3);
    (0usize..4, "[A-C]{1,2}", check, limit, proptest::option::of(0u32..8), any::<bool>())
        .prop_map(|(source, id, check, limit, priority, enabled)| Plain { source, id, check, limit, priority, enabled })
}

/// Ids are unique within a source, and no other source uses those of the baseline.
fn distinct(rules: Vec<Plain>) -> Vec<Plain> {
    let mut kept: Vec<Plain> = Vec::new();
    for rule in rules {
        let taken = |other: &Plain| {
            other.id == rule.id && (other.source == rule.source || other.source == 0 || rule.source == 0)
        };
        if !kept.iter().any(taken) {
            kept.push(rule);
        }
    }
    kept
}

fn written(rule: &Plain) -> Value {
    let mut conditions = vec![json!({"field": "drift_detected", "operator": "eq", "value": true})];
    if let Some(check) = rule.check {
        conditions.push(json!({"field": "check_type", "operator": "eq", "value": CHECKS[check]}));
    }
    if let Some(limit) = rule.limit {
        conditions.push(json!({"field": "details.count", "operator": "gt", "value": limit}));
    }
    let mut rule_value =
        json!({"id": rule.id, "conditions": conditions, "action": "escalate", "enabled": rule.enabled});
    if let Some(priority) = rule.priority {
        rule_value["priority"] = json!(priority);
    }
    rule_value
}

/// Written from the contract's sentence, over all rules, without an index.
fn oracle(rules: &[Plain], check: usize, count: i64) -> Vec<(usize, String)> {
    let same = |left: usize, right: usize| left / 2 == right / 2;
    let mut matching: Vec<&Plain> = rules
        .iter()
        .filter(|rule| rule.enabled)
        .filter(|rule| rule.check.is_none_or(|own| same(own, check)))
        .filter(|rule| rule.limit.is_none_or(|limit| count > limit))
        .collect();
    matching.sort_by_key(|rule| {
        let priority = rule.priority.unwrap_or(if rule.source == 0 { 1 } else { 5 });
        (rule.source >= 2, priority, rule.source, rule.id.clone())
    });
    matching.into_iter().map(|rule| (rule.source, rule.id.clone())).collect()
}

fn load(rules: &[Plain]) -> RuleSet {
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    for (number, rule) in rules.iter().enumerate() {
        fs::write(folders[rule.source].path().join(format!("{number:03}.json")), written(rule).to_string()).unwrap();
    }
    let path = |source: usize| Some(folders[source].path().to_owned());
    let baseline = Baseline::Folder(folders[0].path().to_owned());
    let loaded = RuleSet::load(&Sources { baseline, custom: path(1), synced: path(2), promoted: path(3) }).unwrap();
    assert!(loaded.quarantined.is_empty(), "{:?}", loaded.quarantined);
    loaded.rules
}

fn number(source: Source) -> usize {
    [Source::Baseline, Source::Custom, Source::Synced, Source::Promoted].iter().position(|one| *one == source).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn find_agrees_with_a_scan_of_all_rules_sorted_as_the_contract_says(
        rules in proptest::collection::vec(plain(), 0..24).prop_map(distinct),
        check in 0..CHECKS.len(),
        count in -3i64..4,
    ) {
        let set = load(&rules);
        let view = View::from_value(json!({
            "check_type": CHECKS[check], "drift_detected": true, "details": {"count": count},
        })).unwrap();
        let found: Vec<(usize, String)> = set.find(&view).map_or_else(Vec::new, |found| {
            std::iter::once(found.rule).chain(found.others).map(|rule| (number(rule.source), rule.id.clone())).collect()
        });
        let expected = oracle(&rules, check, count);
        let explanation = set.explain(&view);
        prop_assert_eq!(explanation.winner, expected.first().map(|(_, id)| id.clone()));
        prop_assert_eq!(explanation.rules.len(), rules.iter().filter(|rule| rule.enabled).count());
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_custom_rule_wins_over_a_synced_one_of_any_priority() {
    let rule = |source: usize, priority: u32| Plain {
        source,
        id: "A".to_owned(),
        check: None,
        limit: None,
        priority: Some(priority),
        enabled: true,
    };
    let set = load(&[rule(1, 4_000_000_000), rule(2, 0), rule(3, 0)]);
    let view = View::from_value(json!({"drift_detected": true})).unwrap();
    let found = set.find(&view).unwrap();
    assert_eq!(found.rule.source, Source::Custom);
    let others: Vec<Source> = found.others.iter().map(|rule| rule.source).collect();
    assert_eq!(others, [Source::Synced, Source::Promoted]);
}

#[test]
fn explain_names_the_first_condition_that_fails_with_what_was_found_and_what_was_wanted() {
    let loaded = RuleSet::load(&Sources::default()).unwrap();
    let view = View::from_value(json!({
        "check_type": "windows_backup_status", "severity": "high", "platform": "windows", "drift_detected": true,
        "details": {"backup_age_hours": "unknown"},
    }))
    .unwrap();
    let explanation = loaded.rules.explain(&view);
    assert_eq!(explanation.winner.as_deref(), Some("L1-WIN-BACKUP-001"));
    let verdict = |id: &str| explanation.rules.iter().find(|rule| rule.rule_id == id).unwrap().verdict.clone();
    let Verdict::Failed { field, expected, actual, outcome, .. } = verdict("L1-WIN-BACKUP-AGE-001") else { panic!() };
    assert_eq!((field.as_str(), expected, actual), ("details.backup_age_hours", json!(24), Some(json!("unknown"))));
    assert_eq!(outcome, Outcome::Incomparable);
    let Verdict::Failed { field, actual, .. } = verdict("L1-HOST-BACKUP-001") else { panic!() };
    assert_eq!((field.as_str(), actual), ("details.platform", Some(json!("windows"))));

    let text = explanation.to_string();
    assert!(text.starts_with("L1-WIN-BACKUP-001 decides\n"), "{text}");
    assert!(text.contains("L1-WIN-BACKUP-AGE-001 (baseline, priority 15): details.backup_age_hours gt 24 cannot be compared with \"unknown\"\n"), "{text}");
    let data = serde_json::to_value(&explanation).unwrap();
    let winner = data["rules"].as_array().unwrap().iter().find(|rule| rule["verdict"] == "won").unwrap();
    assert_eq!(winner["rule_id"], "L1-WIN-BACKUP-001");
}
