//! What a rule sees of a finding: one flat view whose `pre_state` and `details` are walked by dotted paths.
//!
//! The platform is part of the finding and is never guessed: `details.platform` always repeats the view's own
//! `platform`, so nothing that was observed on a machine can claim another one. A field that is null says no
//! more than one that is absent, and counts as missing.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::model::Severity;

/// The fields a condition may start from.
pub const ROOTS: [&str; 10] = [
    "check_type",
    "incident_type",
    "severity",
    "platform",
    "host_id",
    "status",
    "drift_detected",
    "recommended_action",
    "pre_state",
    "details",
];

/// A finding as plain parts, from which a [`View`] is made.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The check, under any of its spellings.
    pub check_type: String,
    /// The incident's type; the check type unless the incident says otherwise.
    pub incident_type: String,
    /// How bad it is.
    pub severity: Severity,
    /// `windows`, `nixos` or `linux`.
    pub platform: String,
    /// The host; a Windows target's IP address.
    pub host_id: String,
    /// As on the wire: `pass`, `fail`, `warning` or `error`.
    pub status: String,
    /// Whether the check found a difference from what is desired.
    pub drift_detected: bool,
    /// What the check suggests, where it suggests something.
    pub recommended_action: Option<String>,
    /// The state before anything was done.
    pub pre_state: Map<String, Value>,
    /// The observed values.
    pub details: Map<String, Value>,
}

/// A finding as rules see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct View {
    fields: Map<String, Value>,
}

/// Why a JSON value is no finding.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a finding must be a JSON object with fields such as check_type and details, not {found}")]
pub struct NotAFinding {
    /// What stood there instead.
    pub found: &'static str,
}

impl View {
    /// The view of a finding that the agent made itself.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        let mut fields = Map::new();
        for (name, text) in [
            ("check_type", facts.check_type),
            ("incident_type", facts.incident_type),
            ("severity", facts.severity.as_str().to_owned()),
            ("platform", facts.platform),
            ("host_id", facts.host_id),
            ("status", facts.status),
        ] {
            fields.insert(name.to_owned(), Value::String(text));
        }
        fields.insert("drift_detected".to_owned(), Value::Bool(facts.drift_detected));
        if let Some(action) = facts.recommended_action {
            fields.insert("recommended_action".to_owned(), Value::String(action));
        }
        fields.insert("pre_state".to_owned(), Value::Object(facts.pre_state));
        fields.insert("details".to_owned(), Value::Object(facts.details));
        Self::from_fields(fields)
    }

    /// The view of a finding that was stored or received as JSON.
    ///
    /// # Errors
    /// [`NotAFinding`] when the value is not an object.
    pub fn from_value(value: Value) -> Result<Self, NotAFinding> {
        match value {
            Value::Object(fields) => Ok(Self::from_fields(fields)),
            Value::Null => Err(NotAFinding { found: "null" }),
            Value::Bool(_) => Err(NotAFinding { found: "a boolean" }),
            Value::Number(_) => Err(NotAFinding { found: "a number" }),
            Value::String(_) => Err(NotAFinding { found: "a string" }),
            Value::Array(_) => Err(NotAFinding { found: "an array" }),
        }
    }

    fn from_fields(mut fields: Map<String, Value>) -> Self {
        let observed = fields.get("details").and_then(|details| details.get("platform")).cloned();
        let platform = match fields.get("platform") {
            None | Some(Value::Null) => observed,
            own => own.cloned(),
        };
        if let Some(platform) = platform {
            let details = fields.entry("details").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(details) = details {
                details.insert("platform".to_owned(), platform.clone());
            }
            fields.insert("platform".to_owned(), platform);
        }
        Self { fields }
    }

    /// The value at a path; a null is as good as absent.
    #[must_use]
    pub fn get(&self, path: &FieldPath) -> Option<&Value> {
        let (root, rest) = path.segments.split_first()?;
        let mut value = self.fields.get(root)?;
        for segment in rest {
            value = match value {
                Value::Object(fields) => fields.get(segment)?,
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        (!value.is_null()).then_some(value)
    }

    /// A text field at the top of the view.
    #[must_use]
    pub fn text(&self, root: &str) -> Option<&str> {
        self.fields.get(root).and_then(Value::as_str)
    }
}

/// A dotted path, such as `details.service_running` or `details.volumes.0.protected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    text: String,
    segments: Vec<String>,
}

impl FieldPath {
    /// Splits a path at its dots. `None` when a part is empty; whether the field exists is not asked here.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) {
            return None;
        }
        Some(Self { text: text.to_owned(), segments })
    }

    /// One of the [`ROOTS`], by name.
    pub(crate) fn root_field(name: &str) -> Self {
        Self { text: name.to_owned(), segments: vec![name.to_owned()] }
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn root(&self) -> &str {
        self.segments.first().map_or("", String::as_str)
    }

    pub(crate) fn is_nested(&self) -> bool {
        self.segments.len() > 1
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
