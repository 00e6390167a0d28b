//! What a sensor asks for, and who knows whether there is such a thing.

use crate::model::CheckKind;
use crate::redact;
use crate::sense::own::Notice;
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// The most of a text of somebody else's that the log or an answer takes, in characters.
const LONGEST: usize = 200;

/// The body of a push. There is no field that could carry anything else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// A machine: its address or its name.
    pub host: String,
    /// A check, by any of its names.
    pub check_type: String,
    /// Why, for the log and nothing else.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Hint {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        // The parser quotes what it was given.
        let hint: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            in_a_line(&if path == "." { error.inner().to_string() } else { format!("{path}: {}", error.inner()) })
        })?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(hint)
    }

    /// The reason on one line of the log, without what must not stand there.
    pub fn reason_in_words(&self) -> String {
        in_a_line(self.reason.as_deref().unwrap_or_default())
    }
}

/// What somebody else wrote, on one line of bounded length, without what must not stand there.
pub fn in_a_line(text: &str) -> String {
    let line: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    redact::text(&line).chars().take(LONGEST).collect()
}

/// One check of one machine of this appliance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Look {
    pub host_id: String,
    pub check: CheckKind,
}

/// Why a hint leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nowhere {
    /// No machine of this appliance is called so.
    NoHost,
    /// More than one is.
    SeveralHosts,
    /// No check is called so.
    NoCheck,
    /// That check is not made of that machine.
    NotOfThisHost,
}

/// What looks.
pub trait Looks: Send + Sync {
    /// The check and machine that a hint names.
    ///
    /// # Errors
    /// When it names none, or more than one.
    fn find(&self, host: &str, check_type: &str) -> Result<Look, Nowhere>;

    /// Has the check made from `from` on, in the time of the clock that never jumps.
    fn look(&self, look: &Look, from: Duration);

    /// Something happened that a person is told of.
    fn notice(&self, from: IpAddr, notice: Notice);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_has_three_fields_and_what_is_wrong_is_named() {
        let hint = Hint::read(br#"{"host": "FS01", "check_type": "services"}"#).unwrap();
        assert_eq!((hint.host.as_str(), hint.check_type.as_str(), hint.reason), ("FS01", "services", None));
        for (body, said) in [
            (r#"{"host": "FS01"}"#, "check_type"),
            (r#"{"host": 7, "check_type": "services"}"#, "host: invalid type"),
            (r#"{"host": "FS01", "check_type": "services", "parameters": {}}"#, "parameters"),
            (r#"{"host": "FS01", "check_type": "services", "host": "DC01"}"#, "duplicate field `host`"),
            (r#"{"host": "FS01", "check_type": "services"} x"#, "trailing"),
            (r#"{"host": "FS01", "check_ty"#, "EOF"),
            ("", "EOF"),
        ] {
            let error = Hint::read(body.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{body}: {error}");
        }
        let long = format!(r#"{{"password=hunter2 \u001b[2J {}": 1}}"#, "x".repeat(4000));
        let error = Hint::read(long.as_bytes()).unwrap_err();
        assert!(error.chars().count() <= LONGEST && !error.contains("hunter2") && !error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn a_reason_is_one_short_line_without_secrets() {
        let reason = format!("spooler died\n\u{1b}[2J password=hunter2 {}", "x".repeat(4000));
        let hint = Hint { host: String::new(), check_type: String::new(), reason: Some(reason) };
        let said = hint.reason_in_words();
        assert!(said.starts_with("spooler died  [2J [redacted] xxx"), "{said}");
        assert_eq!(said.chars().count(), LONGEST);
    }
}
