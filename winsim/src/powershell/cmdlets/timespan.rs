//! `New-TimeSpan`: the time between two dates.

use jiff::SignedDuration;

use super::super::binding::Bound;
use super::super::error::{Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::Value;
use super::{Action, Cmdlet, positional};

pub(super) const CMDLETS: &[Cmdlet] = &[Cmdlet {
    name: "New-TimeSpan",
    class: "Microsoft.PowerShell.Commands.NewTimeSpanCommand",
    parameters: &[positional("Start", 0), positional("End", 1)],
    action: Action::Whole(new_time_span),
}];

fn new_time_span(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let now = interp.machine.clock_time();
    let date = |name: &str| match bound.get(name) {
        None => Ok(now),
        Some(Value::DateTime(time, _)) => Ok(*time),
        Some(_) => {
            Err(Signal::unsupported(format!("New-TimeSpan -{name} with something other than a date"), bound.pos))
        }
    };
    let span = date("End")?.duration_since(date("Start")?);
    out.push(interp, as_object(span))
}

fn as_object(span: SignedDuration) -> Value {
    let seconds = span.as_secs();
    let exact = span.as_secs_f64();
    Value::object(
        "System.TimeSpan",
        vec![
            ("Days", Value::Int(seconds / 86_400)),
            ("Hours", Value::Int(seconds / 3_600 % 24)),
            ("Minutes", Value::Int(seconds / 60 % 60)),
            ("Seconds", Value::Int(seconds % 60)),
            ("TotalDays", Value::Double(exact / 86_400.0)),
            ("TotalHours", Value::Double(exact / 3_600.0)),
            ("TotalMinutes", Value::Double(exact / 60.0)),
            ("TotalSeconds", Value::Double(exact)),
        ],
    )
}
