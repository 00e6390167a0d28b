//! Evaluating expressions.

use std::rc::Rc;

use super::ast::{BinaryOp, Block, Element, Expr, ExprKind, Part, Pos, StatementKind, UnaryOp};
use super::error::{ErrorRecord, Run, Signal};
use super::interpreter::Interpreter;
use super::pipeline::Collect;
use super::value::{CUSTOM_OBJECT, Object, Table, Value};

impl Interpreter {
    /// The value of an expression.
    pub(super) fn eval(&mut self, expr: &Expr) -> Run<Value> {
        self.deeper(|i| i.eval_here(expr)).map_err(|signal| at(signal, expr.pos))
    }

    fn eval_here(&mut self, expr: &Expr) -> Run<Value> {
        match &expr.kind {
            ExprKind::Int(n) => Ok(Value::Int(*n)),
            ExprKind::Double(n) => Ok(Value::Double(*n)),
            ExprKind::Str(text) => Ok(Value::str(text)),
            ExprKind::Interpolated(parts) => self.interpolate(parts),
            ExprKind::Variable(variable) => self.get_variable(variable, expr.pos),
            ExprKind::List(items) => {
                self.charge_container()?;
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(self.eval(item)?);
                }
                Ok(Value::array(values))
            }
            ExprKind::ArrayOf(block) => self.array_of(block),
            ExprKind::SubExpression(block) => {
                let mut output = Collect::default();
                self.run_block(block, &mut output)?;
                Ok(Value::from_output(output.0))
            }
            ExprKind::Paren(statement) => {
                // `($x = 1)` is worth what was assigned.
                if let StatementKind::Assign { target, .. } = &statement.kind {
                    self.statement_value(statement)?;
                    return self.eval(target);
                }
                self.statement_value(statement)
            }
            ExprKind::Refused(what) => Err(Signal::unsupported(what.clone(), expr.pos)),
            ExprKind::Table(entries) => self.table(entries, false),
            ExprKind::ScriptBlock(block) => Ok(Value::ScriptBlock(Rc::clone(block))),
            ExprKind::Type(name) => super::types::resolve(name).map(Value::Type),
            ExprKind::Cast { to, value } => self.eval_cast(to, value),
            ExprKind::Member { target, name, is_static } => {
                let name = self.eval(name)?;
                let name = self.to_text(&name);
                if *is_static {
                    return self.static_member(target, &name);
                }
                let target = self.eval(target)?;
                self.member(&target, &name, expr.pos)
            }
            ExprKind::Call { target, name, args, is_static } => {
                self.eval_call(target, name, args, *is_static, expr.pos)
            }
            ExprKind::Index { target, index } => {
                let target = self.eval(target)?;
                let index = self.eval(index)?;
                self.index(&target, &index, expr.pos)
            }
            ExprKind::Unary { op, value } => self.unary(*op, value, expr.pos),
            ExprKind::Binary { op, left, right } => self.eval_binary(*op, left, right, expr.pos),
            ExprKind::Step { target, by, prefix } => self.step(target, *by, *prefix, expr.pos),
        }
    }

    fn interpolate(&mut self, parts: &[Part]) -> Run<Value> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(t) => text.push_str(t),
                Part::Expr(expr) => {
                    let value = self.eval(expr)?;
                    let value = self.to_text(&value);
                    text.push_str(&value);
                }
            }
            self.charge_size(text.len())?;
        }
        Ok(Value::str(&text))
    }

    /// `@( ... )`: always an array. One that is an array already stays as it is.
    fn array_of(&mut self, block: &Block) -> Run<Value> {
        self.charge_container()?;
        if let [statement] = block.statements.as_slice()
            && let StatementKind::Pipeline(pipeline) = &statement.kind
            && let [Element::Expr(expr)] = pipeline.elements.as_slice()
        {
            let value = self.eval(expr)?;
            return Ok(match value {
                Value::Array(_) => value,
                Value::Void => Value::array(Vec::new()),
                Value::Bytes(_) | Value::Com(_) => Value::array(value.enumerate()),
                other => Value::array(vec![other]),
            });
        }
        let mut output = Collect::default();
        self.run_block(block, &mut output)?;
        Ok(Value::array(output.0))
    }

    fn table(&mut self, entries: &[(Expr, super::ast::Statement)], ordered: bool) -> Run<Value> {
        self.charge_container()?;
        let mut table = Table { ordered, entries: Vec::with_capacity(entries.len()) };
        for (key, value) in entries {
            let pos = key.pos;
            let key = self.eval(key)?;
            if key.is_null() {
                return Err(at(
                    Signal::error(ErrorRecord::runtime(
                        "InvalidNullKey",
                        "A null key is not allowed in a hash literal.",
                    )),
                    pos,
                ));
            }
            if table.get(&key).is_some() {
                let text = self.to_text(&key);
                let record = ErrorRecord::runtime(
                    "DuplicateKeyInHashLiteral",
                    format!("Duplicate keys '{text}' are not allowed in hash literals."),
                );
                return Err(at(Signal::error(record), pos));
            }
            let value = match self.statement_value(value)? {
                Value::Void => Value::Null,
                other => other,
            };
            table.set(key, value);
        }
        Ok(Value::table(table))
    }

    fn eval_cast(&mut self, to: &super::ast::TypeName, value: &Expr) -> Run<Value> {
        if let ExprKind::Table(entries) = &value.kind {
            match to.name.to_ascii_lowercase().as_str() {
                "ordered" => return self.table(entries, true),
                "pscustomobject" => {
                    let table = self.table(entries, true)?;
                    return Ok(self.custom_object(&table));
                }
                _ => {}
            }
        }
        let value = self.eval(value)?;
        self.cast(to, value)
    }

    /// `[PSCustomObject]` of a table.
    pub(super) fn custom_object(&mut self, table: &Value) -> Value {
        let Value::Table(table) = table else {
            return table.clone();
        };
        let properties =
            table.borrow().entries.iter().map(|(k, v)| (Rc::from(self.to_text(k).as_str()), v.clone())).collect();
        Value::Object(Rc::new(std::cell::RefCell::new(Object { type_name: CUSTOM_OBJECT, properties })))
    }

    fn unary(&mut self, op: UnaryOp, value: &Expr, pos: Pos) -> Run<Value> {
        let value = self.eval(value)?;
        match op {
            UnaryOp::Not => Ok(Value::Bool(!value.is_true())),
            UnaryOp::BitNot => self.to_int(&value).map(|n| Value::Int(!n)),
            UnaryOp::Comma => {
                self.charge_container()?;
                Ok(Value::array(vec![value]))
            }
            UnaryOp::Plus => self.binary(BinaryOp::Add, &Value::Int(0), &value, pos),
            UnaryOp::Minus => self.binary(BinaryOp::Subtract, &Value::Int(0), &value, pos),
            UnaryOp::Join => {
                let text: String = value.enumerate().iter().map(|v| self.to_text(v)).collect();
                Ok(Value::str(&text))
            }
            UnaryOp::Split => {
                let text = self.to_text(&value);
                Ok(Value::array(text.split_whitespace().map(Value::str).collect()))
            }
        }
    }

    fn eval_binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, pos: Pos) -> Run<Value> {
        let left_value = self.eval(left)?;
        // The second operand of -and and -or is evaluated only when it decides.
        match op {
            BinaryOp::And if !left_value.is_true() => return Ok(Value::Bool(false)),
            BinaryOp::Or if left_value.is_true() => return Ok(Value::Bool(true)),
            _ => {}
        }
        let right_value = self.eval(right)?;
        self.binary(op, &left_value, &right_value, pos)
    }

    fn eval_call(&mut self, target: &Expr, name: &str, args: &[Expr], is_static: bool, pos: Pos) -> Run<Value> {
        let receiver = if is_static { None } else { Some(self.eval(target)?) };
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(self.eval(arg)?);
        }
        match receiver {
            None => self.call_static(target, name, &values, pos),
            Some(receiver) => self.call_method(&receiver, name, &values, pos),
        }
    }

    fn step(&mut self, target: &Expr, by: i64, prefix: bool, pos: Pos) -> Run<Value> {
        let before = match self.eval(target)? {
            value if value.is_null() => Value::Int(0),
            value => value,
        };
        let after = self.binary(BinaryOp::Add, &before, &Value::Int(by), pos)?;
        match &target.kind {
            ExprKind::Variable(variable) => self.set_variable(variable, after.clone(), pos)?,
            ExprKind::Member { target: object, name, is_static: false } => {
                let object = self.eval(object)?;
                let name = self.eval(name)?;
                let name = self.to_text(&name);
                self.set_member(&object, &name, after.clone(), pos)?;
            }
            _ => return Err(Signal::unsupported("This target of ++ or --", pos)),
        }
        Ok(if prefix { after } else { before })
    }
}

/// Gives an error that has no position this one.
pub(super) fn at(signal: Signal, pos: Pos) -> Signal {
    match signal {
        Signal::Error { record, stops_script } if record.pos.line == 0 => {
            let mut record = ErrorRecord::clone(&record);
            record.pos = pos;
            Signal::Error { record: Rc::new(record), stops_script }
        }
        other => other,
    }
}
