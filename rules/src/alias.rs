//! The one table of older names: check types, parameters, runbooks and actions (`rules/aliases.yaml`).
//!
//! Rules outlive the names they were written with. The table says what each older name means today, and which
//! runbooks exist by name although this version does not ship them.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use crate::document;
use crate::model::Severity;
use crate::runbook::DataError;

/// A runbook that the platform knows and this version does not ship.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRunbook {
    /// The platform it acts on.
    pub platform: String,
    /// What it does, in one line.
    pub summary: String,
}

/// What an older runbook id stands for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OlderRunbook {
    pub(crate) runbook_id: String,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
}

/// What an older action stands for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OlderAction {
    /// Another name of an action.
    SameAs(String),
    /// A runbook, by its own or by an older id.
    Run(String),
    /// A person is told.
    Escalate(OlderEscalation),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OlderEscalation {
    pub(crate) reason: String,
    pub(crate) urgency: Severity,
    #[serde(default)]
    pub(crate) runbook_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    check_types: BTreeMap<String, Vec<String>>,
    parameters: BTreeMap<String, String>,
    runbooks: BTreeMap<String, OlderRunbook>,
    actions: BTreeMap<String, OlderAction>,
    known_runbooks: BTreeMap<String, KnownRunbook>,
}

/// The table, with the check types turned round for look-up.
#[derive(Debug, Clone)]
pub struct Aliases {
    canonical: HashMap<String, String>,
    spellings: HashMap<String, Vec<Value>>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) runbooks: BTreeMap<String, OlderRunbook>,
    pub(crate) actions: BTreeMap<String, OlderAction>,
    pub(crate) known_runbooks: BTreeMap<String, KnownRunbook>,
}

impl Aliases {
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, DataError> {
        let table: Table = serde_saphyr::from_str_with_options(text, document::options())
            .map_err(|error| DataError::malformed(file, &error))?;
        let mut canonical = HashMap::new();
        let mut spellings = HashMap::new();
        for (name, aliases) in table.check_types {
            let group: Vec<&String> = std::iter::once(&name).chain(&aliases).collect();
            for spelling in &group {
                let others = group.iter().filter(|other| other != &spelling);
                spellings.insert((*spelling).clone(), others.map(|other| Value::from(other.as_str())).collect());
                if let Some(other) = canonical.insert((*spelling).clone(), name.clone()) {
                    let message = format!("the check type {spelling:?} stands for both {other:?} and {name:?}");
                    return Err(DataError::invalid(file, message));
                }
            }
        }
        Ok(Self {
            canonical,
            spellings,
            parameters: table.parameters,
            runbooks: table.runbooks,
            actions: table.actions,
            known_runbooks: table.known_runbooks,
        })
    }

    /// The check type that a spelling stands for; an unknown one stands for itself.
    #[must_use]
    pub fn check_type<'a>(&'a self, spelling: &'a str) -> &'a str {
        self.canonical.get(spelling).map_or(spelling, String::as_str)
    }

    /// Every known spelling of every check type, in no particular order.
    pub(crate) fn check_types(&self) -> impl Iterator<Item = &str> {
        self.canonical.keys().map(String::as_str)
    }

    /// The other names of a check type.
    pub(crate) fn spellings(&self, name: &Value) -> &[Value] {
        name.as_str().and_then(|name| self.spellings.get(name)).map_or(&[], Vec::as_slice)
    }
}
