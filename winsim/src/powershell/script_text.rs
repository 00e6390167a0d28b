//! Scripts that come as data: `$input`, and `[ScriptBlock]::Create`.

use std::rc::Rc;

use super::ast::Pos;
use super::error::{Abort, ErrorRecord, Run, Signal};
use super::expressions::at;
use super::interpreter::Interpreter;
use super::lexer::SyntaxError;
use super::value::Value;

impl Interpreter {
    /// `$input`. In a function or script block it is set, and empty; outside, it is the lines of standard input, for which
    /// the script waits. They can be had once, as from the real enumerator.
    pub(super) fn input(&mut self) -> Run<Value> {
        if let Some(own) = self.lookup("input") {
            return Ok(own);
        }
        let bytes = self.host.read_input();
        self.charge_size(bytes.len())?;
        self.charge_container()?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Value::array(text.lines().map(Value::str).collect()))
    }

    /// `[ScriptBlock]::Create(text)`. What is wrong with the text is the error of the call, and can be caught; what only
    /// the subset lacks cannot.
    pub(super) fn script_block_of(&mut self, text: &str, pos: Pos) -> Run<Value> {
        // A syntax tree is larger than its text: four characters cost a step.
        self.charge(text.len() / 4 + 1)?;
        let number = self.next_source();
        self.keep_source(text);
        match super::parser::parse(text, number) {
            Ok(block) => Ok(Value::ScriptBlock(Rc::new(block))),
            Err(error) if error.id == SyntaxError::NOT_IN_SUBSET => {
                Err(Signal::Abort(Abort::UnsupportedSyntax { message: error.message, pos: error.pos }))
            }
            Err(error) => {
                let mut lines = Vec::new();
                self.position_lines(error.pos, &mut lines);
                lines.push(error.message);
                let record = ErrorRecord::new(
                    "System.Management.Automation.MethodInvocationException",
                    "ParseException",
                    format!("Exception calling \"Create\" with \"1\" argument(s): \"{}\"", lines.join("\r\n")),
                );
                Err(at(Signal::error(record), pos))
            }
        }
    }
}
