//! Text to syntax tree, by recursive descent over the [`Lexer`].
//!
//! Syntax that PowerShell has and the subset has not is refused by name and position, never skipped: a script must not mean
//! something else here than on a real server. What is easily read is refused when it is reached (`tolerant`), the rest
//! before anything runs. Nesting and chains are limited, so that hostile
//! text cannot exhaust the stack.

mod commands;
mod expressions;
mod functions;
mod loops;
mod operators;
mod statements;
mod strings;
mod tolerant;

use super::ast::Block;
use super::lexer::{Lexer, SyntaxError};

/// How deep brackets and blocks may nest.
const DEEPEST: usize = 200;

/// How many operators or members may follow each other in one chain.
const LONGEST_CHAIN: usize = 400;

/// The longest script, in bytes.
const LONGEST_SCRIPT: usize = 1 << 20;

/// Parses a whole script, whose text positions will name by `number`.
pub(crate) fn parse(source: &str, number: usize) -> Result<Block, SyntaxError> {
    let mut parser = Parser {
        lexer: Lexer::new(if source.len() > LONGEST_SCRIPT { "" } else { source }, number),
        depth: 0,
        list_allowed: true,
    };
    if source.len() > LONGEST_SCRIPT {
        return Err(SyntaxError::unsupported(parser.lexer.pos(), "A script of more than 1 MiB"));
    }
    let block = parser.block_until(None)?;
    Ok(block)
}

struct Parser {
    lexer: Lexer,
    depth: usize,
    /// Whether a comma makes a list here; between the arguments of a method it separates them.
    list_allowed: bool,
}

type Parsed<T> = Result<T, SyntaxError>;

impl Parser {
    /// Runs a nested rule one level deeper.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return Err(SyntaxError::unsupported(self.lexer.pos(), "Nesting this deep"));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// Runs a rule in which commas make lists (or do not), and restores what held before.
    fn with_lists<T>(&mut self, allowed: bool, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let before = std::mem::replace(&mut self.list_allowed, allowed);
        let result = rule(self);
        self.list_allowed = before;
        result
    }

    fn skip(&mut self) -> Parsed<()> {
        self.lexer.skip_blank(false)
    }

    fn skip_lines(&mut self) -> Parsed<()> {
        self.lexer.skip_blank(true)
    }

    fn expect(&mut self, c: char, after: &str) -> Parsed<()> {
        if self.lexer.eat(c) {
            return Ok(());
        }
        Err(match c {
            ')' => self.lexer.error(format!("Missing closing ')' {after}."), "MissingEndParenthesisInExpression"),
            '}' => {
                self.lexer.error("Missing closing '}' in statement block or type definition.", "MissingEndCurlyBrace")
            }
            ']' => self
                .lexer
                .error("Missing ] at end of attribute or type literal.", "EndSquareBracketExpectedAtEndOfAttribute"),
            _ => self.lexer.error(format!("Missing '{c}' {after}."), "MissingToken"),
        })
    }

    fn unexpected(&self) -> SyntaxError {
        match self.lexer.peek() {
            Some(c) => {
                self.lexer.error(format!("Unexpected token '{c}' in expression or statement."), "UnexpectedToken")
            }
            None => self.lexer.error("The script ends where more was expected.", "IncompleteParseException"),
        }
    }
}

#[cfg(test)]
mod tests;
