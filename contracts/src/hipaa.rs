//! Which check supports which paragraph of the HIPAA Security Rule (45 CFR part 164, subpart C).
//!
//! A check *supports* a paragraph; no check makes anybody compliant. Each control carries whether the
//! rule calls it required or addressable (164.306(d)) and the edition of the rule that was read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The edition of the rule that the table below was made from.
pub const RULE_VERSION: &str = "45 CFR 164 subpart C, as amended 2013-01-25 (78 FR 5566)";

/// Whether an implementation specification must be implemented, or assessed and reasoned about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Implementation {
    /// 164.306(d)(2), or a standard without specifications of its own.
    Required,
    /// 164.306(d)(3).
    Addressable,
}

/// One paragraph that a check supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The paragraph, without "45 CFR".
    pub paragraph: &'static str,
    /// Its title in the rule.
    pub title: &'static str,
    /// Required or addressable.
    pub implementation: Implementation,
}

const fn required(paragraph: &'static str, title: &'static str) -> Control {
    Control { paragraph, title, implementation: Implementation::Required }
}

const fn addressable(paragraph: &'static str, title: &'static str) -> Control {
    Control { paragraph, title, implementation: Implementation::Addressable }
}

const MALICIOUS_SOFTWARE: Control = addressable("164.308(a)(5)(ii)(B)", "Protection from malicious software");
const RISK_MANAGEMENT: Control = required("164.308(a)(1)(ii)(B)", "Risk management");
const DATA_BACKUP: Control = required("164.308(a)(7)(ii)(A)", "Data backup plan");
const AUDIT_CONTROLS: Control = required("164.312(b)", "Audit controls");
const TRANSMISSION_INTEGRITY: Control = required("164.312(e)(1)", "Transmission security");
const ACCESS_CONTROL: Control = required("164.312(a)(1)", "Access control");
const ENCRYPTION_AT_REST: Control = addressable("164.312(a)(2)(iv)", "Encryption and decryption");
const INCIDENT_RESPONSE: Control = required("164.308(a)(6)(ii)", "Response and reporting");

/// The paragraphs that the check of this (unaliased) name supports. None for a check that the table
/// has no row for (generation, services, disk): no paragraph is better than a wrong one.
#[must_use]
pub fn controls(check_type: &str) -> &'static [Control] {
    match check_type {
        "antivirus" => &[MALICIOUS_SOFTWARE],
        "patching" => &[RISK_MANAGEMENT, MALICIOUS_SOFTWARE],
        "backup" => &[DATA_BACKUP],
        "logging" | "time_sync" => &[AUDIT_CONTROLS],
        "firewall" => &[TRANSMISSION_INTEGRITY, ACCESS_CONTROL],
        "encryption" => &[ENCRYPTION_AT_REST],
        _ => &[],
    }
}

/// The paragraph that heal and incident records support.
#[must_use]
pub fn incident_response() -> Control {
    INCIDENT_RESPONSE
}

/// The paragraphs of [`controls`] as text.
#[must_use]
pub fn paragraphs(check_type: &str) -> Vec<String> {
    controls(check_type).iter().map(|control| control.paragraph.to_owned()).collect()
}
