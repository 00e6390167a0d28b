//! Command calls: a name and its arguments, in which bare words are text.

use super::super::ast::{Arg, Command, CommandName, Expr, ExprKind, Part, Redirection, Stream};
use super::super::lexer::{SyntaxError, is_dash, is_double_quote, is_single_quote};
use super::{Parsed, Parser};

impl Parser {
    /// A command with its arguments.
    pub(super) fn command(&mut self) -> Parsed<Command> {
        let pos = self.lexer.pos();
        let name = match self.lexer.peek() {
            Some('&') => {
                self.lexer.bump();
                self.skip()?;
                if self.at_expression() {
                    CommandName::Invoke(self.primary_with_members()?)
                } else {
                    CommandName::Name(self.bareword()?)
                }
            }
            Some('.') if self.lexer.peek_at(1).is_some_and(|c| c.is_whitespace() || matches!(c, '$' | '{' | '(')) => {
                self.lexer.bump();
                self.skip()?;
                if self.at_expression() {
                    CommandName::Dot(self.single_argument()?)
                } else {
                    self.expandable_word()?;
                    CommandName::Refused("Dot sourcing a file")
                }
            }
            _ => CommandName::Name(self.bareword()?),
        };
        let mut args = Vec::new();
        let mut redirections = Vec::new();
        loop {
            self.skip()?;
            match (self.lexer.peek(), self.lexer.peek_at(1)) {
                (None | Some('\n' | ';' | '|' | ')' | '}' | '&'), _) => break,
                (Some('>'), _) | (Some('1'..='6' | '*'), Some('>')) => redirections.push(self.redirection()?),
                _ => args.push(self.argument()?),
            }
        }
        Ok(Command { pos, name, args, redirections })
    }

    /// `2>&1`, or a stream into `$null`. Files are not in the subset.
    pub(super) fn redirection(&mut self) -> Parsed<Redirection> {
        let pos = self.lexer.pos();
        let from = match self.lexer.peek() {
            Some('*') => Stream::All,
            Some('2') => Stream::Errors,
            Some('3'..='6') => Stream::Other,
            _ => Stream::Output,
        };
        if self.lexer.peek() != Some('>') {
            self.lexer.bump();
        }
        self.lexer.bump();
        self.lexer.eat('>');
        if self.lexer.peek() == Some('&') {
            let to_output = self.lexer.peek_at(1) == Some('1') && matches!(from, Stream::Errors | Stream::All);
            self.lexer.advance(2);
            let refused = (!to_output).then_some("Redirection into a stream other than 1");
            return Ok(Redirection { pos, from, to_output, refused });
        }
        self.skip()?;
        match self.single_argument()?.kind {
            ExprKind::Variable(v) if v.scope.is_none() && v.name.eq_ignore_ascii_case("null") => {
                Ok(Redirection { pos, from, to_output: false, refused: None })
            }
            _ => Ok(Redirection { pos, from, to_output: false, refused: Some("Redirection to a file") }),
        }
    }

    fn argument(&mut self) -> Parsed<Arg> {
        let next = self.lexer.peek_at(1);
        match self.lexer.peek() {
            Some(c) if is_dash(c) && next.is_some_and(|n| n.is_alphabetic() || n == '_') => {
                self.lexer.bump();
                let name = self.lexer.read_word();
                let value = if self.lexer.eat(':') {
                    self.skip()?;
                    Some(self.argument_value()?)
                } else {
                    None
                };
                Ok(Arg::Parameter { name, value })
            }
            Some('@') if next.is_some_and(|n| n.is_alphabetic() || n == '_') => {
                let pos = self.lexer.pos();
                self.lexer.bump();
                Ok(Arg::Splat(self.variable(pos)?))
            }
            Some('>' | '<') => Err(SyntaxError::unsupported(self.lexer.pos(), "Redirection")),
            _ => Ok(Arg::Value(self.argument_value()?)),
        }
    }

    /// One argument, or several joined by commas.
    pub(super) fn argument_value(&mut self) -> Parsed<Expr> {
        let first = self.single_argument()?;
        let pos = first.pos;
        let mut items = vec![first];
        loop {
            let before = self.lexer.pos();
            self.skip()?;
            if !self.lexer.eat(',') {
                self.lexer.rewind(before);
                break;
            }
            self.skip_lines()?;
            items.push(self.single_argument()?);
        }
        Ok(match items.len() {
            1 => items.swap_remove(0),
            _ => Expr { pos, kind: ExprKind::List(items) },
        })
    }

