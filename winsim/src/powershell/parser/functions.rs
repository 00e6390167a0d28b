//! Functions and their parameters.

use std::rc::Rc;

use super::super::ast::{Block, ExprKind, Param, StatementKind};
use super::{Parsed, Parser};

impl Parser {
    pub(super) fn function_statement(&mut self) -> Parsed<StatementKind> {
        self.skip()?;
        let name = self.bareword()?;
        self.skip_lines()?;
        let mut params = Vec::new();
        if self.lexer.eat('(') {
            params = self.parameters()?;
            self.skip_lines()?;
        }
        if !self.lexer.eat('{') {
            return Err(self.lexer.error("Missing function body in function declaration.", "MissingFunctionBody"));
        }
        let mut body = self.block_until(Some('}'))?;
        if body.params.is_empty() {
            body.params = params;
        }
        Ok(StatementKind::Function { name, body: Rc::new(body) })
    }

    /// `filter Name { }`: a function whose body is its `process`.
    pub(super) fn filter_statement(&mut self) -> Parsed<StatementKind> {
        let StatementKind::Function { name, body } = self.function_statement()? else {
            return Err(self.unexpected());
        };
        let outer = Block { params: Vec::new(), statements: Vec::new(), named: vec![body], text: None };
        Ok(StatementKind::Function { name, body: Rc::new(outer) })
    }

    /// Parameters up to the closing parenthesis; the opening one is consumed.
    pub(super) fn parameters(&mut self) -> Parsed<Vec<Param>> {
        let mut params = Vec::new();
        loop {
            self.skip_lines()?;
            if self.lexer.eat(')') {
                return Ok(params);
            }
            let mut type_name = None;
            let mut attributes = Vec::new();
            while self.lexer.eat('[') {
                match self.attribute()? {
                    Some(attribute) => attributes.push(attribute),
                    None => type_name = Some(self.type_name()?),
                }
                self.skip_lines()?;
            }
            let pos = self.lexer.pos();
            if !self.lexer.eat('$') {
                return Err(self.unexpected());
            }
            let ExprKind::Variable(variable) = self.variable(pos)?.kind else {
                return Err(self.unexpected());
            };
            self.skip_lines()?;
            let default = if self.lexer.eat('=') {
                self.skip_lines()?;
                Some(self.with_lists(false, Self::expression)?)
            } else {
                None
            };
            attributes.retain(|a| !a.harmless || a.mandatory);
            params.push(Param { name: variable.name, type_name, attributes, default });
            self.skip_lines()?;
            if !self.lexer.eat(',') && self.lexer.peek() != Some(')') {
                return Err(self.unexpected());
            }
        }
    }
}
