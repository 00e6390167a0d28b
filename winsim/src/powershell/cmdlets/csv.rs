//! `ConvertFrom-Csv`.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::binding::Bound;
use super::super::error::{Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{CUSTOM_OBJECT, Object, Value};
use super::{Action, Cmdlet, named, positional};

pub(super) const CMDLETS: &[Cmdlet] = &[Cmdlet {
    name: "ConvertFrom-Csv",
    class: "Microsoft.PowerShell.Commands.ConvertFromCsvCommand",
    parameters: &[positional("InputObject", 0), positional("Delimiter", 1), named("Header")],
    action: Action::Whole(convert_from_csv),
}];

fn convert_from_csv(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let values = input.unwrap_or_else(|| bound.get("InputObject").map(Value::enumerate).unwrap_or_default());
    let lines: Vec<String> = values.iter().map(|v| interp.to_text(v)).filter(|line| !line.trim().is_empty()).collect();
    let delimiter = bound.get("Delimiter").map(|v| interp.to_text(v)).unwrap_or_else(|| ",".to_owned());
    let mut chars = delimiter.chars();
    let (Some(delimiter), None) = (chars.next(), chars.next()) else {
        return Err(Signal::unsupported("A delimiter that is not one character", bound.pos));
    };
    let mut lines = lines.iter();
    let header = match bound.texts(interp, "Header") {
        Some(header) => header,
        None => match lines.next() {
            Some(line) => fields(line, delimiter).ok_or_else(|| several_lines(bound))?,
            None => return Ok(()),
        },
    };
    let names: Vec<Rc<str>> = header.iter().map(|name| Rc::from(name.as_str())).collect();
    for line in lines {
        interp.charge_size(line.len())?;
        interp.charge(names.len())?;
        // What a row has too little is null, what it has too much is left out.
        let mut row = fields(line, delimiter).ok_or_else(|| several_lines(bound))?.into_iter();
        let properties =
            names.iter().map(|n| (Rc::clone(n), row.next().map_or(Value::Null, |f| Value::str(&f)))).collect();
        out.push(interp, Value::Object(Rc::new(RefCell::new(Object { type_name: CUSTOM_OBJECT, properties }))))?;
    }
    Ok(())
}

fn several_lines(bound: &Bound) -> Signal {
    Signal::unsupported("A CSV field that goes on in the next line", bound.pos)
}

/// The fields of a line; none when a quote stays open.
fn fields(line: &str, delimiter: char) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            c if c == delimiter && !quoted => fields.push(String::new()),
            c if c.is_whitespace() && !quoted && last.is_empty() => {}
            c => last.push(c),
        }
    }
    (!quoted).then_some(fields)
}
