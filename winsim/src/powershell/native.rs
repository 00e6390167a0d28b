//! Programs of Windows called from a script, and redirection.

use std::rc::Rc;

use super::ast::{Command, Stream};
use super::binding::Argument;
use super::call::find_cmdlet;
use super::error::{ErrorRecord, Run, Signal};
use super::interpreter::{ErrorAction, Interpreter};
use super::pipeline::Sink;
use super::value::Value;
use crate::programs::{self, Call, Program};

/// Takes output and keeps none.
struct Nowhere;

impl Sink for Nowhere {
    fn push(&mut self, interp: &mut Interpreter, _: Value) -> Run<()> {
        interp.charge(1)
    }
}

/// Where the two streams of a command go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errors {
    Shown,
    Nowhere,
    IntoOutput,
}

/// Whether output is kept, where errors go, and whether the other streams, warnings among them, are shown.
fn streams(command: &Command) -> (bool, Errors, bool) {
    let (mut output_kept, mut errors, mut others_shown) = (true, Errors::Shown, true);
    for redirection in &command.redirections {
        let to = if redirection.to_output { Errors::IntoOutput } else { Errors::Nowhere };
        match redirection.from {
            Stream::Output => output_kept = false,
            Stream::Errors => errors = to,
            Stream::Other => others_shown = false,
            Stream::All => {
                errors = to;
                others_shown = false;
                output_kept &= redirection.to_output;
            }
        }
    }
    // `>$null 2>&1` sends both to the same place.
    if !output_kept && errors == Errors::IntoOutput {
        errors = Errors::Nowhere;
    }
    (output_kept, errors, others_shown)
}

impl Interpreter {
    /// Runs a function or cmdlet with its streams where its redirections send them.
    pub(super) fn redirected(
        &mut self,
        command: &Command,
        out: &mut dyn Sink,
        run: impl FnOnce(&mut Self, &mut dyn Sink) -> Run<()>,
    ) -> Run<()> {
        if command.redirections.is_empty() {
            return run(self, out);
        }
        let (output_kept, errors, others_shown) = streams(command);
        if errors == Errors::IntoOutput {
            return Err(Signal::unsupported("2>&1 after something other than a program", command.pos));
        }
        let (muted, silenced) = (usize::from(errors == Errors::Nowhere), usize::from(!others_shown));
        self.muted += muted;
        self.warnings_silenced += silenced;
        let result = if output_kept { run(self, out) } else { run(self, &mut Nowhere) };
        self.muted -= muted;
        self.warnings_silenced -= silenced;
        result
    }

    /// The program that a name means, unless a cmdlet has it.
    pub(super) fn program(&self, name: &str) -> Option<Program> {
        if find_cmdlet(name).is_some() {
            return None;
        }
        self.machine.read(|state| programs::find(name, state))
    }

    /// Runs a program to its end: its lines are text, its exit code is `$LASTEXITCODE`.
    pub(super) fn run_program(
        &mut self,
        name: &str,
        program: Program,
        command: &Command,
        out: &mut dyn Sink,
    ) -> Run<()> {
        let mut args = Vec::new();
        for argument in self.arguments(command)? {
            match argument {
                Argument::Positional(value) => args.extend(value.enumerate().iter().map(|v| self.to_text(v))),
                Argument::Named(name, None) => args.push(format!("-{name}")),
                Argument::Named(name, Some(value)) => args.push(format!("-{name}:{}", self.to_text(&value))),
            }
        }
        let ran = program(&Call { args: &args, machine: &self.machine, actor: &self.actor });
        self.charge_size(ran.stdout.iter().chain(&ran.stderr).map(|line| line.len() + 16).sum())?;
        self.set_automatic("lastexitcode", Value::Int(i64::from(ran.code)));
        self.last_ok = ran.code == 0;
        let (output_kept, errors, _) = streams(command);
        if output_kept {
            for line in &ran.stdout {
                out.push(self, Value::str(line))?;
            }
        }
        for (index, line) in ran.stderr.iter().enumerate() {
            if errors == Errors::Shown {
                self.host.write_program_error(line);
                continue;
            }
            // Windows PowerShell makes an error of every line that a program writes to a redirected standard error, also
            // when it goes nowhere: under Stop the first of them ends the script.
            self.last_ok = false;
            let id = if index == 0 { "NativeCommandError" } else { "NativeCommandErrorMessage" };
            let mut record = ErrorRecord::new("System.Management.Automation.RemoteException", id, line.clone())
                .target(line.clone(), "System.String")
                .command(name);
            record.pos = command.pos;
            let record = Rc::new(record);
            if self.error_preference() == ErrorAction::Stop {
                return Err(Signal::Error { record, stops_script: true });
            }
            if errors == Errors::IntoOutput {
                out.push(self, Value::Error(record))?;
            }
        }
        Ok(())
    }
}
