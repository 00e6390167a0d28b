//! Statements: blocks, assignments, branches, error handling, pipelines.

use std::rc::Rc;

use super::super::ast::{AssignOp, BinaryOp, Block, Catch, Expr, ExprKind, Pipeline, Pos, Statement, StatementKind};
use super::super::lexer::SyntaxError;
use super::{Parsed, Parser};

/// Keywords of the language that the subset leaves out.
const NOT_SUPPORTED: [&str; 3] = ["parallel", "sequence", "inlinescript"];

impl Parser {
    /// Statements up to `end`, which is consumed, or to the end of the script.
    pub(super) fn block_until(&mut self, end: Option<char>) -> Parsed<Block> {
        self.with_lists(true, |p| p.nested(|p| p.block_body(end)))
    }

    fn block_body(&mut self, end: Option<char>) -> Parsed<Block> {
        let mut block = Block { params: Vec::new(), statements: Vec::new(), named: Vec::new(), text: None };
        self.skip_separators()?;
        self.block_attributes()?;
        if self.lexer.eat_keyword("param") {
            self.skip_lines()?;
            self.expect('(', "after 'param'")?;
            block.params = self.parameters()?;
            self.skip_separators()?;
        }
        loop {
            self.skip_separators()?;
            match (self.lexer.peek(), end) {
                (None, None) => return Ok(block),
                (Some(c), Some(e)) if c == e => {
                    self.lexer.bump();
                    return Ok(block);
                }
                (None, Some(e)) => {
                    self.expect(e, "in expression")?;
                }
                _ => {}
            }
            if let Some((_, body)) = self.named_block()? {
                block.named.push(body);
                continue;
            }
            let statement = self.statement()?;
            block.statements.push(statement);
            self.skip()?;
            match self.lexer.peek() {
                None | Some('\n' | ';') => {}
                c if c == end => {}
                Some(_) => {
                    // `if (..) {..} next` needs no separator; everything else does.
                    let braces = block.statements.last().is_some_and(ends_with_block);
                    if !braces {
                        return Err(self.unexpected());
                    }
                }
            }
        }
    }

    /// `{ ... }` after a keyword.
    pub(super) fn braced(&mut self) -> Parsed<Rc<Block>> {
        self.skip_lines()?;
        if !self.lexer.eat('{') {
            return Err(self.lexer.error("Missing statement block.", "MissingStatementBlock"));
        }
        Ok(Rc::new(self.block_until(Some('}'))?))
    }

    pub(super) fn skip_separators(&mut self) -> Parsed<()> {
        loop {
            self.skip_lines()?;
            if !self.lexer.eat(';') {
                return Ok(());
            }
        }
    }

