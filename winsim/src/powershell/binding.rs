//! Binding arguments to the parameters of a cmdlet: by name, by the beginning of a name, by position.

use super::ast::{Command, Pos};
use super::cmdlets::{Cmdlet, Parameter};
use super::error::{Category, ErrorRecord, Run, Signal};
use super::interpreter::{ErrorAction, Interpreter};
use super::value::{Value, same_name};

/// Parameters that every cmdlet has; the rest of them are refused as unknown.
const COMMON: [&str; 2] = ["ErrorAction", "WarningAction"];

/// An argument with its value.
pub(super) enum Argument {
    Named(String, Option<Value>),
    Positional(Value),
}

/// A call's parameters, bound.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) cmdlet: &'static Cmdlet,
    pub(crate) pos: Pos,
    values: Vec<(&'static str, Value)>,
    pub(super) error_action: Option<ErrorAction>,
    pub(super) warning_action: Option<ErrorAction>,
}

impl Bound {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Whether a switch is on.
    pub(crate) fn switch(&self, name: &str) -> bool {
        self.get(name).is_some_and(Value::is_true)
    }

    /// A parameter that takes one or many texts.
    pub(crate) fn texts(&self, interp: &Interpreter, name: &str) -> Option<Vec<String>> {
        let value = self.get(name)?;
        let items = value.elements().unwrap_or_else(|| vec![value.clone()]);
        Some(items.iter().map(|v| interp.to_text(v)).collect())
    }
}

impl Interpreter {
    /// Binds the arguments of a call to the parameters of a cmdlet.
    pub(super) fn bind(&mut self, cmdlet: &'static Cmdlet, args: Vec<Argument>, command: &Command) -> Run<Bound> {
        let mut bound =
            Bound { cmdlet, pos: command.pos, values: Vec::new(), error_action: None, warning_action: None };
        let mut positional = Vec::new();
        let mut args = args.into_iter().peekable();
        while let Some(arg) = args.next() {
            let (name, value) = match arg {
                Argument::Positional(value) => {
                    positional.push(value);
                    continue;
                }
                Argument::Named(name, value) => (name, value),
            };
            let common = COMMON.iter().find(|c| is_common(&name, c));
            let parameter = find_parameter(cmdlet, &name);
            let is_switch = common.is_none() && parameter.is_some_and(|p| p.switch);
            let value = match value {
                Some(value) => value,
                None if is_switch => Value::Bool(true),
                None => match args.next_if(|next| matches!(next, Argument::Positional(_))) {
                    Some(Argument::Positional(value)) => value,
                    _ => {
                        return Err(self.binding_error(
                            &bound,
                            "MissingArgument",
                            format!(
                                "Missing an argument for parameter '{name}'. Specify a parameter of type \
                                 'System.Object' and try again."
                            ),
                        ));
                    }
                },
            };
            match (common, parameter) {
                (Some(common), _) => {
                    let text = self.to_text(&value);
                    let action = Some(ErrorAction::parse(&text).ok_or_else(|| {
                        self.binding_error(
                            &bound,
                            "CannotConvertArgumentNoMessage",
                            format!(
                                "Cannot bind parameter '{common}'. Cannot convert value \"{text}\" to type \
                                     \"System.Management.Automation.ActionPreference\"."
                            ),
                        )
                    })?);
                    if *common == "ErrorAction" {
                        bound.error_action = action;
                    } else {
                        bound.warning_action = action;
                    }
                }
                (None, Some(parameter)) => bound.values.push((parameter.name, value)),
                (None, None) => {
                    return Err(self.binding_error(
                        &bound,
                        "NamedParameterNotFound",
                        format!("A parameter cannot be found that matches parameter name '{name}'."),
                    ));
                }
            }
        }
        self.bind_positional(&mut bound, positional)?;
        Ok(bound)
    }

    fn bind_positional(&mut self, bound: &mut Bound, positional: Vec<Value>) -> Run<()> {
        let mut free: Vec<&Parameter> =
            bound.cmdlet.parameters.iter().filter(|p| p.position.is_some() && bound.get(p.name).is_none()).collect();
        free.sort_by_key(|p| p.position);
        let mut free = free.into_iter();
        for value in positional {
            match free.next() {
                Some(parameter) => bound.values.push((parameter.name, value)),
                None => {
                    let text = self.to_text(&value);
                    return Err(self.binding_error(
                        bound,
                        "PositionalParameterNotFound",
                        format!("A positional parameter cannot be found that accepts argument '{text}'."),
                    ));
                }
            }
        }
        Ok(())
    }

    /// An error in the parameters of a call.
    pub(crate) fn binding_error(&self, bound: &Bound, id: &str, message: String) -> Signal {
        let mut record = ErrorRecord::new(
            "System.Management.Automation.ParameterBindingException",
            &format!("{id},{}", bound.cmdlet.class),
            message,
        )
        .category(Category::InvalidArgument)
        .command(bound.cmdlet.name);
        record.pos = bound.pos;
        Signal::error(record)
    }
}

fn prefixes(given: &str, name: &str) -> bool {
    name.get(..given.len()).is_some_and(|start| same_name(start, given))
}

/// A common parameter by its name, its alias, or as much of it as tells it from the other ones (`-ErrorA`).
fn is_common(given: &str, name: &str) -> bool {
    let alias = if name == "ErrorAction" { "EA" } else { "WA" };
    same_name(given, alias) || (given.len() > 5 && prefixes(given, name))
}

/// A parameter by its name, an alias, or an unambiguous beginning of its name.
fn find_parameter(cmdlet: &'static Cmdlet, name: &str) -> Option<&'static Parameter> {
    let exact =
        cmdlet.parameters.iter().find(|p| same_name(p.name, name) || p.aliases.iter().any(|a| same_name(a, name)));
    exact.or_else(|| {
        let mut candidates = cmdlet.parameters.iter().filter(|p| prefixes(name, p.name));
        match (candidates.next(), candidates.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    })
}
