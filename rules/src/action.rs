//! What a rule chooses: a runbook, a service to restart, or a person. Never a command.
//!
//! Parameters are literals, or refer to a field of the finding; a reference is read when the rule matched and
//! its value is then held against the runbook's list, so that nothing observed on a machine reaches a script
//! unless the runbook already names it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

use crate::model::{Rule, Severity};
use crate::runbook::{Phase, Runbook};
use crate::view::{FieldPath, View};
use crate::vocabulary::{Body, Vocabulary};

/// The runbook that restarts a service on a Windows server.
pub(crate) const SERVICE_RUNBOOK: &str = "RB-WIN-SVC-001";

/// What a rule chooses, with today's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Run phases of a runbook.
    RunRunbook {
        /// Its id.
        runbook_id: String,
        /// Its parameters.
        parameters: BTreeMap<String, ParameterValue>,
        /// The phases, in order; always ending in verify.
        phases: Vec<Phase>,
    },
    /// Restart a service; on Windows that is what RB-WIN-SVC-001 does.
    RestartService {
        /// The service or unit.
        service: ParameterValue,
    },
    /// Ask a person.
    Escalate {
        /// Why.
        reason: String,
        /// How soon.
        urgency: Severity,
        /// A runbook that the person may want.
        runbook_id: Option<String>,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunRunbook { runbook_id, .. } => write!(formatter, "run_runbook {runbook_id}"),
            Self::RestartService { service } => write!(formatter, "restart_service {service}"),
            Self::Escalate { urgency, .. } => write!(formatter, "escalate, urgency {urgency}"),
        }
    }
}

/// A parameter as a rule gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterValue {
    /// This text.
    Literal(String),
    /// The text at this field of the finding, written `{from: details.service}`.
    From(FieldPath),
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => formatter.write_str(text),
            Self::From(path) => write!(formatter, "from {path}"),
        }
    }
}

impl Serialize for ParameterValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Literal(text) => serializer.serialize_str(text),
            Self::From(path) => BTreeMap::from([("from", path)]).serialize(serializer),
        }
    }
}

/// An action with nothing left open: what a plan is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ResolvedAction {
    /// Run a shipped runbook with parameters that its schema admits.
    RunRunbook {
        /// Its id, in the catalogue.
        runbook_id: String,
        /// Every value is one that the runbook lists.
        parameters: BTreeMap<String, String>,
        /// The phases, in order.
        phases: Vec<Phase>,
    },
    /// Restart a unit of the appliance, if the executor's own allowlist has it.
    RestartService {
        /// The unit; a plausible name, and no more is promised.
        service: String,
    },
    /// Ask a person. Also what becomes of a runbook that this version does not ship.
    Escalate {
        /// Why.
        reason: String,
        /// How soon.
        urgency: Severity,
        /// A runbook that the person may want.
        runbook_id: Option<String>,
    },
}

/// A rule matched, and its action cannot be carried out on this finding: it goes to a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The finding lacks the field that a parameter refers to.
    #[error("rule {rule_id}: parameter {parameter} is to come from {field}, which the finding lacks; escalate")]
    MissingField {
        /// The rule.
        rule_id: String,
        /// The parameter.
        parameter: String,
        /// The field.
        field: String,
    },
    /// The field is there and is no text.
    #[error("rule {rule_id}: parameter {parameter} is to come from {field}, which is no text; escalate")]
    NotText {
        /// The rule.
        rule_id: String,
        /// The parameter.
        parameter: String,
        /// The field.
        field: String,
    },
    /// The value is not one that the runbook lists.
    #[error("rule {rule_id}: {runbook_id} does not admit {parameter} = {value:?}, only {}; escalate", allowed.join(", "))]
    NotAllowed {
        /// The rule.
        rule_id: String,
        /// The runbook.
        runbook_id: String,
        /// The parameter.
        parameter: String,
        /// The value.
        value: String,
        /// What it may be.
        allowed: Vec<String>,
    },
    /// The value cannot be the name of a service.
    #[error("rule {rule_id}: {value:?} is no service name; escalate")]
    NotAService {
        /// The rule.
        rule_id: String,
        /// The value.
        value: String,
    },
    /// The finding is about a machine that the runbook does not act on.
    #[error("rule {rule_id}: {runbook_id} acts on {wanted}, and the finding is about {found:?}; escalate")]
    WrongPlatform {
        /// The rule.
        rule_id: String,
        /// The runbook.
        runbook_id: String,
        /// The runbook's platform.
        wanted: String,
        /// The finding's platform; empty when it names none.
        found: String,
    },
}

