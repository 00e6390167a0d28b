//! Unary operators, literals, members, indexes and calls.

use std::rc::Rc;

use super::super::ast::{Expr, ExprKind, Pos, TypeName, UnaryOp, Variable};
use super::super::lexer::{Number, SyntaxError, is_dash, is_double_quote, is_single_quote};
use super::{LONGEST_CHAIN, Parsed, Parser};

impl Parser {
    /// Whether an expression starts here, rather than a command.
    pub(super) fn at_expression(&self) -> bool {
        let next = self.lexer.peek_at(1);
        match self.lexer.peek() {
            Some(c) if c == '$' || c == '(' || c == '[' || c == '{' || c == '!' || c == ',' => true,
            Some('@') => matches!(next, Some('(' | '{' | '\'' | '"')),
            Some(c) if is_single_quote(c) || is_double_quote(c) || c.is_ascii_digit() => true,
            Some('+') => true,
            Some('.') => next.is_some_and(|n| n.is_ascii_digit()),
            Some(c) if is_dash(c) => match self.lexer.peek_operator() {
                Some(word) => matches!(word.as_str(), "not" | "join" | "split" | "bnot"),
                None => true,
            },
            _ => false,
        }
    }

    pub(super) fn unary(&mut self) -> Parsed<Expr> {
        self.nested(|p| {
            let pos = p.lexer.pos();
            if let Some(op) = p.unary_operator() {
                p.skip_lines()?;
                let value = Box::new(p.unary()?);
                return Ok(Expr { pos, kind: ExprKind::Unary { op, value } });
            }
            if let Some(by) = p.step_operator() {
                let target = Box::new(p.unary()?);
                return Ok(Expr { pos, kind: ExprKind::Step { target, by, prefix: true } });
            }
            if p.lexer.peek() == Some('[') {
                return p.cast_or_type(pos);
            }
            let target = p.primary_with_members()?;
            // `$i ++` too, where a blank stands between.
            if matches!(target.kind, ExprKind::Variable(_) | ExprKind::Member { .. } | ExprKind::Index { .. }) {
                let before = p.lexer.pos();
                p.skip()?;
                if let Some(by) = p.step_operator() {
                    let kind = ExprKind::Step { target: Box::new(target), by, prefix: false };
                    return Ok(Expr { pos, kind });
                }
                p.lexer.rewind(before);
            }
            Ok(target)
        })
    }

    fn unary_operator(&mut self) -> Option<UnaryOp> {
        if let Some(word) = self.lexer.peek_operator() {
            let op = match word.as_str() {
                "not" => UnaryOp::Not,
                "join" => UnaryOp::Join,
                "split" => UnaryOp::Split,
                "bnot" => UnaryOp::BitNot,
                _ => return None,
            };
            self.lexer.advance(word.len() + 1);
            return Some(op);
        }
        let next = self.lexer.peek_at(1);
        let op = match self.lexer.peek()? {
            '!' => UnaryOp::Not,
            ',' => UnaryOp::Comma,
            c if is_dash(c) && !next.is_some_and(is_dash) => UnaryOp::Minus,
            '+' if next != Some('+') => UnaryOp::Plus,
            _ => return None,
        };
        self.lexer.bump();
        Some(op)
    }

    fn step_operator(&mut self) -> Option<i64> {
        let by = match (self.lexer.peek()?, self.lexer.peek_at(1)?) {
            ('+', '+') => 1,
            ('-', '-') => -1,
            _ => return None,
        };
        self.lexer.advance(2);
        Some(by)
    }

    fn cast_or_type(&mut self, pos: Pos) -> Parsed<Expr> {
        self.lexer.bump();
        if let Some(attribute) = self.attribute()? {
            return self.attributed(&attribute);
        }
        let to = self.type_name()?;
        let after = self.lexer.pos();
        if self.lexer.peek() == Some(':') || self.lexer.peek() == Some('.') {
            let target = Expr { pos, kind: ExprKind::Type(to) };
            return self.members(target);
        }
        self.skip()?;
        let operand = self.at_expression() && !matches!(self.lexer.peek(), Some(',' | '+'));
        if operand {
            let value = Box::new(self.unary()?);
            return Ok(Expr { pos, kind: ExprKind::Cast { to, value } });
        }
        self.lexer.rewind(after);
        Ok(Expr { pos, kind: ExprKind::Type(to) })
    }

