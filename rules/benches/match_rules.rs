//! How long one finding takes, with the built-in rules and with 500: `cargo bench -p msp-rules`.
//!
//! Printed against the limit of one millisecond, and against a naive peer in the same run: a scan of the same
//! rules as JSON, in the order in which they win, that looks every field up by JSON pointer. The peer knows the
//! operators that these rules use, and the two must agree on every finding before anything is timed.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and prints what it measured"
)]

use std::hint::black_box;
use std::time::Instant;

use msp_rules::{RuleSet, Sources, View};
use serde_json::{Value, json};

const ROUNDS: usize = 31;
const FINDS_A_ROUND: u32 = 200;
const LIMIT_NANOSECONDS: f64 = 1_000_000.0;
const CHECKS: [&str; 6] = ["firewall", "backup", "patching", "services", "disk", "logging"];

fn main() {
    let empty = RuleSet::load(&Sources::default()).unwrap().rules;
    measure("built-in rules", &empty);
    let folder = tempfile::tempdir().unwrap();
    let rules: Vec<Value> = (empty.len()..500).map(site_rule).collect();
    std::fs::write(folder.path().join("site.json"), json!(rules).to_string()).unwrap();
    let sources = Sources { custom: Some(folder.path().to_owned()), ..Sources::default() };
    measure("500 rules", &RuleSet::load(&sources).unwrap().rules);
}

fn site_rule(number: usize) -> Value {
    json!({
        "id": format!("SITE-{number}"), "action": "escalate", "priority": number,
        "conditions": [
            {"field": "check_type", "operator": "eq", "value": CHECKS[number % CHECKS.len()]},
            {"field": "drift_detected", "operator": "eq", "value": true},
            {"field": "details.count", "operator": "gt", "value": number},
            {"field": "host_id", "operator": "regex", "value": format!("^192\\.168\\.{}\\.", number % 256)},
        ],
    })
}

fn findings() -> Vec<Value> {
    let finding = |check: &&str| {
        json!({
            "check_type": check, "incident_type": check, "severity": "high", "platform": "windows",
            "host_id": "192.168.88.244", "status": "fail", "drift_detected": true, "pre_state": {},
            "details": {"platform": "windows", "count": 250, "firewall_enabled": true, "service_running": true},
        })
    };
    CHECKS.iter().map(finding).collect()
}

fn measure(name: &str, rules: &RuleSet) {
    let naive: Vec<Value> = rules.iter().map(|rule| serde_json::to_value(rule).unwrap()).collect();
    let findings = findings();
    let views: Vec<View> = findings.iter().map(|finding| View::from_value(finding.clone()).unwrap()).collect();
    for (finding, view) in findings.iter().zip(&views) {
        let found = rules.find(view).map(|found| found.rule.id.as_str());
        assert_eq!(found, scan(&naive, finding).first().copied(), "the peer decides alike");
    }
    let ours = median(|| views.iter().for_each(|view| drop(black_box(rules.find(black_box(view))))));
    let peer = median(|| findings.iter().for_each(|finding| drop(black_box(scan(&naive, black_box(finding))))));
    let (ours, peer) = (ours / views.len() as f64, peer / views.len() as f64);
    println!(
        "{name} ({}): find {ours:.0} ns, {:.5} of the limit of 1 ms; naive scan {peer:.0} ns, {:.1} times as long",
        rules.len(),
        ours / LIMIT_NANOSECONDS,
        peer / ours
    );
}

/// Nanoseconds of one call, median of the rounds.
fn median(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..FINDS_A_ROUND).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / f64::from(FINDS_A_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// All rules that match, best first.
fn scan<'a>(rules: &'a [Value], finding: &Value) -> Vec<&'a str> {
    let holds = |condition: &Value| {
        let pointer = format!("/{}", condition["field"].as_str().unwrap().replace('.', "/"));
        let (Some(actual), wanted) = (finding.pointer(&pointer), &condition["value"]) else { return false };
        match condition["operator"].as_str().unwrap() {
            "eq" => actual == wanted,
            "in" => wanted.as_array().unwrap().contains(actual),
            "gt" => actual.as_f64() > wanted.as_f64(),
            "regex" => {
                // The pattern is an escaped prefix; a peer that compiled it anew would only lose more.
                let prefix = wanted.as_str().unwrap().trim_start_matches('^').replace('\\', "");
                actual.as_str().unwrap().starts_with(&prefix)
            }
            operator => unreachable!("the rules of this benchmark do not use {operator}"),
        }
    };
    let matching = rules.iter().filter(|rule| rule["conditions"].as_array().unwrap().iter().all(holds));
    matching.map(|rule| rule["id"].as_str().unwrap()).collect()
}
