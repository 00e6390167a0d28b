//! `ConvertTo-Json` and `ConvertFrom-Json`.

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::json::from_json;
use super::super::pipeline::Sink;
use super::super::value::Value;
use super::{Action, Cmdlet, named, positional, switch};

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "ConvertTo-Json",
        class: "Microsoft.PowerShell.Commands.ConvertToJsonCommand",
        parameters: &[positional("InputObject", 0), named("Depth"), switch("Compress")],
        action: Action::Whole(convert_to_json),
    },
    Cmdlet {
        name: "ConvertFrom-Json",
        class: "Microsoft.PowerShell.Commands.ConvertFromJsonCommand",
        parameters: &[positional("InputObject", 0)],
        action: Action::Whole(convert_from_json),
    },
];

fn convert_to_json(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let value = match input {
        Some(values) => Value::from_output(values),
        None => bound.get("InputObject").cloned().unwrap_or(Value::Null),
    };
    if matches!(value, Value::Void) {
        return Ok(());
    }
    if !bound.switch("Compress") {
        return Err(Signal::unsupported("ConvertTo-Json without -Compress", bound.pos));
    }
    let depth = match bound.get("Depth") {
        Some(depth) => interp.to_int(depth)?,
        None => 2,
    };
    let depth = usize::try_from(depth).ok().filter(|d| (1..=100).contains(d)).ok_or_else(|| {
        interp.binding_error(
            bound,
            "ParameterArgumentValidationError",
            format!(
                "Cannot validate argument on parameter 'Depth'. The {depth} argument is not between the minimum of 1 \
                 and the maximum allowed range of 100."
            ),
        )
    })?;
    let text = interp.json_text(&value, depth, bound.pos)?;
    out.push(interp, Value::str(&text))
}

fn convert_from_json(
    interp: &mut Interpreter,
    bound: &Bound,
    input: Option<Vec<Value>>,
    out: &mut dyn Sink,
) -> Run<()> {
    let text = match input {
        // Lines that come through a pipeline are one document.
        Some(lines) => lines.iter().map(|l| interp.to_text(l)).collect::<Vec<_>>().join("\n"),
        None => bound.get("InputObject").map(|v| interp.to_text(v)).unwrap_or_default(),
    };
    interp.charge_size(text.len().saturating_mul(16))?;
    match from_json(&text) {
        // An array goes down the pipeline as one value, which is what 5.1 does.
        Ok(value) => out.push(interp, value),
        Err(error) => {
            let record = ErrorRecord::new(
                "System.ArgumentException",
                "System.ArgumentException,Microsoft.PowerShell.Commands.ConvertFromJsonCommand",
                format!("Invalid JSON primitive: {error}."),
            )
            .category(Category::NotSpecified)
            .command(bound.cmdlet.name);
            Err(Signal::error(record))
        }
    }
}
