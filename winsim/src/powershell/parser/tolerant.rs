//! Syntax that is read and not run: attributes, classes, what is skipped between brackets.
//!
//! A script often holds what it never reaches on the way that matters. What is general and costs little to read is read, and
//! refused by its name when it is reached, so that nothing is run as if it meant something else.

use std::rc::Rc;

use super::super::ast::{Attribute, Block, Expr, ExprKind, Pos, StatementKind};
use super::super::lexer::{SyntaxError, is_double_quote, is_single_quote};
use super::{Parsed, Parser};

/// Attributes that change nothing in what is simulated: help, analysis, names that nothing else here uses.
const HARMLESS: [&str; 12] = [
    "cmdletbinding",
    "outputtype",
    "allownull",
    "allowemptystring",
    "allowemptycollection",
    "suppressmessage",
    "diagnostics.codeanalysis.suppressmessageattribute",
    "diagnostics.codeanalysis.suppressmessage",
    "system.diagnostics.codeanalysis.suppressmessageattribute",
    "system.diagnostics.codeanalysis.suppressmessage",
    "supportswildcards",
    "psdefaultvalue",
];

impl Parser {
    /// Attributes before `param`, which is all they can stand before at the start of a block.
    pub(super) fn block_attributes(&mut self) -> Parsed<()> {
        let start = self.lexer.pos();
        loop {
            let here = self.lexer.pos();
            if !self.lexer.eat('[') {
                return Ok(());
            }
            self.attribute_name();
            if self.lexer.peek() != Some('(') {
                self.lexer.rewind(start);
                return Ok(());
            }
            self.lexer.bump();
            self.skip_bracketed('(', ')', here)?;
            self.skip_lines()?;
            self.expect(']', "at the end of an attribute")?;
            self.skip_separators()?;
            let more = self.lexer.peek() == Some('[');
            if !more && !self.lexer.peek_word().eq_ignore_ascii_case("param") {
                // They belong to the statement that follows.
                self.lexer.rewind(start);
                return Ok(());
            }
        }
    }