/// Fills in what the finding has to say. `rule` was linted against the same vocabulary.
pub(crate) fn resolve(rule: &Rule, view: &View, vocabulary: &Vocabulary) -> Result<ResolvedAction, ResolveError> {
    match &rule.action {
        Action::Escalate { reason, urgency, runbook_id } => {
            Ok(ResolvedAction::Escalate { reason: reason.clone(), urgency: *urgency, runbook_id: runbook_id.clone() })
        }
        Action::RestartService { service } if view.text("platform") == Some("windows") => {
            let parameters = BTreeMap::from([("service".to_owned(), service.clone())]);
            run(rule, view, vocabulary, SERVICE_RUNBOOK, &parameters, &[Phase::Remediate, Phase::Verify])
        }
        Action::RestartService { service } => {
            let service = value(rule, view, "service", service)?;
            if is_service_name(&service) {
                Ok(ResolvedAction::RestartService { service })
            } else {
                Err(ResolveError::NotAService { rule_id: rule.id.clone(), value: service })
            }
        }
        Action::RunRunbook { runbook_id, parameters, phases } => {
            run(rule, view, vocabulary, runbook_id, parameters, phases)
        }
    }
}

fn run(
    rule: &Rule,
    view: &View,
    vocabulary: &Vocabulary,
    runbook_id: &str,
    parameters: &BTreeMap<String, ParameterValue>,
    phases: &[Phase],
) -> Result<ResolvedAction, ResolveError> {
    let runbook = match vocabulary.body(runbook_id) {
        Some(Body::Shipped(runbook)) => runbook,
        Some(Body::Known(known)) => return Ok(not_shipped(rule, view, runbook_id, Some(&known.summary))),
        None => return Ok(not_shipped(rule, view, runbook_id, None)),
    };
    let platform = view.text("platform").unwrap_or_default();
    if !runbook.acts_on(platform) {
        return Err(ResolveError::WrongPlatform {
            rule_id: rule.id.clone(),
            runbook_id: runbook_id.to_owned(),
            wanted: runbook.platform.clone(),
            found: platform.to_owned(),
        });
    }
    let mut resolved = BTreeMap::new();
    for (name, given) in parameters {
        let text = value(rule, view, name, given)?;
        admit(rule, runbook, name, &text)?;
        resolved.insert(name.clone(), text);
    }
    Ok(ResolvedAction::RunRunbook { runbook_id: runbook_id.to_owned(), parameters: resolved, phases: phases.to_vec() })
}

fn admit(rule: &Rule, runbook: &Runbook, name: &str, text: &str) -> Result<(), ResolveError> {
    let schema = runbook.parameters.get(name);
    if schema.is_some_and(|schema| schema.admits(text)) {
        return Ok(());
    }
    let allowed = schema.map_or(&[][..], |schema| schema.allowed.as_slice());
    Err(ResolveError::NotAllowed {
        rule_id: rule.id.clone(),
        runbook_id: runbook.id.clone(),
        parameter: name.to_owned(),
        value: text.to_owned(),
        allowed: allowed.to_vec(),
    })
}

fn value(rule: &Rule, view: &View, parameter: &str, given: &ParameterValue) -> Result<String, ResolveError> {
    let path = match given {
        ParameterValue::Literal(text) => return Ok(text.clone()),
        ParameterValue::From(path) => path,
    };
    let (rule_id, parameter, field) = (rule.id.clone(), parameter.to_owned(), path.to_string());
    match view.get(path) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(ResolveError::NotText { rule_id, parameter, field }),
        None => Err(ResolveError::MissingField { rule_id, parameter, field }),
    }
}

fn not_shipped(rule: &Rule, view: &View, runbook_id: &str, summary: Option<&str>) -> ResolvedAction {
    let summary = summary.map(|summary| format!(" ({summary})")).unwrap_or_default();
    let severity = view.text("severity").and_then(Severity::parse);
    ResolvedAction::Escalate {
        reason: format!(
            "{}: rule {} asks for {runbook_id}{summary}, which is not shipped with this version: a person has to do it",
            rule.name, rule.id
        ),
        urgency: severity.unwrap_or(Severity::High),
        runbook_id: Some(runbook_id.to_owned()),
    }
}

/// The characters of a systemd unit name (systemd.unit(5)) less the backslash; it cannot be taken for an option.
pub(crate) fn is_service_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.@".contains(&byte);
    name.len() <= 255 && name.bytes().all(allowed) && name.bytes().next().is_some_and(|first| first != b'-')
}
