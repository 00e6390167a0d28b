//! From the `action` and `action_params` of a rule to an [`Action`] with today's names.
//!
//! Older names are resolved through the one table. Parameters are held against the runbook's schema as far as
//! they are literals, and anything that looks like a command is refused by name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::action::{Action, ParameterValue, is_service_name};
use crate::alias::{OlderAction, OlderEscalation};
use crate::condition::Condition;
use crate::document::{Data, Node, Position};
use crate::fields::{Fields, Problem, text};
use crate::lint_condition;
use crate::model::Severity;
use crate::operator::Outcome;
use crate::runbook::{Phase, platforms};
use crate::suggest;
use crate::vocabulary::{Body, Named, Vocabulary};

/// The actions there are.
pub(crate) const ACTIONS: [&str; 4] = ["run_windows_runbook", "run_runbook", "restart_service", "escalate"];

/// Names under which somebody might try to hand over a command.
const COMMANDS: [&str; 12] = [
    "command",
    "commands",
    "cmd",
    "script",
    "scripts",
    "powershell",
    "shell",
    "exec",
    "code",
    "args",
    "run_command",
    "run_script",
];

/// The outcome of linting an action.
pub(crate) struct Chosen {
    pub(crate) action: Action,
    /// The platform that the runbook acts on.
    pub(crate) platform: Option<String>,
    pub(crate) remarks: Vec<(Position, String)>,
}

