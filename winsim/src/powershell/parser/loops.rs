//! Loops and `switch`.

use super::super::ast::{CaseRule, Comparison, ExprKind, Statement, StatementKind, SwitchMode};
use super::super::lexer::SyntaxError;
use super::{Parsed, Parser};

impl Parser {
    pub(super) fn foreach_statement(&mut self) -> Parsed<StatementKind> {
        self.skip_lines()?;
        self.expect('(', "after 'foreach'")?;
        self.skip_lines()?;
        let pos = self.lexer.pos();
        if !self.lexer.eat('$') {
            return Err(self.lexer.error("Missing variable name after foreach.", "MissingVariableNameAfterForeach"));
        }
        let ExprKind::Variable(variable) = self.variable(pos)?.kind else {
            return Err(self.unexpected());
        };
        self.skip_lines()?;
        if !self.lexer.eat_keyword("in") {
            return Err(self.lexer.error("Missing 'in' after variable in foreach loop.", "MissingInInForeach"));
        }
        let items = self.with_lists(true, |p| {
            p.skip_lines()?;
            p.statement()
        })?;
        self.skip_lines()?;
        self.expect(')', "after expression in foreach")?;
        Ok(StatementKind::ForEach { variable: variable.name, items: Box::new(items), body: self.braced()? })
    }

    pub(super) fn do_statement(&mut self) -> Parsed<StatementKind> {
        let body = self.braced()?;
        self.skip_lines()?;
        let negate = if self.lexer.eat_keyword("while") {
            false
        } else if self.lexer.eat_keyword("until") {
            true
        } else {
            return Err(self.lexer.error("Missing while or until keyword in do loop.", "MissingWhileOrUntilInDoWhile"));
        };
        Ok(StatementKind::While { condition: Box::new(self.condition()?), body, body_first: true, negate })
    }

    pub(super) fn for_statement(&mut self) -> Parsed<StatementKind> {
        self.skip_lines()?;
        self.expect('(', "after 'for'")?;
        let init = self.for_part(';')?;
        let condition = self.for_part(';')?;
        let step = self.for_part(')')?;
        Ok(StatementKind::For { init, condition, step, body: self.braced()? })
    }

    fn for_part(&mut self, end: char) -> Parsed<Option<Box<Statement>>> {
        self.skip_lines()?;
        if self.lexer.eat(end) {
            return Ok(None);
        }
        let part = self.with_lists(true, Self::statement)?;
        self.skip_lines()?;
        self.expect(end, "in for statement")?;
        Ok(Some(Box::new(part)))
    }

    pub(super) fn switch_statement(&mut self) -> Parsed<StatementKind> {
        self.skip_lines()?;
        let mut file = false;
        let mut mode = SwitchMode { comparison: Comparison::Eq, case: CaseRule::Ignore };
        while let Some(option) = self.lexer.peek_operator() {
            match option.as_str() {
                "regex" => mode.comparison = Comparison::Match,
                "wildcard" => mode.comparison = Comparison::Like,
                "exact" => mode.comparison = Comparison::Eq,
                "file" => file = true,
                "casesensitive" => mode.case = CaseRule::Respect,
                _ => return Err(SyntaxError::unsupported(self.lexer.pos(), &format!("switch -{option}"))),
            }
            self.lexer.advance(option.len() + 1);
            self.skip_lines()?;
        }
        if file {
            self.argument_value()?;
            self.braced_arms()?;
            return Ok(StatementKind::Refused("switch -file".to_owned()));
        }
        let subject = Box::new(self.condition()?);
        self.skip_lines()?;
        self.expect('{', "after switch expression")?;
        let mut arms = Vec::new();
        let mut default = None;
        loop {
            self.skip_separators()?;
            if self.lexer.eat('}') {
                return Ok(StatementKind::Switch { mode, subject, arms, default });
            }
            if self.lexer.eat_keyword("default") {
                default = Some(self.braced()?);
                continue;
            }
            let pattern = if self.at_expression() { self.unary()? } else { self.bareword_expression()? };
            arms.push((pattern, self.braced()?));
        }
    }

    /// The arms of a `switch` that is not run, stepped over.
    fn braced_arms(&mut self) -> Parsed<()> {
        self.skip_lines()?;
        let start = self.lexer.pos();
        self.expect('{', "after switch")?;
        self.skip_bracketed('{', '}', start)
    }
}
