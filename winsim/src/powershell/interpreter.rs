//! The state of one running script: its variables, its limits, and where its output goes.
//!
//! The rules of the language are in `statements`, `expressions`, `pipeline` and the operator files, all of them
//! `impl Interpreter`. A script can run for as long as its budget lasts: every step costs one, and what makes a large value
//! pays for its size, so that neither a loop nor a doubling string can exhaust the server.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::ast::{Block, Pos, Variable};
use super::error::{Abort, ErrorRecord, Run, Signal};
use super::value::{Table, Value};
use crate::windows::Machine;
use crate::windows::ledger::Actor;

/// Where a script's output goes, and how it is stopped from outside.
pub(crate) trait Host {
    /// A line for standard output.
    fn write_line(&mut self, line: &str);
    /// An error, as the lines of the message.
    fn write_error(&mut self, lines: &[String]);
    /// A line that a program of Windows wrote to standard error.
    fn write_program_error(&mut self, line: &str);
    /// All of standard input, once its end has come. What was read is gone.
    fn read_input(&mut self) -> Vec<u8>;
    /// A warning.
    fn write_warning(&mut self, text: &str);
    /// Whether somebody wants the script to stop.
    fn is_cancelled(&self) -> bool;
    /// Waits, or stops waiting early when cancelled.
    fn sleep(&mut self, time: Duration);
}

/// Steps one script may take.
const STEPS: u64 = 2_000_000;

/// How deep evaluation may nest. Parsing limits what one script can nest; calls multiply that.
const DEEPEST: usize = 800;

/// How deep function calls may nest, as PowerShell words it when they go too deep.
const DEEPEST_CALLS: usize = 100;

/// What happens to an error that does not have to end anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorAction {
    Stop,
    Continue,
    SilentlyContinue,
}

impl ErrorAction {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "stop" | "1" => Some(Self::Stop),
            "continue" | "2" => Some(Self::Continue),
            "silentlycontinue" | "ignore" | "0" | "4" => Some(Self::SilentlyContinue),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Scope {
    variables: HashMap<String, Value>,
    functions: HashMap<String, Rc<Block>>,
}

/// One running script.
pub(crate) struct Interpreter {
    pub(crate) machine: Arc<Machine>,
    pub(crate) actor: Actor,
    pub(crate) host: Box<dyn Host>,
    /// The lines of the script and of the texts it made script blocks of, which error messages quote.
    sources: Vec<Vec<String>>,
    scopes: Vec<Scope>,
    steps: u64,
    depth: usize,
    /// How many `try` blocks surround the current statement.
    pub(super) tries: usize,
    /// `$?`
    pub(super) last_ok: bool,
    /// How many commands whose errors go nowhere surround the current one.
    pub(super) muted: usize,
    /// The same for warnings.
    pub(super) warnings_silenced: usize,
}

impl Interpreter {
    pub(crate) fn new(machine: Arc<Machine>, actor: Actor, host: Box<dyn Host>, source: &str) -> Self {
        let mut global = Scope::default();
        global.variables.insert("erroractionpreference".to_owned(), Value::str("Continue"));
        global.variables.insert("progresspreference".to_owned(), Value::str("Continue"));
        global.variables.insert("psversiontable".to_owned(), version_table());
        Self {
            machine,
            actor,
            host,
            sources: vec![source.lines().map(str::to_owned).collect()],
            scopes: vec![global],
            steps: 0,
            depth: 0,
            tries: 0,
            last_ok: true,
            muted: 0,
            warnings_silenced: 0,
        }
    }

    /// Takes `count` steps of the budget.
    pub(crate) fn charge(&mut self, count: usize) -> Run<()> {
        self.steps = self.steps.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if self.steps > STEPS {
            return Err(Signal::Abort(Abort::Limit { limit: "steps", count: STEPS }));
        }
        if self.host.is_cancelled() {
            return Err(Signal::Abort(Abort::Cancelled));
        }
        Ok(())
    }

    /// Pays for a text or list of this size that is about to be made.
    pub(crate) fn charge_size(&mut self, size: usize) -> Run<()> {
        self.charge(size / 16 + 1)
    }

    /// Pays for an array or table that can hold another one. Freeing nested containers takes stack, so a script can only
    /// nest as many as the stack of its thread is made for.
    pub(super) fn charge_container(&mut self) -> Run<()> {
        self.charge(40)
    }

