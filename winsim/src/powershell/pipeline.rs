//! Pipelines: values flow one at a time from each stage to the next, as they are produced.

use super::ast::{Element, Pipeline};
use super::error::Run;
use super::interpreter::Interpreter;
use super::value::Value;

/// Where values go.
pub(crate) trait Sink {
    fn push(&mut self, interp: &mut Interpreter, value: Value) -> Run<()>;
}

/// Keeps everything.
#[derive(Debug, Default)]
pub(crate) struct Collect(pub(crate) Vec<Value>);

impl Sink for Collect {
    fn push(&mut self, interp: &mut Interpreter, value: Value) -> Run<()> {
        interp.charge(1)?;
        self.0.push(value);
        Ok(())
    }
}

/// A command in a pipeline: takes each value that comes in, then the end of the input.
pub(crate) trait Stage {
    fn process(&mut self, interp: &mut Interpreter, value: Value, out: &mut dyn Sink) -> Run<()>;
    fn end(&mut self, interp: &mut Interpreter, out: &mut dyn Sink) -> Run<()>;
}

/// The stages that remain, and the pipeline's own output behind them.
struct Chain<'a> {
    stages: &'a mut [Box<dyn Stage>],
    out: &'a mut dyn Sink,
}

impl Sink for Chain<'_> {
    fn push(&mut self, interp: &mut Interpreter, value: Value) -> Run<()> {
        match self.stages.split_first_mut() {
            None => self.out.push(interp, value),
            Some((first, rest)) => interp.deeper(|interp| {
                let mut next = Chain { stages: rest, out: &mut *self.out };
                first.process(interp, value, &mut next)
            }),
        }
    }
}

impl Interpreter {
    /// Runs a pipeline into a sink.
    pub(super) fn run_pipeline(&mut self, pipeline: &Pipeline, out: &mut dyn Sink) -> Run<()> {
        let Some((first, rest)) = pipeline.elements.split_first() else {
            return Ok(());
        };
        if rest.is_empty() {
            return self.run_first(first, out);
        }
        let mut stages = Vec::with_capacity(rest.len());
        for element in rest {
            if let Element::Command(command) = element {
                stages.push(self.stage(command)?);
            }
        }
        self.run_first(first, &mut Chain { stages: &mut stages, out })?;
        for index in 0..stages.len() {
            let (done, rest) = stages.split_at_mut(index + 1);
            if let Some(stage) = done.last_mut() {
                stage.end(self, &mut Chain { stages: rest, out })?;
            }
        }
        Ok(())
    }

    /// The first element of a pipeline, which has no input.
    fn run_first(&mut self, element: &Element, out: &mut dyn Sink) -> Run<()> {
        match element {
            Element::Expr(expr) => {
                let value = self.eval(expr)?;
                self.emit(value, out)
            }
            Element::Command(command) => self.run_command(command, out),
        }
    }

    /// Sends a value on: an array as its elements, nothing as nothing, null as itself.
    pub(super) fn emit(&mut self, value: Value, out: &mut dyn Sink) -> Run<()> {
        match value {
            Value::Void => Ok(()),
            Value::Null => out.push(self, Value::Null),
            other => {
                for item in other.enumerate() {
                    out.push(self, item)?;
                }
                Ok(())
            }
        }
    }
}
