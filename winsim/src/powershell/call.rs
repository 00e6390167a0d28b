//! Calling commands: functions of the script, script blocks, and cmdlets.

use std::rc::Rc;

use super::ast::{Arg, Block, Command, CommandName, Expr};
use super::binding::{Argument, Bound};
use super::cmdlets::{Action, Cmdlet};
use super::error::{Category, ErrorRecord, Run, Signal};
use super::interpreter::{ErrorAction, Interpreter};
use super::pipeline::{Sink, Stage};
use super::value::{Value, same_name};

/// Other names of cmdlets.
const ALIASES: [(&str, &str); 12] = [
    ("%", "ForEach-Object"),
    ("foreach", "ForEach-Object"),
    ("?", "Where-Object"),
    ("where", "Where-Object"),
    ("select", "Select-Object"),
    ("sort", "Sort-Object"),
    ("measure", "Measure-Object"),
    ("echo", "Write-Output"),
    ("write", "Write-Output"),
    ("sleep", "Start-Sleep"),
    ("gsv", "Get-Service"),
    ("gcim", "Get-CimInstance"),
];

/// A cmdlet by its name or an alias.
pub(super) fn find_cmdlet(name: &str) -> Option<&'static super::cmdlets::Cmdlet> {
    let full = ALIASES.iter().find(|(alias, _)| same_name(alias, name)).map_or(name, |(_, full)| full);
    super::cmdlets::find(full)
}

impl Interpreter {
    /// A command that stands first in its pipeline.
    pub(super) fn run_command(&mut self, command: &Command, out: &mut dyn Sink) -> Run<()> {
        if let Some((what, pos)) = command.redirections.iter().find_map(|r| Some((r.refused?, r.pos))) {
            return Err(Signal::unsupported(what, pos));
        }
        match &command.name {
            CommandName::Refused(what) => Err(Signal::unsupported(*what, command.pos)),
            CommandName::Invoke(expr) => match self.eval(expr)? {
                Value::ScriptBlock(block) => {
                    let args = self.arguments(command)?;
                    self.redirected(command, out, |i, out| i.call_function(&block, args, command, out))
                }
                Value::Str(name) => self.run_named(&name, command, out),
                _ => Err(Signal::unsupported("& with something other than a script block or a name", command.pos)),
            },
            CommandName::Dot(expr) => match self.eval(expr)? {
                Value::ScriptBlock(block) if block.params.is_empty() && command.args.is_empty() => {
                    self.redirected(command, out, |i, out| match i.run_block(&block, out) {
                        Err(Signal::Return) => Ok(()),
                        other => other,
                    })
                }
                _ => Err(Signal::unsupported(
                    "Dot sourcing something other than a block without parameters",
                    command.pos,
                )),
            },
            CommandName::Name(name) => self.run_named(name, command, out),
        }
    }

    fn run_named(&mut self, name: &str, command: &Command, out: &mut dyn Sink) -> Run<()> {
        if let Some(function) = self.find_function(name) {
            let args = self.arguments(command)?;
            return self.redirected(command, out, |i, out| i.call_function(&function, args, command, out));
        }
        if let Some(program) = self.program(name) {
            return self.run_program(name, program, command, out);
        }
        self.redirected(command, out, |i, out| {
            let mut stage = i.cmdlet_stage(name, command)?;
            stage.end(i, out)
        })
    }

    /// A command that takes the output of the one before it.
    pub(super) fn stage(&mut self, command: &Command) -> Run<Box<dyn Stage>> {
        let CommandName::Name(name) = &command.name else {
            return Err(Signal::unsupported("& inside a pipeline", command.pos));
        };
        if self.find_function(name).is_some() {
            return Err(Signal::unsupported("A function that takes pipeline input", command.pos));
        }
        if self.program(name).is_some() {
            return Err(Signal::unsupported("A program that takes pipeline input", command.pos));
        }
        if let Some(redirection) = command.redirections.first() {
            return Err(Signal::unsupported("Redirection after a pipe", redirection.pos));
        }
        let mut stage = self.cmdlet_stage(name, command)?;
        stage.piped = true;
        Ok(Box::new(stage))
    }