/// What an action's name stands for.
enum Verb<'a> {
    Run { fixed: Option<&'a str>, windows: bool },
    Restart,
    Escalate(Option<&'a OlderEscalation>),
}

pub(crate) fn action(
    rule: &Fields<'_>,
    title: &str,
    conditions: &[Condition],
    vocabulary: &Vocabulary,
) -> Result<Chosen, Problem> {
    let node = rule.required("action")?;
    let name = text(node, "action")?;
    let verb = verb(node, name, vocabulary)?;
    let empty = Node { at: node.at, data: Data::Map(Vec::new()) };
    let given = rule.get("action_params").unwrap_or(&empty);
    let given = Fields::of(given, "action_params", "action_params")?;
    if let Some(entry) = given.entries().iter().find(|entry| is_command(&entry.key)) {
        let message = format!("parameter {:?}: a rule chooses a runbook, it never carries a command", entry.key);
        return Err(Problem::new(entry.at, given.path(&entry.key), message));
    }
    match verb {
        Verb::Run { fixed, windows } => run(node, &given, fixed, windows, conditions, vocabulary),
        Verb::Restart => restart(&given, vocabulary),
        Verb::Escalate(older) => escalate(&given, older, title, vocabulary),
    }
}

fn is_command(name: &str) -> bool {
    COMMANDS.contains(&name.to_ascii_lowercase().as_str())
}

fn verb<'a>(node: &Node, name: &'a str, vocabulary: &'a Vocabulary) -> Result<Verb<'a>, Problem> {
    let (word, fixed) = match name.split_once(':') {
        Some((word, id)) if ACTIONS[..2].contains(&word) => (word, Some(id)),
        _ => (name, None),
    };
    match (word, vocabulary.aliases.actions.get(word)) {
        ("run_windows_runbook", _) => Ok(Verb::Run { fixed, windows: true }),
        ("run_runbook", _) => Ok(Verb::Run { fixed, windows: false }),
        ("restart_service", _) => Ok(Verb::Restart),
        ("escalate", _) => Ok(Verb::Escalate(None)),
        (_, Some(OlderAction::Run(id))) => Ok(Verb::Run { fixed: Some(id), windows: false }),
        (_, Some(OlderAction::Escalate(older))) => Ok(Verb::Escalate(Some(older))),
        (older, Some(OlderAction::SameAs(today))) if older != today => verb(node, today, vocabulary),
        _ if vocabulary.runbook(name).is_some() => Ok(Verb::Run { fixed: Some(name), windows: false }),
        _ if is_command(name) => {
            let message = format!("action {name:?}: a rule chooses a runbook, it never carries a command");
            Err(Problem::new(node.at, "action", message))
        }
        _ => {
            let older = vocabulary.aliases.actions.keys().map(String::as_str);
            let known = ACTIONS.into_iter().chain(older).chain(vocabulary.runbook_names());
            let suggestion = suggest::did_you_mean(name, known);
            Err(Problem::new(node.at, "action", format!("unknown action {name:?}")).suggesting(suggestion))
        }
    }
}

fn run(
    action: &Node,
    given: &Fields<'_>,
    fixed: Option<&str>,
    windows: bool,
    conditions: &[Condition],
    vocabulary: &Vocabulary,
) -> Result<Chosen, Problem> {
    let (id_at, id_field, id) = match (fixed, given.get("runbook_id")) {
        (Some(fixed), None) => (action.at, "action".to_owned(), fixed),
        (_, named) => {
            let path = given.path("runbook_id");
            let node = named.map_or_else(|| given.required("runbook_id"), Ok)?;
            (node.at, path.clone(), text(node, &path)?)
        }
    };
    let named = vocabulary.runbook(id).ok_or_else(|| {
        let suggestion = vocabulary.suggest_runbook(id);
        Problem::new(id_at, id_field.clone(), format!("unknown runbook {id:?}")).suggesting(suggestion)
    })?;
    if let Some(fixed) = fixed.and_then(|fixed| vocabulary.runbook(fixed)).filter(|fixed| fixed.id != named.id) {
        let message = format!("the action stands for {}, and runbook_id names {}", fixed.id, named.id);
        return Err(Problem::new(id_at, id_field, message));
    }
    let platform = named.body.platform();
    if windows && platform != "windows" {
        let message = format!("{} acts on {platform}, so run_windows_runbook cannot run it", named.id);
        return Err(Problem::new(id_at, id_field, message));
    }
    if let Some(condition) = conditions.iter().find(|condition| excludes(condition, platform)) {
        let message = format!(
            "{} acts on {platform}, and the rule asks for {} {} {}",
            named.id,
            condition.field,
            condition.operator.as_str(),
            condition.value
        );
        return Err(Problem::new(id_at, id_field, message));
    }
    let mut remarks = Vec::new();
    if let Body::Known(_) = named.body {
        let message = format!("{} is not shipped with this version: a match escalates to a person", named.id);
        remarks.push((id_at, message));
    }
    let phases = phases(given, &mut remarks)?;
    let parameters = parameters(given, &named, vocabulary)?;
    let action = Action::RunRunbook { runbook_id: named.id.to_owned(), parameters, phases };
    Ok(Chosen { action, platform: Some(platform.to_owned()), remarks })
}

fn excludes(condition: &Condition, platform: &str) -> bool {
    matches!(condition.field.as_str(), "platform" | "details.platform")
        && platforms(platform).iter().all(|one| condition.test.evaluate(Some(&Value::from(*one))) != Outcome::Holds)
}

fn phases(given: &Fields<'_>, remarks: &mut Vec<(Position, String)>) -> Result<Vec<Phase>, Problem> {
    let Some(listed) = given.list("phases")? else { return Ok(vec![Phase::Remediate, Phase::Verify]) };
    let mut phases = Vec::new();
    for (path, node) in listed {
        let name = text(node, &path)?;
        let problem = |message: String| Problem::new(node.at, path.clone(), message);
        let phase = Phase::parse(name).ok_or_else(|| {
            problem(format!("unknown phase {name:?}"))
                .suggesting(suggest::did_you_mean(name, Phase::ALL.map(Phase::as_str)))
        })?;
        if phase == Phase::Undo {
            return Err(problem("undo runs by itself when a phase fails: a rule cannot ask for it".to_owned()));
        }
        if phases.last().is_some_and(|last| *last >= phase) {
            return Err(problem(format!("phase {name} stands twice or out of order")));
        }
        phases.push(phase);
    }
    let at = given.required("phases")?.at;
    match phases.last() {
        None => return Err(Problem::new(at, given.path("phases"), "phases are empty, so nothing would be done")),
        Some(Phase::Remediate) => {
            remarks.push((at, "phases do not end in verify, which is run all the same: it decides".to_owned()));
            phases.push(Phase::Verify);
        }
        Some(_) => {}
    }
    Ok(phases)
}

fn parameters(
    given: &Fields<'_>,
    named: &Named<'_>,
    vocabulary: &Vocabulary,
) -> Result<BTreeMap<String, ParameterValue>, Problem> {
    let mut parameters = BTreeMap::new();
    for (name, text) in named.implied.into_iter().flatten() {
        parameters.insert(name.clone(), ParameterValue::Literal(text.clone()));
    }
    for entry in given.entries().iter().filter(|entry| !matches!(entry.key.as_str(), "runbook_id" | "phases")) {
        let name = vocabulary.aliases.parameters.get(&entry.key).unwrap_or(&entry.key);
        let path = given.path(&entry.key);
        let value = parameter(&entry.value, &path)?;
        if let Body::Shipped(runbook) = named.body {
            let Some(schema) = runbook.parameters.get(name) else {
                let known = runbook.parameters.keys().map(String::as_str).chain(["phases", "runbook_id"]);
                let message = format!("unknown parameter {:?} of {}", entry.key, named.id);
                return Err(Problem::new(entry.at, path, message).suggesting(suggest::did_you_mean(name, known)));
            };
            if let ParameterValue::Literal(text) = &value
                && !schema.admits(text)
            {
                let known = schema.allowed.iter().map(String::as_str);
                let message = format!("{} does not admit {name} = {text:?}", named.id);
                return Err(Problem::new(entry.value.at, path, message).suggesting(suggest::did_you_mean(text, known)));
            }
        }
        parameters.insert(name.clone(), value);
    }
    if let Body::Shipped(runbook) = named.body {
        let missing =
            runbook.parameters.iter().find(|(name, schema)| schema.required && !parameters.contains_key(*name));
        if let Some((name, _)) = missing {
            let message = format!("parameter {name} of {} is missing", named.id);
            return Err(Problem::new(given.at, given.path(name), message));
        }
    }
    Ok(parameters)
}

/// A literal, or `{from: <field of the finding>}`.
fn parameter(node: &Node, path: &str) -> Result<ParameterValue, Problem> {
    if !matches!(node.data, Data::Map(_)) {
        return Ok(ParameterValue::Literal(text(node, path)?.to_owned()));
    }
    let fields = Fields::of(node, path, "a reference")?;
    fields.only(&["from"])?;
    let field = lint_condition::field(fields.required("from")?, &fields.path("from"))?;
    Ok(ParameterValue::From(field))
}

fn restart(given: &Fields<'_>, vocabulary: &Vocabulary) -> Result<Chosen, Problem> {
    let older = |key: &str| vocabulary.aliases.parameters.get(key).is_some_and(|today| today == "service");
    let entry = given.entries().iter().find(|entry| older(&entry.key));
    let key = entry.map_or("service", |entry| entry.key.as_str());
    given.only(&[key])?;
    let node = given.required(key)?;
    let service = parameter(node, &given.path(key))?;
    if let ParameterValue::Literal(name) = &service
        && !is_service_name(name)
    {
        return Err(Problem::new(node.at, given.path(key), format!("{name:?} is no service name")));
    }
    Ok(Chosen { action: Action::RestartService { service }, platform: None, remarks: Vec::new() })
}

fn escalate(
    given: &Fields<'_>,
    older: Option<&OlderEscalation>,
    title: &str,
    vocabulary: &Vocabulary,
) -> Result<Chosen, Problem> {
    given.only(&["reason", "urgency", "runbook_id"])?;
    let reason = given.text("reason")?.or(older.map(|older| older.reason.as_str())).unwrap_or(title);
    let urgency = match given.get("urgency") {
        None => older.map_or(Severity::Medium, |older| older.urgency),
        Some(node) => {
            let path = given.path("urgency");
            let name = text(node, &path)?;
            Severity::parse(name).ok_or_else(|| {
                let suggestion = suggest::did_you_mean(name, Severity::ALL.map(Severity::as_str));
                let message = format!("unknown urgency {name:?}: it is low, medium, high or critical");
                Problem::new(node.at, path, message).suggesting(suggestion)
            })?
        }
    };
    let path = given.path("runbook_id");
    let runbook_id = match given.get("runbook_id") {
        None => older.and_then(|older| older.runbook_id.clone()),
        Some(node) => {
            let id = text(node, &path)?;
            let named = vocabulary.runbook(id).ok_or_else(|| {
                let suggestion = vocabulary.suggest_runbook(id);
                Problem::new(node.at, path.clone(), format!("unknown runbook {id:?}")).suggesting(suggestion)
            })?;
            Some(named.id.to_owned())
        }
    };
    let action = Action::Escalate { reason: reason.to_owned(), urgency, runbook_id };
    Ok(Chosen { action, platform: None, remarks: Vec::new() })
}
