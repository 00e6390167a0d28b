//! Double-quoted strings: text, `$variables` and `$( subexpressions )`.

use super::super::ast::{Expr, ExprKind, Part, Pos};
use super::super::lexer::{SyntaxError, is_double_quote};
use super::tolerant::{strip_line_end, unended};
use super::{Parsed, Parser};

impl Parser {
    /// The text of `@"`, up to and with its end mark.
    pub(super) fn here_interpolated(&mut self, pos: Pos) -> Parsed<Expr> {
        self.expandable(pos, true)
    }

    /// A double-quoted string; the opening quote is consumed.
    pub(super) fn interpolated(&mut self, pos: Pos) -> Parsed<Expr> {
        self.expandable(pos, false)
    }

    fn expandable(&mut self, pos: Pos, here_string: bool) -> Parsed<Expr> {
        let mut parts = Vec::new();
        let mut text = String::new();
        loop {
            let here = self.lexer.pos();
            if here_string && self.at_here_end(is_double_quote) {
                self.lexer.advance(2);
                strip_line_end(&mut text);
                break;
            }
            match self.lexer.bump() {
                None if here_string => return Err(unended(pos)),
                None => {
                    return Err(SyntaxError {
                        pos,
                        message: "The string is missing the terminator: \".".to_owned(),
                        id: "TerminatorExpectedAtEndOfString",
                    });
                }
                Some(c) if is_double_quote(c) && !here_string => match self.lexer.peek() {
                    Some(next) if is_double_quote(next) => {
                        self.lexer.bump();
                        text.push(next);
                    }
                    _ => break,
                },
                Some('`') => text.push_str(&self.lexer.read_escape()),
                Some('$') => match self.lexer.peek() {
                    Some('(') => {
                        self.lexer.bump();
                        let block = self.block_until(Some(')'))?;
                        flush(&mut parts, &mut text);
                        parts.push(Part::Expr(Expr { pos: here, kind: ExprKind::SubExpression(block) }));
                    }
                    Some(c) if c.is_alphanumeric() || matches!(c, '_' | '{' | '?') => {
                        let variable = self.variable(here)?;
                        flush(&mut parts, &mut text);
                        parts.push(Part::Expr(variable));
                    }
                    _ => text.push('$'),
                },
                Some(c) => text.push(c),
            }
        }
        if parts.is_empty() {
            return Ok(Expr { pos, kind: ExprKind::Str(text) });
        }
        flush(&mut parts, &mut text);
        Ok(Expr { pos, kind: ExprKind::Interpolated(parts) })
    }
}

fn flush(parts: &mut Vec<Part>, text: &mut String) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text)));
    }
}
