//! What did not load, and what loaded with a word of caution: each with file, line, column and reason.

use std::fmt;

use serde::Serialize;

use crate::document::Position;
use crate::fields::Problem;

/// How much a problem took out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One rule.
    Rule,
    /// A file that is no document, or could not be read.
    File,
}

/// A rule, or a whole file, that did not load. It hurts no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// The file.
    pub file: String,
    /// Line of the offending value, from 1; 0 for a rule that came without a text.
    pub line: u64,
    /// Column of the offending value in characters, from 1; 0 for a rule that came without a text.
    pub column: u64,
    /// The path of the offending value inside the rule, such as `conditions[1].operator`; empty for the whole.
    pub field: String,
    /// The rule's id, where it has one.
    pub rule_id: Option<String>,
    /// A rule or a file.
    pub scope: Scope,
    /// What is wrong.
    pub reason: String,
    /// A name that was probably meant.
    pub suggestion: Option<String>,
    /// How many rules did load.
    pub others_loaded: usize,
}

impl Quarantined {
    pub(crate) fn rule(file: &str, rule_id: Option<&str>, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            line: problem.at.line,
            column: problem.at.column,
            field: problem.field,
            rule_id: rule_id.map(str::to_owned),
            scope: Scope::Rule,
            reason: problem.message,
            suggestion: problem.suggestion,
            others_loaded: 0,
        }
    }

    pub(crate) fn file(file: &str, problem: Problem) -> Self {
        Self { scope: Scope::File, ..Self::rule(file, None, problem) }
    }
}

impl fmt::Display for Quarantined {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(formatter, &self.file, Position { line: self.line, column: self.column })?;
        formatter.write_str(&self.reason)?;
        if let Some(rule_id) = &self.rule_id {
            write!(formatter, " in rule {rule_id}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(formatter, " (did you mean {suggestion:?}?)")?;
        }
        let what = match self.scope {
            Scope::Rule => "rule",
            Scope::File => "file",
        };
        let noun = match (self.scope, self.others_loaded) {
            (Scope::Rule, _) => "others",
            (Scope::File, 1) => "rule",
            (Scope::File, _) => "rules",
        };
        write!(formatter, "; the {what} is quarantined, {} {noun} loaded", self.others_loaded)
    }
}

/// Something about a rule that loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 for a rule that came without a text.
    pub line: u64,
    /// Column in characters, from 1; 0 for a rule that came without a text.
    pub column: u64,
    /// The rule's id; none for a file that was passed over.
    pub rule_id: Option<String>,
    /// What to know.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(file: &str, rule_id: Option<&str>, at: Position, message: String) -> Self {
        let (file, rule_id) = (file.to_owned(), rule_id.map(str::to_owned));
        Self { file, line: at.line, column: at.column, rule_id, message }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(formatter, &self.file, Position { line: self.line, column: self.column })?;
        formatter.write_str("warning: ")?;
        if let Some(rule_id) = &self.rule_id {
            write!(formatter, "rule {rule_id}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

fn place(formatter: &mut fmt::Formatter<'_>, file: &str, at: Position) -> fmt::Result {
    if at == Position::default() {
        write!(formatter, "{file}: ")
    } else {
        write!(formatter, "{file}:{}:{}: ", at.line, at.column)
    }
}
