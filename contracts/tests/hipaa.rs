//! `docs/hipaa-controls.md` says what the table says.
#![allow(clippy::unwrap_used)]

use msp_contracts::hipaa::{self, Control, Implementation};

#[test]
fn the_page_for_auditors_has_each_row_of_the_table_and_no_other() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hipaa-controls.md");
    let page = std::fs::read_to_string(page).unwrap();
    let row = |check: &str, control: &Control| {
        let kind = match control.implementation {
            Implementation::Required => "required",
            Implementation::Addressable => "addressable",
        };
        format!("| {check} | {} | {} | {kind} |", control.paragraph, control.title)
    };
    let checks = [
        "patching",
        "antivirus",
        "backup",
        "logging",
        "time_sync",
        "firewall",
        "encryption",
        "generation",
        "services",
        "disk",
    ];
    let mut expected: Vec<_> =
        checks.iter().flat_map(|check| hipaa::controls(check).iter().map(|control| row(check, control))).collect();
    expected.push(row("heal and escalation records", &hipaa::incident_response()));
    let found: Vec<_> = page.lines().filter(|line| line.contains("| 164.")).collect();
    assert_eq!(found, expected);
    assert!(page.contains(hipaa::RULE_VERSION.split(", ").nth(1).unwrap()), "{}", hipaa::RULE_VERSION);
}