    fn single_argument(&mut self) -> Parsed<Expr> {
        let start = self.lexer.pos();
        let next = self.lexer.peek_at(1);
        let expression = match self.lexer.peek() {
            Some('$' | '(' | '{') => true,
            Some('@') => matches!(next, Some('(' | '{' | '\'' | '"')),
            Some(c) => is_single_quote(c) || is_double_quote(c),
            None => false,
        };
        if !expression {
            return self.bareword_expression();
        }
        let value = self.nested(Self::primary_with_members)?;
        match self.lexer.peek() {
            Some(c) if !c.is_whitespace() && !matches!(c, ',' | ';' | '|' | ')' | '{' | '}' | '&') => {
                let plain = matches!(value.kind, ExprKind::Variable(_) | ExprKind::SubExpression(_));
                if plain && !is_single_quote(c) && !is_double_quote(c) && c != '(' {
                    // `$folder\\file` is one text.
                    self.lexer.rewind(start);
                    return self.expandable_word();
                }
                self.expandable_word()?;
                let what = "An argument that joins an expression and a bare word".to_owned();
                Ok(Expr { pos: start, kind: ExprKind::Refused(what) })
            }
            _ => Ok(value),
        }
    }

    /// A bare word as a value: a number if it reads as one, else text.
    pub(super) fn bareword_expression(&mut self) -> Parsed<Expr> {
        let pos = self.lexer.pos();
        let word = self.expandable_word()?;
        let ExprKind::Str(word) = word.kind else {
            return Ok(word);
        };
        let number =
            if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') { word.parse::<i64>().ok() } else { None };
        let kind = match number {
            Some(n) => ExprKind::Int(n),
            None => match word.parse::<f64>() {
                Ok(n) if word.starts_with(|c: char| c.is_ascii_digit()) => ExprKind::Double(n),
                _ => ExprKind::Str(word),
            },
        };
        Ok(Expr { pos, kind })
    }

    /// A bare word in which `$variables`, `$( )` and quotes may stand: one text, as in double quotes.
    pub(super) fn expandable_word(&mut self) -> Parsed<Expr> {
        let pos = self.lexer.pos();
        let (mut parts, mut text) = (Vec::new(), String::new());
        let flush = |parts: &mut Vec<Part>, text: &mut String| {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(text)));
            }
        };
        while let Some(c) = self.lexer.peek() {
            let here = self.lexer.pos();
            let next = self.lexer.peek_at(1);
            match c {
                ';' | '|' | '(' | ')' | '{' | '}' | ',' | '&' | '<' | '>' => break,
                c if c.is_whitespace() => break,
                '$' if next.is_some_and(|n| n.is_alphanumeric() || matches!(n, '_' | '{' | '(')) => {
                    flush(&mut parts, &mut text);
                    self.lexer.bump();
                    let value = if self.lexer.eat('(') {
                        Expr { pos: here, kind: ExprKind::SubExpression(self.block_until(Some(')'))?) }
                    } else {
                        self.variable(here)?
                    };
                    parts.push(Part::Expr(value));
                }
                c if is_single_quote(c) => {
                    self.lexer.bump();
                    text.push_str(&self.lexer.read_verbatim(here)?);
                }
                c if is_double_quote(c) => {
                    self.lexer.bump();
                    flush(&mut parts, &mut text);
                    parts.push(Part::Expr(self.interpolated(here)?));
                }
                '`' => {
                    self.lexer.bump();
                    text.push_str(&self.lexer.read_escape());
                }
                c => {
                    text.push(c);
                    self.lexer.bump();
                }
            }
        }
        if parts.is_empty() {
            return if text.is_empty() { Err(self.unexpected()) } else { Ok(Expr { pos, kind: ExprKind::Str(text) }) };
        }
        flush(&mut parts, &mut text);
        Ok(Expr { pos, kind: ExprKind::Interpolated(parts) })
    }

    /// Text up to a blank or a character that ends a word.
    pub(super) fn bareword(&mut self) -> Parsed<String> {
        let mut word = String::new();
        while let Some(c) = self.lexer.peek() {
            match c {
                ';' | '|' | '(' | ')' | '{' | '}' | ',' | '&' | '<' | '>' => break,
                c if c.is_whitespace() => break,
                '$' => {
                    return Err(SyntaxError::unsupported(
                        self.lexer.pos(),
                        "A variable inside a bare word (quote the argument)",
                    ));
                }
                c if is_single_quote(c) || is_double_quote(c) => {
                    return Err(SyntaxError::unsupported(self.lexer.pos(), "A quote inside a bare word"));
                }
                '`' => {
                    self.lexer.bump();
                    word.push_str(&self.lexer.read_escape());
                }
                c => {
                    word.push(c);
                    self.lexer.bump();
                }
            }
        }
        if word.is_empty() {
            return Err(self.unexpected());
        }
        Ok(word)
    }
}
