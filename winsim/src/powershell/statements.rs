//! Running statements: control flow, assignment, errors.

use std::rc::Rc;

use super::ast::{
    AssignOp, Block, CaseRule, Catch, Comparison, Element, Expr, ExprKind, Pipeline, Pos, Statement, StatementKind,
    SwitchMode,
};
use super::error::{ErrorRecord, Run, Signal};
use super::interpreter::{ErrorAction, Interpreter};
use super::pipeline::{Collect, Sink};
use super::value::Value;

impl Interpreter {
    /// Runs the statements of a block. An error that ends only its statement is reported here, outside any `try`.
    pub(super) fn run_block(&mut self, block: &Block, out: &mut dyn Sink) -> Run<()> {
        // Nothing comes in through a pipeline here, so `process` runs once, between `begin` and `end`.
        for part in &block.named {
            self.deeper(|i| i.run_block(part, out))?;
        }
        for statement in &block.statements {
            match self.deeper(|i| i.run_statement(statement, out)) {
                Ok(()) => {}
                Err(Signal::Error { record, stops_script: false })
                    if self.tries == 0 && self.error_preference() != ErrorAction::Stop =>
                {
                    let record = self.placed(record, statement.pos);
                    self.last_ok = false;
                    if self.error_preference() == ErrorAction::Continue {
                        self.report(&record);
                    }
                }
                Err(Signal::Error { record, stops_script }) => {
                    return Err(Signal::Error { record: self.placed(record, statement.pos), stops_script });
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// An error without a position happened in this statement.
    fn placed(&self, record: Rc<ErrorRecord>, pos: Pos) -> Rc<ErrorRecord> {
        if record.pos.line != 0 {
            return record;
        }
        let mut record = ErrorRecord::clone(&record);
        record.pos = pos;
        Rc::new(record)
    }

    fn run_statement(&mut self, statement: &Statement, out: &mut dyn Sink) -> Run<()> {
        match &statement.kind {
            StatementKind::Pipeline(pipeline) => self.run_pipeline_statement(pipeline, out),
            StatementKind::Assign { target, op, value } => {
                let value = self.statement_value(value)?;
                self.assign(target, *op, value)?;
                self.last_ok = true;
                Ok(())
            }
            StatementKind::If { arms, otherwise } => {
                for (condition, body) in arms {
                    if self.statement_value(condition)?.is_true() {
                        return self.run_block(body, out);
                    }
                }
                match otherwise {
                    Some(body) => self.run_block(body, out),
                    None => Ok(()),
                }
            }
            StatementKind::ForEach { variable, items, body } => {
                for item in self.statement_value(items)?.enumerate() {
                    self.set_local(variable, item);
                    if self.run_loop_body(body, out)? {
                        break;
                    }
                }
                Ok(())
            }
            StatementKind::While { condition, body, body_first, negate } => {
                let mut first = *body_first;
                loop {
                    if !std::mem::take(&mut first) && self.statement_value(condition)?.is_true() == *negate {
                        return Ok(());
                    }
                    if self.run_loop_body(body, out)? {
                        return Ok(());
                    }
                }
            }
            StatementKind::For { init, condition, step, body } => {
                self.run_for(init.as_deref(), condition.as_deref(), step.as_deref(), body, out)
            }
            StatementKind::Switch { mode, subject, arms, default } => {
                self.run_switch(*mode, subject, arms, default.as_ref(), out)
            }
            StatementKind::Refused(what) => Err(Signal::unsupported(what.clone(), statement.pos)),
            StatementKind::Try { body, catch, finally } => self.run_try(body, catch, finally.as_ref(), out),
            StatementKind::Function { name, body } => {
                self.define_function(name, Rc::clone(body));
                Ok(())
            }
            StatementKind::Throw(value) => self.throw(value.as_deref(), statement.pos),
            StatementKind::Return(value) => {
                if let Some(value) = value {
                    self.run_statement(value, out)?;
                }
                Err(Signal::Return)
            }
            StatementKind::Exit(value) => {
                let code = match value {
                    Some(value) => self.statement_value(value)?,
                    None => Value::Int(0),
                };
                let code = self.to_int(&code)?;
                Err(Signal::Exit(i32::try_from(code).unwrap_or(1)))
            }
            StatementKind::Break => Err(Signal::Break),
            StatementKind::Continue => Err(Signal::Continue),
        }
    }

    fn run_pipeline_statement(&mut self, pipeline: &Pipeline, out: &mut dyn Sink) -> Run<()> {
        // `$i++` alone has no output.
        if let [Element::Expr(expr)] = pipeline.elements.as_slice()
            && matches!(expr.kind, ExprKind::Step { .. })
        {
            self.eval(expr)?;
            self.last_ok = true;
            return Ok(());
        }
        let result = self.run_pipeline(pipeline, out);
        // A command has set `$?` itself, after its arguments, which could still read the last one.
        if let ([Element::Expr(_)], Ok(())) = (pipeline.elements.as_slice(), &result) {
            self.last_ok = true;
        }
        result
    }

    /// What a statement is worth as a value: an expression itself, anything else its output.
    pub(super) fn statement_value(&mut self, statement: &Statement) -> Run<Value> {
        if let StatementKind::Pipeline(pipeline) = &statement.kind
            && let [Element::Expr(expr)] = pipeline.elements.as_slice()
        {
            return self.eval(expr);
        }
        let mut output = Collect::default();
        self.deeper(|i| i.run_statement(statement, &mut output))?;
        Ok(Value::from_output(output.0))
    }

    /// Whether the loop ends.
    fn run_loop_body(&mut self, body: &Block, out: &mut dyn Sink) -> Run<bool> {
        self.charge(1)?;
        match self.run_block(body, out) {
            Ok(()) | Err(Signal::Continue) => Ok(false),
            Err(Signal::Break) => Ok(true),
            Err(other) => Err(other),
        }
    }

    fn run_for(
        &mut self,
        init: Option<&Statement>,
        condition: Option<&Statement>,
        step: Option<&Statement>,
        body: &Block,
        out: &mut dyn Sink,
    ) -> Run<()> {
        if let Some(init) = init {
            self.statement_value(init)?;
        }
        loop {
            if let Some(condition) = condition
                && !self.statement_value(condition)?.is_true()
            {
                return Ok(());
            }
            if self.run_loop_body(body, out)? {
                return Ok(());
            }
            if let Some(step) = step {
                self.statement_value(step)?;
            }
        }
    }

    fn run_switch(
        &mut self,
        mode: SwitchMode,
        subject: &Statement,
        arms: &[(Expr, Rc<Block>)],
        default: Option<&Rc<Block>>,
        out: &mut dyn Sink,
    ) -> Run<()> {
        for item in self.statement_value(subject)?.enumerate() {
            let mut matched = false;
            for (pattern, body) in arms {
                if !self.arm_matches(mode, &item, pattern)? {
                    continue;
                }
                matched = true;
                // Without a break every arm that matches runs.
                match self.with_item(item.clone(), |i| i.run_block(body, out)) {
                    Ok(()) => {}
                    Err(Signal::Break) => return Ok(()),
                    Err(Signal::Continue) => break,
                    Err(other) => return Err(other),
                }
            }
            if let (false, Some(body)) = (matched, default) {
                match self.with_item(item, |i| i.run_block(body, out)) {
                    Ok(()) | Err(Signal::Continue) => {}
                    Err(Signal::Break) => return Ok(()),
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(())
    }

    /// Whether an arm of `switch` is for this value: by comparison, or by what its script block says.
    fn arm_matches(&mut self, mode: SwitchMode, item: &Value, pattern: &Expr) -> Run<bool> {
        let pattern = self.eval(pattern)?;
        if let Value::ScriptBlock(block) = &pattern {
            let mut answer = Collect::default();
            self.run_script_block(block, item.clone(), &mut answer)?;
            return Ok(Value::from_output(answer.0).is_true());
        }
        if mode.comparison == Comparison::Eq {
            return Ok(self.equals(item, &pattern, mode.case == CaseRule::Respect));
        }
        let result = self.compare(mode.comparison, mode.case, item, &pattern)?;
        Ok(result.is_true())
    }

    fn run_try(&mut self, body: &Block, catch: &[Catch], finally: Option<&Rc<Block>>, out: &mut dyn Sink) -> Run<()> {
        // A try without catch only adds its finally: errors behave as if it were not there.
        let guarded = usize::from(!catch.is_empty());
        self.tries += guarded;
        let result = self.run_block(body, out);
        self.tries -= guarded;
        let result = match result {
            Err(Signal::Error { record, stops_script }) => {
                for type_name in catch.iter().flat_map(|c| &c.types) {
                    super::types::resolve(type_name)?;
                }
                let handler = catch.iter().find(|c| {
                    c.types.is_empty() || c.types.iter().any(|t| super::types::catches(&t.name, record.exception))
                });
                match handler {
                    Some(handler) => self.with_item(Value::Error(record), |i| i.run_block(&handler.body, out)),
                    None => Err(Signal::Error { record, stops_script }),
                }
            }
            other => other,
        };
        if let Some(finally) = finally
            && !matches!(result, Err(Signal::Abort(_)))
        {
            self.run_block(finally, out)?;
        }
        result
    }

    fn throw(&mut self, value: Option<&Statement>, pos: Pos) -> Run<()> {
        let value = match value {
            Some(value) => self.statement_value(value)?,
            None => match self.get_variable(&super::ast::Variable { scope: None, name: "_".to_owned() }, pos)? {
                error @ Value::Error(_) => error,
                _ => Value::str("ScriptHalted"),
            },
        };
        if let Value::Error(record) = value {
            return Err(Signal::Error { record, stops_script: true });
        }
        let message = self.to_text(&value);
        let mut record = ErrorRecord::runtime(&message, message.clone())
            .category(super::error::Category::OperationStopped)
            .target(message.clone(), value.type_name());
        record.thrown = Some(value);
        record.pos = pos;
        Err(Signal::Error { record: Rc::new(record), stops_script: true })
    }

    /// `$a, $b = 1, 2, 3`: the last target takes what is left.
    fn assign_each(&mut self, targets: &[Expr], value: &Value) -> Run<()> {
        let mut values = value.enumerate().into_iter();
        for (index, target) in targets.iter().enumerate() {
            let value = if index + 1 < targets.len() {
                values.next().unwrap_or(Value::Null)
            } else {
                match Value::from_output(values.by_ref().collect()) {
                    Value::Void => Value::Null,
                    rest => rest,
                }
            };
            self.assign(target, AssignOp::Set, value)?;
        }
        Ok(())
    }

    fn assign(&mut self, target: &Expr, op: AssignOp, value: Value) -> Run<()> {
        let value = match op {
            AssignOp::Set => value,
            AssignOp::With(op) => {
                let current = self.eval(target)?;
                self.binary(op, &current, &value, target.pos)?
            }
        };
        match &target.kind {
            ExprKind::Variable(variable) => self.set_variable(variable, value, target.pos),
            ExprKind::List(targets) if op == AssignOp::Set => self.assign_each(targets, &value),
            ExprKind::Refused(what) => Err(Signal::unsupported(what.clone(), target.pos)),
            ExprKind::Cast { to, value: inner } => {
                let value = self.cast(to, value)?;
                self.assign(inner, AssignOp::Set, value)
            }
            ExprKind::Member { target: object, name, is_static: false } => {
                let object = self.eval(object)?;
                let name = self.eval(name)?;
                let name = self.to_text(&name);
                self.set_member(&object, &name, value, target.pos)
            }
            ExprKind::Index { target: object, index } => {
                let object = self.eval(object)?;
                let index = self.eval(index)?;
                self.set_index(&object, index, value, target.pos)
            }
            _ => Err(Signal::unsupported("This target of an assignment", target.pos)),
        }
    }
}
