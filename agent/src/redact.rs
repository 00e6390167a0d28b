//! The one redaction step: evidence, tickets and incident records all pass it before they are signed or sent.
//!
//! Two nets. Values under a name that says secret (password, token, key, ...) are replaced whole. In every
//! other text, what is shaped like an identifier of a patient (45 CFR 164.514(b)(2): social security and
//! medical record numbers, e-mail addresses, telephone numbers, dates of birth) or like a credential is
//! replaced in place. IP addresses and host names stay: they are what evidence is about.

use msp_contracts::finding::Finding;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// What stands in the place of what was taken out.
const REDACTED: &str = "[redacted]";

/// Parts of a field's name that say that its value is a secret.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "private_key",
    "privatekey",
    "api_key",
    "apikey",
    "recovery_key",
    "recoverykey",
    "credential",
];

/// What is replaced inside texts, in this order.
const PATTERNS: &[&str] = &[
    // name=value, name: value and "name": "value" of anything whose name says secret
    r#"(?i)[\w-]*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|authorization|credential)[\w-]*["']?\s*[:=]\s*(?:(?:bearer|basic)\s+)?(?:"[^"]*"|'[^']*'|[^\s"',;&]+)"#,
    // the same as a command line writes it: -Password value
    r#"(?i)-{1,2}[\w-]*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|credential)[\w-]*\s+(?:"[^"]*"|'[^']*'|[^\s"',;&]+)"#,
    // private keys in PEM
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    // BitLocker recovery passwords: eight groups of six digits
    r"\b\d{6}(?:-\d{6}){7}\b",
    // social security numbers
    r"\b\d{3}-\d{2}-\d{4}\b",
    // medical record, patient and account numbers with their label
    r"(?i)\b(?:mrn|medical record(?: (?:no|number))?|patient(?: ?(?:id|no|number))|account(?: (?:no|number)))\b[\s:#.=]*[A-Z0-9][A-Z0-9-]{3,}",
    // dates of birth with their label
    r"(?i)\b(?:dob|date of birth|born)\b[\s:.=]*[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}",
    // e-mail addresses
    r"(?i)\b[A-Z0-9._%+-]+@[A-Z0-9-]+(?:\.[A-Z0-9-]+)*\.[A-Z]{2,}\b",
    // telephone numbers of the North American plan, with separators
    r"(?:\+?1[-. ])?(?:\(\d{3}\) ?|\b\d{3}[-. ])\d{3}[-. ]\d{4}\b",
];

#[allow(clippy::expect_used, reason = "the patterns above are constants, and a test compiles every one")]
static COMPILED: LazyLock<Vec<Regex>> =
    LazyLock::new(|| PATTERNS.iter().map(|pattern| Regex::new(pattern).expect("a constant pattern")).collect());

fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// The text without what must not leave.
pub fn text(text: &str) -> String {
    COMPILED.iter().fold(text.to_owned(), |text, pattern| match pattern.replace_all(&text, REDACTED) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(changed) => changed,
    })
}

/// The value without what must not leave; the shape stays.
pub fn value(value: &mut Value) {
    match value {
        Value::String(found) => *found = text(found),
        Value::Array(items) => items.iter_mut().for_each(self::value),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    // A flag or null under such a name says nothing secret.
                    Value::Null | Value::Bool(_) => {}
                    _ if names_a_secret(name) => *field = REDACTED.into(),
                    _ => self::value(field),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The finding without what must not leave. Its names (check, host, paragraphs) stay.
pub fn finding(finding: &mut Finding) {
    value(&mut finding.actual);
    value(&mut finding.desired);
    finding.diff.iter_mut().for_each(|line| *line = text(line));
    finding.recommended_action = finding.recommended_action.as_deref().map(text);
    let mut details = Value::Object(std::mem::take(&mut finding.details));
    value(&mut details);
    if let Value::Object(details) = details {
        finding.details = details;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn identifiers_and_secrets_go_and_what_evidence_is_about_stays() {
        for (given, expected) in [
            ("patient SSN 123-45-6789 called", "patient SSN [redacted] called"),
            ("MRN: 00482913 in path", "[redacted] in path"),
            ("mail to jane.doe@example.org now", "mail to [redacted] now"),
            ("call (555) 867-5309 or 555-867-5309", "call [redacted] or [redacted]"),
            ("DOB 1980-02-03", "[redacted]"),
            ("net use password=hunter2 /user", "net use [redacted] /user"),
            ("db_password=hunter2;x", "[redacted];x"),
            ("client_secret: \"two words\" on", "[redacted] on"),
            ("New-User -AdminPassword hunter2 -Name x", "New-User [redacted] -Name x"),
            ("no credentials for FS01, the token expired", "no credentials for FS01, the token expired"),
            (r#"{"access_token":"abc"}"#, "{\"[redacted]}"),
            ("Authorization: Basic dXNlcjpwYXNz", "[redacted]"),
            ("key 111111-222222-333333-444444-555555-666666-777777-888888.", "key [redacted]."),
            ("192.168.10.20 DC01 KB5034441 2026-11-21T02:03:04Z", "192.168.10.20 DC01 KB5034441 2026-11-21T02:03:04Z"),
            ("{0CCE9215-69AE-11D9-BED3-505054503030}", "{0CCE9215-69AE-11D9-BED3-505054503030}"),
        ] {
            assert_eq!(text(given), expected);
        }
    }

    #[test]
    fn a_secret_is_found_by_its_name_at_any_depth_and_the_shape_stays() {
        let mut found = json!({
            "a": [{"AdminPassword": "x", "n": 5}], "recovery_key": 12, "has_password": true, "note": "dob: 1/2/1980",
            "passwords": ["x"], "credentials": {"value": "x"}, "pwd": "x", "token": null,
        });
        value(&mut found);
        assert_eq!(
            found,
            json!({
                "a": [{"AdminPassword": REDACTED, "n": 5}], "recovery_key": REDACTED, "has_password": true, "note": REDACTED,
                "passwords": REDACTED, "credentials": REDACTED, "pwd": REDACTED, "token": null,
            })
        );
    }
}