    /// Dotted words; consumes them.
    fn attribute_name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.lexer.peek().filter(|c| c.is_alphanumeric() || matches!(c, '.' | '_')) {
            name.push(c);
            self.lexer.bump();
        }
        name
    }

    /// An attribute where a type could stand; the opening bracket is consumed. None, and nothing consumed: it is a type.
    pub(super) fn attribute(&mut self) -> Parsed<Option<Attribute>> {
        let pos = self.lexer.pos();
        let name = self.attribute_name();
        self.skip_lines()?;
        if name.is_empty() || self.lexer.peek() != Some('(') {
            self.lexer.rewind(pos);
            return Ok(None);
        }
        self.lexer.bump();
        let start = self.lexer.pos();
        self.skip_bracketed('(', ')', pos)?;
        let text = self.lexer.text_since(start, 1).to_lowercase();
        self.skip_lines()?;
        self.expect(']', "at the end of an attribute")?;
        let short = name.to_lowercase();
        let short = short.strip_suffix("attribute").unwrap_or(&short);
        let mandatory =
            short == "parameter" && text.contains("mandatory") && !text.replace(' ', "").contains("mandatory=$false");
        let harmless = HARMLESS.contains(&short) || short == "parameter" || short == "alias";
        Ok(Some(Attribute { name, pos, mandatory, harmless }))
    }

    /// An attribute in front of an expression: it is refused when it is reached, and what it stands before is read.
    pub(super) fn attributed(&mut self, attribute: &Attribute) -> Parsed<Expr> {
        self.skip_lines()?;
        let word = self.lexer.peek_word();
        if word.eq_ignore_ascii_case("enum") || word.eq_ignore_ascii_case("class") {
            self.lexer.advance(word.len());
            self.skipped_definition(&word, attribute.pos)?;
        } else if self.at_expression() {
            self.unary()?;
        }
        let what = format!("The attribute [{}] here", attribute.name);
        Ok(Expr { pos: attribute.pos, kind: ExprKind::Refused(what) })
    }

    /// Everything up to the bracket that closes this one, which is consumed; the opening one is consumed already. Strings and
    /// comments are stepped over.
    pub(super) fn skip_bracketed(&mut self, open: char, close: char, start: Pos) -> Parsed<()> {
        let mut depth = 1usize;
        while depth > 0 {
            self.lexer.skip_blank(true)?;
            let here = self.lexer.pos();
            match self.lexer.bump() {
                None => {
                    return Err(SyntaxError {
                        pos: start,
                        message: format!("Missing closing '{close}'."),
                        id: "MissingEndBracket",
                    });
                }
                Some(c) if c == open => depth += 1,
                Some(c) if c == close => depth -= 1,
                Some('`') => {
                    self.lexer.bump();
                }
                Some('@') if self.lexer.peek().is_some_and(|c| is_single_quote(c) || is_double_quote(c)) => {
                    self.here_string(here)?;
                }
                Some(c) if is_single_quote(c) => {
                    self.lexer.read_verbatim(here)?;
                }
                Some(c) if is_double_quote(c) => {
                    self.interpolated(here)?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A keyword whose block is stepped over: `class Name : Base { }` and its like. The keyword is consumed.
    pub(super) fn skipped_definition(&mut self, keyword: &str, pos: Pos) -> Parsed<StatementKind> {
        while self.lexer.peek().is_some_and(|c| c != '{' && c != ';') {
            self.lexer.bump();
        }
        self.expect('{', &format!("after '{keyword}'"))?;
        self.skip_bracketed('{', '}', pos)?;
        Ok(StatementKind::Refused(format!("The keyword '{keyword}'")))
    }

    /// `using ...`: the rest of its line. The keyword is consumed.
    pub(super) fn skipped_line(&mut self, keyword: &str) -> StatementKind {
        while self.lexer.peek().is_some_and(|c| c != '\n' && c != ';') {
            self.lexer.bump();
        }
        StatementKind::Refused(format!("The keyword '{keyword}'"))
    }

    /// `trap [type] { ... }`: the keyword is consumed.
    pub(super) fn trap(&mut self) -> Parsed<StatementKind> {
        self.skip_lines()?;
        if self.lexer.eat('[') {
            self.type_name()?;
        }
        self.braced()?;
        Ok(StatementKind::Refused("The keyword 'trap'".to_owned()))
    }

    /// `begin { }`, `process { }` or `end { }` at the start of a statement of a block: which, and its body.
    pub(super) fn named_block(&mut self) -> Parsed<Option<(String, Rc<Block>)>> {
        let here = self.lexer.pos();
        let word = self.lexer.peek_word().to_ascii_lowercase();
        if !matches!(word.as_str(), "begin" | "process" | "end" | "dynamicparam") {
            return Ok(None);
        }
        self.lexer.advance(word.len());
        self.skip_lines()?;
        if self.lexer.peek() != Some('{') {
            self.lexer.rewind(here);
            return Ok(None);
        }
        Ok(Some((word, self.braced()?)))
    }

    /// `@'` or `@"`, its text, and the mark at the beginning of a line that ends it; the `@` is consumed.
    pub(super) fn here_string(&mut self, pos: Pos) -> Parsed<Expr> {
        let double = self.lexer.bump().is_some_and(is_double_quote);
        while self.lexer.peek().is_some_and(|c| c.is_whitespace() && c != '\n') {
            self.lexer.bump();
        }
        if !self.lexer.eat('\n') {
            return Err(self.lexer.error(
                "No characters are allowed after a here-string header but before the end of the line.",
                "UnexpectedCharactersAfterHereStringHeader",
            ));
        }
        if double {
            return self.here_interpolated(pos);
        }
        let mut text = String::new();
        while !self.at_here_end(is_single_quote) {
            match self.lexer.bump() {
                Some(c) => text.push(c),
                None => return Err(unended(pos)),
            }
        }
        self.lexer.advance(2);
        strip_line_end(&mut text);
        Ok(Expr { pos, kind: ExprKind::Str(text) })
    }

    /// Whether a here-string ends at the cursor: its quote and `@` at the beginning of a line.
    pub(super) fn at_here_end(&self, quote: fn(char) -> bool) -> bool {
        self.lexer.pos().column == 1 && self.lexer.peek().is_some_and(quote) && self.lexer.peek_at(1) == Some('@')
    }
}

pub(super) fn unended(pos: Pos) -> SyntaxError {
    SyntaxError {
        pos,
        message: "The string is missing the terminator, which stands at the beginning of a line.".to_owned(),
        id: "TerminatorExpectedAtEndOfString",
    }
}

/// The line end before the mark is not part of the text.
pub(super) fn strip_line_end(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
}
