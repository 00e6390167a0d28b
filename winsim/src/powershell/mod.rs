//! An interpreter for the subset of PowerShell that the shipped runbooks use (SUBSET.md lists it).
//!
//! Text goes through `parser` to a tree (`ast`), which the `impl Interpreter` files evaluate over typed `value`s; cmdlets
//! act on the simulated machine. Nothing depends on which script runs: what is not known is refused, with its position.

mod ast;
mod binding;
mod call;
mod cmdlets;
mod com;
mod convert;
mod error;
mod expressions;
mod format;
mod interpreter;
mod json;
mod lexer;
mod members;
mod methods;
mod native;
mod operators;
mod parser;
mod pipeline;
mod report;
mod script_text;
mod statements;
mod text_operators;
mod types;
mod value;
mod warnings;
mod wildcard;

use std::sync::Arc;

use crate::windows::Machine;
use crate::windows::ledger::Actor;
use error::{Abort, Signal};
use interpreter::{ErrorAction, Interpreter};

pub(crate) use interpreter::Host;

/// The stack that a thread needs to run any script within the limits.
pub(crate) const STACK_BYTES: usize = 64 << 20;

/// What keeps a script from being run here, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptProblem {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What it is.
    pub message: String,
    /// Whether PowerShell itself would take it, as far as this parser can tell.
    pub outside_subset: bool,
}

/// Parses a script without running it. Needs a thread with a large stack for scripts that nest deeply, and makes one.
///
/// # Errors
/// The first problem.
pub fn check_script(text: &str) -> Result<(), ScriptProblem> {
    let parse = || {
        parser::parse(text, 0).map(drop).map_err(|error| ScriptProblem {
            line: error.pos.line,
            column: error.pos.column,
            outside_subset: error.id == lexer::SyntaxError::NOT_IN_SUBSET,
            message: error.message,
        })
    };
    let no_thread = || ScriptProblem {
        line: 1,
        column: 1,
        message: "no thread could be made to parse on".to_owned(),
        outside_subset: true,
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, parse);
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| Err(no_thread()))
    })
}

/// Runs a script to its end and returns the exit code of `powershell.exe`. Needs a thread with [`STACK_BYTES`] of stack.
pub(crate) fn run(script: &str, machine: Arc<Machine>, actor: Actor, host: Box<dyn Host>) -> i32 {
    let mut interpreter = Interpreter::new(machine, actor, host, script);
    let block = match parser::parse(script, 0) {
        Ok(block) => block,
        Err(error) => {
            interpreter.report_syntax(&error);
            return 1;
        }
    };
    match interpreter.run_block(&block, &mut report::Output) {
        Ok(()) | Err(Signal::Return | Signal::Break | Signal::Continue) => i32::from(!interpreter.last_ok),
        Err(Signal::Exit(code)) => code,
        Err(Signal::Error { record, .. }) => {
            // An error that stops the script under SilentlyContinue stops it in silence.
            if interpreter.error_preference() != ErrorAction::SilentlyContinue {
                interpreter.report(&record);
            }
            1
        }
        // Whoever stopped the command knows: nothing is said.
        Err(Signal::Abort(Abort::Cancelled)) => 1,
        Err(Signal::Abort(abort)) => {
            interpreter.report_abort(&abort);
            1
        }
    }
}

#[cfg(test)]
mod tests;