    fn cmdlet_stage(&mut self, name: &str, command: &Command) -> Run<CmdletStage> {
        let installed = |c: &&Cmdlet| self.machine.read(|state| super::cmdlets::is_installed(c, state));
        let Some(cmdlet) = find_cmdlet(name).filter(installed) else {
            let mut record = ErrorRecord::new(
                "System.Management.Automation.CommandNotFoundException",
                "CommandNotFoundException",
                format!(
                    "The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable \
                     program. Check the spelling of the name, or if a path was included, verify that the path is \
                     correct and try again."
                ),
            )
            .category(Category::ObjectNotFound)
            .target(name, "String")
            .command(name);
            record.pos = command.pos;
            return Err(Signal::error(record));
        };
        let args = self.arguments(command)?;
        let bound = self.bind(cmdlet, args, command)?;
        Ok(CmdletStage { bound, piped: false, input: Vec::new() })
    }

    pub(super) fn arguments(&mut self, command: &Command) -> Run<Vec<Argument>> {
        let mut arguments = Vec::with_capacity(command.args.len());
        for arg in &command.args {
            match arg {
                Arg::Parameter { name, value } => {
                    let value = match value {
                        Some(expr) => Some(self.eval(expr)?),
                        None => None,
                    };
                    arguments.push(Argument::Named(name.clone(), value));
                }
                Arg::Value(expr) => arguments.push(Argument::Positional(self.argument_value(expr)?)),
                Arg::Splat(expr) => match self.eval(expr)? {
                    Value::Table(table) => {
                        for (key, value) in &table.borrow().entries {
                            arguments.push(Argument::Named(self.to_text(key), Some(value.clone())));
                        }
                    }
                    other => arguments.extend(other.enumerate().into_iter().map(Argument::Positional)),
                },
            }
        }
        self.last_ok = true;
        Ok(arguments)
    }

    fn argument_value(&mut self, expr: &Expr) -> Run<Value> {
        match self.eval(expr)? {
            Value::Void => Ok(Value::Null),
            value => Ok(value),
        }
    }

    /// An error of a cmdlet that need not end it: the caller goes on when this returns.
    pub(crate) fn cmdlet_error(&mut self, bound: &Bound, record: ErrorRecord) -> Run<()> {
        let mut record = record.command(bound.cmdlet.name);
        record.pos = bound.pos;
        self.last_ok = false;
        // The functions of a module do not see the preference of a scope that is not the global one.
        let preference = || match super::cmdlets::is_function_of_a_module(bound.cmdlet) {
            true => self.global_error_preference(),
            false => self.error_preference(),
        };
        match bound.error_action.unwrap_or_else(preference) {
            ErrorAction::Stop => Err(Signal::Error { record: Rc::new(record), stops_script: true }),
            ErrorAction::Continue => {
                self.report(&record);
                Ok(())
            }
            ErrorAction::SilentlyContinue => Ok(()),
        }
    }

    fn call_function(
        &mut self,
        body: &Rc<Block>,
        args: Vec<Argument>,
        command: &Command,
        out: &mut dyn Sink,
    ) -> Run<()> {
        let result = self.in_scope(|i| {
            i.bind_function(body, args, command)?;
            i.run_block(body, out)
        });
        match result {
            Err(Signal::Return) => Ok(()),
            other => other,
        }
    }

