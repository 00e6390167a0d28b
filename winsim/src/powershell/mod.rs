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