    /// Runs something one level deeper.
    pub(super) fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Run<T>) -> Run<T> {
        self.charge(1)?;
        if self.depth >= DEEPEST {
            return Err(Signal::Abort(Abort::Limit { limit: "nested evaluations", count: DEEPEST as u64 }));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Runs something in a new scope of its own.
    pub(super) fn in_scope<T>(&mut self, run: impl FnOnce(&mut Self) -> Run<T>) -> Run<T> {
        if self.scopes.len() > DEEPEST_CALLS {
            let record = ErrorRecord::new(
                "System.Management.Automation.ScriptCallDepthException",
                "CallDepthOverflow",
                "The script failed due to call depth overflow.",
            );
            return Err(Signal::Error { record: Rc::new(record), stops_script: true });
        }
        self.scopes.push(Scope::default());
        let result = run(self);
        self.scopes.pop();
        result
    }

    pub(super) fn get_variable(&mut self, variable: &Variable, pos: Pos) -> Run<Value> {
        let name = variable.name.to_lowercase();
        match variable.scope.as_deref() {
            None | Some("local") => {}
            Some("script" | "global") => {
                return Ok(self.scopes.first().and_then(|s| s.variables.get(&name)).cloned().unwrap_or(Value::Null));
            }
            Some("env") => return Ok(self.environment(&name)),
            Some(other) => return Err(Signal::unsupported(format!("The variable drive '{other}:'"), pos)),
        }
        match name.as_str() {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "null" => return Ok(Value::Null),
            "?" => return Ok(Value::Bool(self.last_ok)),
            "input" => return self.input(),
            _ => {}
        }
        Ok(self.lookup(&name).unwrap_or(Value::Null))
    }

    pub(super) fn lookup(&self, name: &str) -> Option<Value> {
        let name = if name == "psitem" { "_" } else { name };
        self.scopes.iter().rev().find_map(|s| s.variables.get(name)).cloned()
    }

    pub(super) fn set_variable(&mut self, variable: &Variable, value: Value, pos: Pos) -> Run<()> {
        let name = variable.name.to_lowercase();
        if matches!(name.as_str(), "true" | "false" | "null" | "?") {
            let record = ErrorRecord::new(
                "System.Management.Automation.SessionStateUnauthorizedAccessException",
                "VariableNotWritable",
                format!("Cannot overwrite variable {} because it is read-only or constant.", variable.name),
            );
            return Err(Signal::error(record));
        }
        let scope = match variable.scope.as_deref() {
            None | Some("local") => self.scopes.last_mut(),
            Some("script" | "global") => self.scopes.first_mut(),
            Some(other) => return Err(Signal::unsupported(format!("Assignment to '${other}:'"), pos)),
        };
        if let Some(scope) = scope {
            scope.variables.insert(name, value);
        }
        Ok(())
    }

    /// Sets a variable of the current scope that needs no checks.
    pub(super) fn set_local(&mut self, name: &str, value: Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.variables.insert(name.to_lowercase(), value);
        }
    }

    /// Runs something with `$_` set, and puts the old `$_` back.
    pub(crate) fn with_item<T>(&mut self, item: Value, run: impl FnOnce(&mut Self) -> Run<T>) -> Run<T> {
        let before = self.scopes.last().and_then(|s| s.variables.get("_")).cloned();
        self.set_local("_", item);
        let result = run(self);
        match before {
            Some(value) => self.set_local("_", value),
            None => {
                if let Some(scope) = self.scopes.last_mut() {
                    scope.variables.remove("_");
                }
            }
        }
        result
    }

    /// Sets a variable that the language itself keeps for the whole script.
    pub(super) fn set_automatic(&mut self, name: &str, value: Value) {
        if let Some(scope) = self.scopes.first_mut() {
            scope.variables.insert(name.to_owned(), value);
        }
    }

    pub(super) fn define_function(&mut self, name: &str, body: Rc<Block>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.functions.insert(name.to_lowercase(), body);
        }
    }

    pub(super) fn find_function(&self, name: &str) -> Option<Rc<Block>> {
        let name = name.to_lowercase();
        self.scopes.iter().rev().find_map(|s| s.functions.get(&name)).cloned()
    }

    fn environment(&self, name: &str) -> Value {
        let computer = self.machine.read(|s| s.computer.name.clone());
        match name {
            "computername" => Value::str(&computer),
            "systemroot" | "windir" => Value::str("C:\\Windows"),
            "systemdrive" => Value::str("C:"),
            _ => Value::Null,
        }
    }

    /// `$ErrorActionPreference`.
    pub(crate) fn error_preference(&self) -> ErrorAction {
        error_action(self.lookup("erroractionpreference"))
    }

    /// `$global:ErrorActionPreference`.
    pub(crate) fn global_error_preference(&self) -> ErrorAction {
        error_action(self.scopes.first().and_then(|scope| scope.variables.get("erroractionpreference")).cloned())
    }

    /// The line of the script at a position, for messages.
    pub(super) fn source_line(&self, pos: Pos) -> &str {
        let lines = self.sources.get(pos.source).map(Vec::as_slice).unwrap_or_default();
        let index = usize::try_from(pos.line).unwrap_or(0);
        index.checked_sub(1).and_then(|i| lines.get(i)).map_or("", String::as_str)
    }

    /// The number by which positions in the next text will name it.
    pub(super) fn next_source(&self) -> usize {
        self.sources.len()
    }

    /// Keeps a text's lines under the next number.
    pub(super) fn keep_source(&mut self, text: &str) {
        self.sources.push(text.lines().map(str::to_owned).collect());
    }
}

fn version_table() -> Value {
    let mut table = Table::default();
    table.set(Value::str("PSVersion"), Value::str("5.1.20348.1"));
    table.set(Value::str("PSEdition"), Value::str("Desktop"));
    Value::table(table)
}

fn error_action(preference: Option<Value>) -> ErrorAction {
    match preference {
        Some(Value::Str(text)) => ErrorAction::parse(&text).unwrap_or(ErrorAction::Continue),
        _ => ErrorAction::Continue,
    }
}