    /// The name in a type literal, up to and with the closing bracket; the opening one is consumed.
    pub(super) fn type_name(&mut self) -> Parsed<TypeName> {
        let pos = self.lexer.pos();
        let mut name = String::new();
        let mut depth = 0usize;
        loop {
            match self.lexer.peek() {
                Some(']') if depth == 0 => {
                    self.lexer.bump();
                    break;
                }
                Some(c)
                    if c.is_alphanumeric()
                        || matches!(c, '.' | '_' | '[' | ']' | '+' | '`')
                        || (c == ',' && depth > 0) =>
                {
                    match c {
                        '[' => depth += 1,
                        ']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    name.push(c);
                    self.lexer.bump();
                }
                Some(c) if c.is_whitespace() && c != '\n' => {
                    self.lexer.bump();
                }
                Some('(' | ',') => return Err(SyntaxError::unsupported(pos, "This form of a type")),
                _ => {
                    self.expect(']', "at the end of a type")?;
                }
            }
        }
        if name.is_empty() {
            return Err(SyntaxError { pos, message: "Missing type name after '['.".to_owned(), id: "MissingTypename" });
        }
        Ok(TypeName { name, pos })
    }

    /// A primary expression and what follows it without a blank: members, indexes, calls, `++`.
    pub(super) fn primary_with_members(&mut self) -> Parsed<Expr> {
        let primary = self.primary()?;
        let target = self.members(primary)?;
        if let Some(by) = self.step_operator() {
            return Ok(Expr { pos: target.pos, kind: ExprKind::Step { target: Box::new(target), by, prefix: false } });
        }
        Ok(target)
    }

    fn members(&mut self, mut target: Expr) -> Parsed<Expr> {
        for _ in 0..LONGEST_CHAIN {
            let pos = self.lexer.pos();
            match (self.lexer.peek(), self.lexer.peek_at(1)) {
                (Some('.'), Some(next)) if next != '.' && !next.is_whitespace() => {
                    self.lexer.bump();
                    target = self.member(target, pos, false)?;
                }
                (Some(':'), Some(':')) => {
                    self.lexer.advance(2);
                    self.skip_lines()?;
                    target = self.member(target, pos, true)?;
                }
                (Some('['), _) => {
                    self.lexer.bump();
                    let index = Box::new(self.with_lists(true, |p| {
                        p.skip_lines()?;
                        p.expression()
                    })?);
                    self.skip_lines()?;
                    self.expect(']', "after index")?;
                    target = Expr { pos, kind: ExprKind::Index { target: Box::new(target), index } };
                }
                (Some('?'), Some('.' | '[')) => {
                    return Err(SyntaxError::unsupported(pos, "A null-conditional operator"));
                }
                _ => return Ok(target),
            }
        }
        Err(SyntaxError::unsupported(self.lexer.pos(), "A chain of members this long"))
    }

    fn member(&mut self, target: Expr, pos: Pos, is_static: bool) -> Parsed<Expr> {
        let name_pos = self.lexer.pos();
        let name = match self.lexer.peek() {
            Some(c) if c.is_alphabetic() || c == '_' => {
                Expr { pos: name_pos, kind: ExprKind::Str(self.lexer.read_word()) }
            }
            Some(c) if c == '$' || c == '(' || is_single_quote(c) || is_double_quote(c) => self.primary()?,
            _ => {
                return Err(self.lexer.error("Missing property name after reference operator.", "MissingPropertyName"));
            }
        };
        // `.Where{ }` is `.Where({ })`.
        if self.lexer.peek() == Some('{')
            && let ExprKind::Str(method) = &name.kind
            && ["where", "foreach"].contains(&method.to_ascii_lowercase().as_str())
        {
            let (name, block) = (method.clone(), self.primary()?);
            let kind = ExprKind::Call { target: Box::new(target), name, args: vec![block], is_static };
            return Ok(Expr { pos, kind });
        }
        if self.lexer.peek() == Some('(') {
            self.lexer.bump();
            let args = self.arguments()?;
            let ExprKind::Str(name) = name.kind else {
                let what = "A method whose name is computed".to_owned();
                return Ok(Expr { pos: name_pos, kind: ExprKind::Refused(what) });
            };
            return Ok(Expr { pos, kind: ExprKind::Call { target: Box::new(target), name, args, is_static } });
        }
        Ok(Expr { pos, kind: ExprKind::Member { target: Box::new(target), name: Box::new(name), is_static } })
    }

    /// The arguments of a method up to the closing parenthesis; the opening one is consumed.
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        self.skip_lines()?;
        if self.lexer.eat(')') {
            return Ok(args);
        }
        loop {
            self.skip_lines()?;
            args.push(self.with_lists(false, Self::expression)?);
            self.skip_lines()?;
            if self.lexer.eat(')') {
                return Ok(args);
            }
            if !self.lexer.eat(',') {
                return Err(self.lexer.error("Missing ')' in method call.", "MissingEndParenthesisInMethodCall"));
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let pos = self.lexer.pos();
        let Some(c) = self.lexer.peek() else {
            return Err(self.unexpected());
        };
        let kind = match c {
            '$' => {
                self.lexer.bump();
                if self.lexer.eat('(') {
                    ExprKind::SubExpression(self.block_until(Some(')'))?)
                } else {
                    return self.variable(pos);
                }
            }
            '(' => {
                self.lexer.bump();
                let inner = self.with_lists(true, |p| {
                    p.skip_lines()?;
                    p.statement()
                })?;
                self.skip_lines()?;
                self.expect(')', "in expression")?;
                ExprKind::Paren(Box::new(inner))
            }
            '{' => {
                self.lexer.bump();
                let start = self.lexer.pos();
                let mut block = self.block_until(Some('}'))?;
                block.text = Some(self.lexer.text_since(start, 1));
                ExprKind::ScriptBlock(Rc::new(block))
            }
            '[' => {
                self.lexer.bump();
                ExprKind::Type(self.type_name()?)
            }
            '@' => return self.at_literal(pos),
            c if is_single_quote(c) => {
                self.lexer.bump();
                ExprKind::Str(self.lexer.read_verbatim(pos)?)
            }
            c if is_double_quote(c) => {
                self.lexer.bump();
                return self.interpolated(pos);
            }
            c if c.is_ascii_digit() || (c == '.' && self.at_expression()) => match self.lexer.read_number()? {
                Number::Int(n) => ExprKind::Int(n),
                Number::Double(n) => ExprKind::Double(n),
            },
            _ => return Err(self.unexpected()),
        };
        Ok(Expr { pos, kind })
    }

    fn at_literal(&mut self, pos: Pos) -> Parsed<Expr> {
        self.lexer.bump();
        if self.lexer.peek().is_some_and(|c| is_single_quote(c) || is_double_quote(c)) {
            return self.here_string(pos);
        }
        let kind = match self.lexer.bump() {
            Some('(') => ExprKind::ArrayOf(self.block_until(Some(')'))?),
            Some('{') => self.with_lists(true, Self::table)?,
            _ => return Err(self.unexpected()),
        };
        Ok(Expr { pos, kind })
    }

    /// The entries of `@{}`; the opening brace is consumed.
    fn table(&mut self) -> Parsed<ExprKind> {
        let mut entries = Vec::new();
        loop {
            self.skip_lines()?;
            if self.lexer.eat(';') {
                continue;
            }
            if self.lexer.eat('}') {
                return Ok(ExprKind::Table(entries));
            }
            let pos = self.lexer.pos();
            let key = match self.lexer.peek() {
                Some(c) if c.is_alphabetic() || c == '_' => Expr { pos, kind: ExprKind::Str(self.lexer.read_word()) },
                Some(_) => self.unary()?,
                None => {
                    return Err(self.lexer.error("The hash literal was incomplete.", "IncompleteHashLiteral"));
                }
            };
            self.skip()?;
            if !self.lexer.eat('=') {
                return Err(self
                    .lexer
                    .error("Missing '=' operator after key in hash literal.", "MissingEqualsInHashLiteral"));
            }
            self.skip_lines()?;
            let value = self.statement()?;
            entries.push((key, value));
            self.skip()?;
            if !matches!(self.lexer.peek(), Some('\n' | ';' | '}')) {
                return Err(self.unexpected());
            }
        }
    }

    /// A variable; the dollar sign is consumed.
    pub(super) fn variable(&mut self, pos: Pos) -> Parsed<Expr> {
        let text = match self.lexer.peek() {
            Some('{') => {
                self.lexer.bump();
                let mut name = String::new();
                loop {
                    match self.lexer.bump() {
                        Some('}') => break,
                        Some(c) => name.push(c),
                        None => {
                            return Err(SyntaxError {
                                pos,
                                message: "The variable name is missing its closing brace.".to_owned(),
                                id: "IncompleteDollarSubexpressionReference",
                            });
                        }
                    }
                }
                name
            }
            Some(c @ ('?' | '$' | '^')) => {
                self.lexer.bump();
                c.to_string()
            }
            _ => self.scoped_name(pos)?,
        };
        let (scope, name) = match text.split_once(':') {
            Some((scope, name)) => (Some(scope.to_ascii_lowercase()), name.to_owned()),
            None => (None, text),
        };
        if name.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Expr { pos, kind: ExprKind::Variable(Variable { scope, name }) })
    }

    fn scoped_name(&mut self, pos: Pos) -> Parsed<String> {
        let mut name = self.lexer.read_word();
        if self.lexer.peek() == Some(':') && self.lexer.peek_at(1) != Some(':') && !name.is_empty() {
            let next = self.lexer.peek_at(1);
            if !next.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                return Err(SyntaxError {
                    pos,
                    message:
                        "Variable reference is not valid. ':' was not followed by a valid variable name character. \
                              Consider using ${} to delimit the name."
                            .to_owned(),
                    id: "InvalidVariableReferenceWithDrive",
                });
            }
            self.lexer.bump();
            name.push(':');
            name.push_str(&self.lexer.read_word());
        }
        Ok(name)
    }
}