    fn bind_function(&mut self, body: &Block, args: Vec<Argument>, command: &Command) -> Run<()> {
        let mut given: Vec<Option<Value>> = vec![None; body.params.len()];
        let mut rest = Vec::new();
        let mut args = args.into_iter().peekable();
        while let Some(arg) = args.next() {
            match arg {
                Argument::Positional(value) => rest.push(value),
                Argument::Named(name, value) => {
                    let Some(index) = body.params.iter().position(|p| same_name(&p.name, &name)) else {
                        return Err(Signal::unsupported(
                            format!("The argument '-{name}', which this function does not declare"),
                            command.pos,
                        ));
                    };
                    let is_switch = body
                        .params
                        .get(index)
                        .and_then(|p| p.type_name.as_ref())
                        .is_some_and(|t| same_name(&t.name, "switch"));
                    let value = match value {
                        Some(value) => value,
                        None if is_switch => Value::Bool(true),
                        None => match args.next() {
                            Some(Argument::Positional(value)) => value,
                            _ => Value::Null,
                        },
                    };
                    if let Some(slot) = given.get_mut(index) {
                        *slot = Some(value);
                    }
                }
            }
        }
        let mut rest = rest.into_iter();
        for (param, slot) in body.params.iter().zip(given) {
            if let Some(attribute) = param.attributes.iter().find(|a| !a.harmless) {
                return Err(Signal::unsupported(
                    format!("The attribute [{}] of a parameter", attribute.name),
                    attribute.pos,
                ));
            }
            let is_switch = param.type_name.as_ref().is_some_and(|t| same_name(&t.name, "switch"));
            let value = match slot {
                Some(value) => Some(value),
                None if is_switch => None,
                None => rest.next(),
            };
            let value = match (value, &param.default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.eval(default)?,
                (None, None) if param.attributes.iter().any(|a| a.mandatory) => {
                    let what = format!("A call without the mandatory parameter '{}'", param.name);
                    return Err(Signal::unsupported(what, command.pos));
                }
                (None, None) if is_switch => Value::Bool(false),
                (None, None) => Value::Null,
            };
            let value = match &param.type_name {
                Some(type_name) if !value.is_null() => self.cast(type_name, value)?,
                _ => value,
            };
            self.set_local(&param.name, value);
        }
        self.set_local("args", Value::array(rest.collect()));
        // A call that no pipeline feeds has no input, whatever standard input holds.
        self.set_local("input", Value::array(Vec::new()));
        Ok(())
    }

    /// Runs a script block for `$_`, in the caller's scope as `ForEach-Object` does.
    pub(crate) fn run_script_block(&mut self, block: &Block, item: Value, out: &mut dyn Sink) -> Run<()> {
        match self.with_item(item, |i| i.run_block(block, out)) {
            Err(Signal::Return) => Ok(()),
            other => other,
        }
    }
}

/// A cmdlet at work in a pipeline.
struct CmdletStage {
    bound: Bound,
    /// Whether it has a command before it.
    piped: bool,
    input: Vec<Value>,
}

impl Stage for CmdletStage {
    fn process(&mut self, interp: &mut Interpreter, value: Value, out: &mut dyn Sink) -> Run<()> {
        interp.charge(1)?;
        match self.bound.cmdlet.action {
            Action::Each(run) => run(interp, &self.bound, value, out),
            Action::Whole(_) => {
                self.input.push(value);
                Ok(())
            }
        }
    }

    fn end(&mut self, interp: &mut Interpreter, out: &mut dyn Sink) -> Run<()> {
        match self.bound.cmdlet.action {
            Action::Each(run) => {
                // Without a pipeline the input can come as a parameter.
                match (self.piped, self.bound.get("InputObject").cloned()) {
                    (false, Some(value)) => run(interp, &self.bound, value, out),
                    _ => Ok(()),
                }
            }
            Action::Whole(run) => {
                let input = self.piped.then(|| std::mem::take(&mut self.input));
                run(interp, &self.bound, input, out)
            }
        }
    }
}

/// The script block that an expression literal holds, for cmdlets that take one.
pub(crate) fn as_block(value: &Value) -> Option<Rc<Block>> {
    match value {
        Value::ScriptBlock(block) => Some(Rc::clone(block)),
        _ => None,
    }
}
