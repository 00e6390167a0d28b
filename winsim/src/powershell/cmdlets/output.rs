//! Writing and waiting: `Write-Output`, `Write-Host`, `Write-Error`, `Out-Null`, `Get-Date`, `Start-Sleep`.

use std::time::Duration;

use super::super::binding::Bound;
use super::super::convert::Number;
use super::super::error::{ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{Value, Zone};
use super::{Action, Cmdlet, named, positional};

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "Write-Output",
        class: "Microsoft.PowerShell.Commands.WriteOutputCommand",
        parameters: &[positional("InputObject", 0)],
        action: Action::Each(write_output),
    },
    Cmdlet {
        name: "Write-Host",
        class: "Microsoft.PowerShell.Commands.WriteHostCommand",
        parameters: &[positional("Object", 0)],
        action: Action::Whole(write_host),
    },
    Cmdlet {
        name: "Write-Error",
        class: "Microsoft.PowerShell.Commands.WriteErrorCommand",
        parameters: &[positional("Message", 0)],
        action: Action::Whole(write_error),
    },
    Cmdlet {
        name: "Out-Null",
        class: "Microsoft.PowerShell.Commands.OutNullCommand",
        parameters: &[named("InputObject")],
        action: Action::Each(|_, _, _, _| Ok(())),
    },
    Cmdlet {
        name: "Get-Date",
        class: "Microsoft.PowerShell.Commands.GetDateCommand",
        parameters: &[named("Format")],
        action: Action::Whole(get_date),
    },
    Cmdlet {
        name: "Start-Sleep",
        class: "Microsoft.PowerShell.Commands.StartSleepCommand",
        parameters: &[positional("Seconds", 0), named("Milliseconds")],
        action: Action::Whole(start_sleep),
    },
];

fn write_output(interp: &mut Interpreter, _: &Bound, value: Value, out: &mut dyn Sink) -> Run<()> {
    for item in value.enumerate() {
        out.push(interp, item)?;
    }
    Ok(())
}

fn write_host(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let values = match input {
        Some(values) => values,
        None => vec![bound.get("Object").cloned().unwrap_or(Value::Null)],
    };
    for value in values {
        let text = interp.to_text(&value);
        interp.write_text(&text)?;
    }
    Ok(())
}

fn write_error(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let message = bound.get("Message").map(|v| interp.to_text(v)).unwrap_or_default();
    let record = ErrorRecord::new(
        "Microsoft.PowerShell.Commands.WriteErrorException",
        "Microsoft.PowerShell.Commands.WriteErrorException,Write-Error",
        message,
    );
    interp.cmdlet_error(bound, record)
}

fn get_date(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let now = interp.machine.clock_time();
    let value = match bound.get("Format") {
        None => Value::DateTime(now, Zone::Local),
        Some(format) => {
            let format = interp.to_text(format);
            match interp.date_text(now, Zone::Local, &format) {
                Some(text) => Value::str(&text),
                None => return Err(Signal::unsupported(format!("The date format '{format}'"), bound.pos)),
            }
        }
    };
    out.push(interp, value)
}

fn start_sleep(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let (value, unit) = match (bound.get("Milliseconds"), bound.get("Seconds")) {
        (Some(value), _) => (value, 0.001),
        (None, Some(value)) => (value, 1.0),
        (None, None) => {
            return Err(interp.binding_error(
                bound,
                "MissingMandatoryParameter",
                "Cannot process command because of one or more missing mandatory parameters: Seconds.".to_owned(),
            ));
        }
    };
    #[allow(clippy::cast_precision_loss)] // no wait is long enough for it to matter
    let amount = match interp.to_number(value) {
        Some(Number::Int(n)) => n as f64,
        Some(Number::Double(n)) => n,
        None => 0.0,
    };
    let time = Duration::try_from_secs_f64((amount * unit).max(0.0)).unwrap_or(Duration::MAX);
    interp.host.sleep(time);
    interp.charge(1)
}
