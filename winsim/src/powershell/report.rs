//! Output for people: what reaches standard output as text, and errors worded and laid out as Windows PowerShell 5.1 does.

use super::error::{Abort, ErrorRecord, Run, Signal};
use super::interpreter::Interpreter;
use super::lexer::SyntaxError;
use super::pipeline::Sink;
use super::value::Value;

/// The end of the script's pipeline: standard output.
#[derive(Debug)]
pub(super) struct Output;

impl Sink for Output {
    fn push(&mut self, interp: &mut Interpreter, value: Value) -> Run<()> {
        match &value {
            Value::Null | Value::Void => Ok(()),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Str(_) | Value::Enum(_) | Value::Type(_) => {
                let text = interp.to_text(&value);
                interp.write_text(&text)
            }
            // A value inside an array that is an array itself is enumerated as well.
            Value::Array(_) => {
                for item in value.enumerate() {
                    interp.deeper(|i| self.push(i, item))?;
                }
                Ok(())
            }
            other => Err(Signal::unsupported(
                format!("The table or list in which PowerShell shows a [{}]", other.type_name()),
                super::ast::Pos::default(),
            )),
        }
    }
}

impl Interpreter {
    /// A text for standard output, line by line.
    pub(crate) fn write_text(&mut self, text: &str) -> Run<()> {
        self.charge_size(text.len())?;
        for line in text.split('\n') {
            self.host.write_line(line.trim_end_matches('\r'));
        }
        Ok(())
    }

    /// An error for standard error.
    pub(super) fn report(&mut self, record: &ErrorRecord) {
        if self.muted > 0 {
            return;
        }
        let lines = self.error_lines(record);
        self.host.write_error(&lines);
    }

    fn error_lines(&self, record: &ErrorRecord) -> Vec<String> {
        let mut lines = Vec::new();
        let headline = match &record.command {
            Some(command) => format!("{command} : {}", record.message),
            None => record.message.clone(),
        };
        lines.extend(headline.lines().map(str::to_owned));
        self.position_lines(record.pos, &mut lines);
        let command = record.command.as_deref().filter(|_| record.id.contains(',')).unwrap_or("");
        lines.push(format!(
            "    + CategoryInfo          : {}: ({}:{}) [{command}], {}",
            record.category.as_str(),
            record.target,
            record.target_type.rsplit('.').next().unwrap_or_default(),
            record.reason
        ));
        lines.push(format!("    + FullyQualifiedErrorId : {}", record.id));
        lines.push(" ".to_owned());
        lines
    }

    pub(super) fn position_lines(&self, pos: super::ast::Pos, lines: &mut Vec<String>) {
        if pos.line == 0 {
            return;
        }
        let source = self.source_line(pos);
        lines.push(format!("At line:{} char:{}", pos.line, pos.column));
        lines.push(format!("+ {source}"));
        let column = usize::try_from(pos.column).unwrap_or(1).saturating_sub(1);
        // The real one marks the failed expression; from the position to the end of its line is what is known here.
        let marked = source.chars().count().saturating_sub(column).max(1);
        lines.push(format!("+ {}{}", " ".repeat(column), "~".repeat(marked)));
    }

    /// The simulator gave up: said in words of its own, with a position where there is one.
    pub(super) fn report_abort(&mut self, abort: &Abort) {
        let mut lines = vec![abort.to_string()];
        if let Abort::Unsupported { pos, .. } | Abort::UnsupportedSyntax { pos, .. } = abort {
            self.position_lines(*pos, &mut lines);
        }
        lines.push("    + CategoryInfo          : NotImplemented: (:) [], SimulatedServerException".to_owned());
        lines.push(format!("    + FullyQualifiedErrorId : {}", SyntaxError::NOT_IN_SUBSET));
        lines.push(" ".to_owned());
        self.host.write_error(&lines);
    }

    pub(super) fn report_syntax(&mut self, error: &SyntaxError) {
        let mut lines = Vec::new();
        self.position_lines(error.pos, &mut lines);
        lines.push(error.message.clone());
        lines.push("    + CategoryInfo          : ParserError: (:) [], ParentContainsErrorRecordException".to_owned());
        lines.push(format!("    + FullyQualifiedErrorId : {}", error.id));
        lines.push(" ".to_owned());
        self.host.write_error(&lines);
    }
}