    /// One statement.
    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        self.nested(|p| {
            p.skip()?;
            let pos = p.lexer.pos();
            let kind = p.statement_kind(pos)?;
            Ok(Statement { pos, kind })
        })
    }

    fn statement_kind(&mut self, pos: Pos) -> Parsed<StatementKind> {
        if self.lexer.peek().is_some_and(char::is_alphabetic)
            && let Some(kind) = self.keyword_statement(pos)?
        {
            return Ok(kind);
        }
        if self.lexer.peek() == Some(':') && self.lexer.peek_at(1).is_some_and(char::is_alphabetic) {
            // Only `break` and `continue` with the label make a difference, and those are refused.
            self.lexer.bump();
            self.lexer.read_word();
            self.skip_lines()?;
            return self.nested(|p| p.statement_kind(p.lexer.pos()));
        }
        if !self.at_expression() {
            let pipeline = self.pipeline(None)?;
            return Ok(StatementKind::Pipeline(pipeline));
        }
        let target = self.expression()?;
        self.skip()?;
        if let Some(op) = self.assignment_operator() {
            check_target(&target)?;
            self.skip_lines()?;
            let value = Box::new(self.statement()?);
            return Ok(StatementKind::Assign { target, op, value });
        }
        Ok(StatementKind::Pipeline(self.pipeline(Some(target))?))
    }

    fn assignment_operator(&mut self) -> Option<AssignOp> {
        let (op, width) = match (self.lexer.peek()?, self.lexer.peek_at(1)) {
            ('=', next) if next != Some('=') => (AssignOp::Set, 1),
            ('+', Some('=')) => (AssignOp::With(BinaryOp::Add), 2),
            ('-', Some('=')) => (AssignOp::With(BinaryOp::Subtract), 2),
            ('*', Some('=')) => (AssignOp::With(BinaryOp::Multiply), 2),
            ('/', Some('=')) => (AssignOp::With(BinaryOp::Divide), 2),
            ('%', Some('=')) => (AssignOp::With(BinaryOp::Modulo), 2),
            _ => return None,
        };
        self.lexer.advance(width);
        Some(op)
    }

    fn keyword_statement(&mut self, pos: Pos) -> Parsed<Option<StatementKind>> {
        let word = self.lexer.peek_word().to_ascii_lowercase();
        if !self.lexer.eat_keyword(&word) {
            return Ok(None);
        }
        let kind = match word.as_str() {
            "if" => self.if_statement()?,
            "foreach" => self.foreach_statement()?,
            "while" => StatementKind::While {
                condition: Box::new(self.condition()?),
                body: self.braced()?,
                body_first: false,
                negate: false,
            },
            "do" => self.do_statement()?,
            "for" => self.for_statement()?,
            "switch" => self.switch_statement()?,
            "try" => self.try_statement()?,
            "function" => self.function_statement()?,
            "throw" => StatementKind::Throw(self.operand()?),
            "return" => StatementKind::Return(self.operand()?),
            "exit" => StatementKind::Exit(self.operand()?),
            "break" | "continue" => {
                self.skip()?;
                let label = self.lexer.peek().is_some_and(|c| c.is_alphabetic() || matches!(c, '$' | ':'));
                if label {
                    self.argument_value()?;
                    StatementKind::Refused(format!("A label after '{word}'"))
                } else if word == "break" {
                    StatementKind::Break
                } else {
                    StatementKind::Continue
                }
            }
            "filter" => self.filter_statement()?,
            "trap" => self.trap()?,
            "class" | "enum" if self.at_name() => self.skipped_definition(&word, pos)?,
            "using" if self.at_name() => self.skipped_line(&word),
            "data" | "workflow" | "configuration" if self.at_name() => self.skipped_definition(&word, pos)?,
            other if NOT_SUPPORTED.contains(&other) => {
                return Err(SyntaxError::unsupported(pos, &format!("The keyword '{other}'")));
            }
            _ => {
                self.lexer.rewind(pos);
                return Ok(None);
            }
        };
        Ok(Some(kind))
    }

    /// Whether a name follows on the same line: without one, a word is a command and no keyword.
    fn at_name(&self) -> bool {
        self.lexer.peek() == Some(' ')
            && self.lexer.peek_at(1).is_some_and(|c| c.is_alphabetic() || c == '_' || c == '{')
    }

    /// The optional value of throw, return and exit.
    fn operand(&mut self) -> Parsed<Option<Box<Statement>>> {
        self.skip()?;
        match self.lexer.peek() {
            None | Some('\n' | ';' | '}' | ')') => Ok(None),
            Some(_) => Ok(Some(Box::new(self.statement()?))),
        }
    }

    pub(super) fn condition(&mut self) -> Parsed<Statement> {
        self.skip_lines()?;
        self.expect('(', "after keyword")?;
        let condition = self.with_lists(true, |p| {
            p.skip_lines()?;
            p.statement()
        })?;
        self.skip_lines()?;
        self.expect(')', "after expression in statement")?;
        Ok(condition)
    }

    fn if_statement(&mut self) -> Parsed<StatementKind> {
        let mut arms = vec![(self.condition()?, self.braced()?)];
        let mut otherwise = None;
        loop {
            let here = self.lexer.pos();
            self.skip_lines()?;
            if self.lexer.eat_keyword("elseif") {
                arms.push((self.condition()?, self.braced()?));
            } else if self.lexer.eat_keyword("else") {
                otherwise = Some(self.braced()?);
                break;
            } else {
                self.lexer.rewind(here);
                break;
            }
        }
        Ok(StatementKind::If { arms, otherwise })
    }

    fn try_statement(&mut self) -> Parsed<StatementKind> {
        let body = self.braced()?;
        let mut catch = Vec::new();
        let mut finally = None;
        loop {
            let here = self.lexer.pos();
            self.skip_lines()?;
            if self.lexer.eat_keyword("catch") {
                catch.push(self.catch_clause()?);
            } else if self.lexer.eat_keyword("finally") {
                finally = Some(self.braced()?);
                break;
            } else {
                self.lexer.rewind(here);
                break;
            }
        }
        if catch.is_empty() && finally.is_none() {
            return Err(self
                .lexer
                .error("The Try statement is missing its Catch or Finally block.", "MissingCatchOrFinally"));
        }
        Ok(StatementKind::Try { body, catch, finally })
    }

    fn catch_clause(&mut self) -> Parsed<Catch> {
        let mut types = Vec::new();
        self.skip_lines()?;
        while self.lexer.peek() == Some('[') {
            self.lexer.bump();
            types.push(self.type_name()?);
            self.skip_lines()?;
            self.lexer.eat(',');
            self.skip_lines()?;
        }
        Ok(Catch { types, body: self.braced()? })
    }

    /// Elements joined by `|`; the first may have been read already.
    pub(super) fn pipeline(&mut self, first: Option<Expr>) -> Parsed<Pipeline> {
        use super::super::ast::Element;
        let mut elements = vec![match first {
            Some(expr) => Element::Expr(expr),
            None => self.element()?,
        }];
        loop {
            self.skip()?;
            match (self.lexer.peek(), self.lexer.peek_at(1)) {
                (Some('|'), Some('|')) | (Some('&'), Some('&')) => {
                    return Err(SyntaxError::unsupported(self.lexer.pos(), "A pipeline chain operator"));
                }
                (Some('>'), _) | (Some('1'..='6' | '*'), Some('>')) => {
                    let pos = self.redirection()?.pos;
                    if let Some(Element::Expr(expr)) = elements.last_mut() {
                        *expr = Expr { pos, kind: ExprKind::Refused("Redirection of an expression".to_owned()) };
                    }
                }
                (Some('|'), _) => {
                    self.lexer.bump();
                    self.skip_lines()?;
                    if elements.len() >= super::LONGEST_CHAIN {
                        return Err(SyntaxError::unsupported(self.lexer.pos(), "A pipeline this long"));
                    }
                    elements.push(Element::Command(self.command()?));
                }
                _ => return Ok(Pipeline { elements }),
            }
        }
    }

    fn element(&mut self) -> Parsed<super::super::ast::Element> {
        use super::super::ast::Element;
        if self.at_expression() { Ok(Element::Expr(self.expression()?)) } else { Ok(Element::Command(self.command()?)) }
    }
}

fn ends_with_block(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        StatementKind::If { .. }
            | StatementKind::ForEach { .. }
            | StatementKind::While { body_first: false, .. }
            | StatementKind::For { .. }
            | StatementKind::Switch { .. }
            | StatementKind::Try { .. }
            | StatementKind::Function { .. }
            | StatementKind::Refused(_)
    )
}

fn check_target(target: &Expr) -> Parsed<()> {
    match &target.kind {
        ExprKind::Variable(_) | ExprKind::Member { .. } | ExprKind::Index { .. } => Ok(()),
        ExprKind::Cast { value, .. } => check_target(value),
        // A property with parameters, which COM has: refused when it is reached.
        ExprKind::Refused(_) | ExprKind::Call { .. } => Ok(()),
        ExprKind::List(items) => items.iter().try_for_each(check_target),
        _ => Err(SyntaxError {
            pos: target.pos,
            message: "The assignment expression is not valid. The input to an assignment operator must be an object \
                      that is able to accept assignments, such as a variable or a property."
                .to_owned(),
            id: "InvalidLeftHandSide",
        }),
    }
}
