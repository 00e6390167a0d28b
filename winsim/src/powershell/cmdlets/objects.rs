//! Cmdlets that work on any object: `ForEach-Object`, `Where-Object`, `Select-Object`, `Sort-Object`, `Measure-Object`.

use std::rc::Rc;

use super::super::ast::{BinaryOp, CaseRule, Comparison};
use super::super::binding::Bound;
use super::super::call::as_block;
use super::super::error::{Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::{Collect, Sink};
use super::super::value::{CUSTOM_OBJECT, Object, Value};
use super::{Action, Cmdlet, Parameter, named, positional, switch};

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "ForEach-Object",
        class: "Microsoft.PowerShell.Commands.ForEachObjectCommand",
        parameters: &[positional("Process", 0), named("InputObject")],
        action: Action::Each(for_each),
    },
    Cmdlet {
        name: "Where-Object",
        class: "Microsoft.PowerShell.Commands.WhereObjectCommand",
        parameters: &WHERE,
        action: Action::Each(where_object),
    },
    Cmdlet {
        name: "Select-Object",
        class: "Microsoft.PowerShell.Commands.SelectObjectCommand",
        parameters: &[
            positional("Property", 0),
            named("ExpandProperty"),
            named("First"),
            named("Last"),
            switch("Unique"),
            named("InputObject"),
        ],
        action: Action::Whole(select),
    },
    Cmdlet {
        name: "Sort-Object",
        class: "Microsoft.PowerShell.Commands.SortObjectCommand",
        parameters: &[positional("Property", 0), switch("Descending"), switch("Unique"), named("InputObject")],
        action: Action::Whole(sort),
    },
    Cmdlet {
        name: "Measure-Object",
        class: "Microsoft.PowerShell.Commands.MeasureObjectCommand",
        parameters: &[named("InputObject")],
        action: Action::Whole(measure),
    },
];

const WHERE: [Parameter; 12] = [
    Parameter { name: "Property", aliases: &["FilterScript"], switch: false, position: Some(0) },
    positional("Value", 1),
    switch("EQ"),
    switch("NE"),
    switch("GT"),
    switch("GE"),
    switch("LT"),
    switch("LE"),
    switch("Like"),
    switch("Match"),
    switch("Contains"),
    named("InputObject"),
];

fn for_each(interp: &mut Interpreter, bound: &Bound, item: Value, out: &mut dyn Sink) -> Run<()> {
    match bound.get("Process") {
        Some(Value::ScriptBlock(block)) => {
            let block = Rc::clone(block);
            interp.run_script_block(&block, item, out)
        }
        Some(Value::Str(name)) => {
            let name = Rc::clone(name);
            let value = interp.member(&item, &name, bound.pos)?;
            interp.emit(value, out)
        }
        _ => Err(Signal::unsupported("ForEach-Object without a script block or property name", bound.pos)),
    }
}

fn where_object(interp: &mut Interpreter, bound: &Bound, item: Value, out: &mut dyn Sink) -> Run<()> {
    let keep = match bound.get("Property") {
        Some(Value::ScriptBlock(block)) => {
            let block = Rc::clone(block);
            let mut output = Collect::default();
            interp.run_script_block(&block, item.clone(), &mut output)?;
            Value::from_output(output.0).is_true()
        }
        Some(Value::Str(name)) => {
            let name = Rc::clone(name);
            let value = interp.member(&item, &name, bound.pos)?;
            match comparison(bound) {
                None => value.is_true(),
                Some(comparison) => {
                    let wanted = bound.get("Value").cloned().unwrap_or(Value::Null);
                    let op = BinaryOp::Compare(comparison, CaseRule::Ignore);
                    interp.binary(op, &value, &wanted, bound.pos)?.is_true()
                }
            }
        }
        _ => return Err(Signal::unsupported("Where-Object without a script block or property name", bound.pos)),
    };
    if keep { out.push(interp, item) } else { Ok(()) }
}

fn comparison(bound: &Bound) -> Option<Comparison> {
    [
        ("EQ", Comparison::Eq),
        ("NE", Comparison::Ne),
        ("GT", Comparison::Gt),
        ("GE", Comparison::Ge),
        ("LT", Comparison::Lt),
        ("LE", Comparison::Le),
        ("Like", Comparison::Like),
        ("Match", Comparison::Match),
        ("Contains", Comparison::Contains),
    ]
    .into_iter()
    .find(|(name, _)| bound.switch(name))
    .map(|(_, comparison)| comparison)
}

fn input_of(bound: &Bound, input: Option<Vec<Value>>) -> Vec<Value> {
    match input {
        Some(values) => values,
        None => bound.get("InputObject").map(Value::enumerate).unwrap_or_default(),
    }
}

fn select(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let mut items = input_of(bound, input);
    if let Some(first) = bound.get("First") {
        let count = usize::try_from(interp.to_int(first)?).unwrap_or(0);
        items.truncate(count);
    }
    if let Some(last) = bound.get("Last") {
        let count = usize::try_from(interp.to_int(last)?).unwrap_or(0);
        items.drain(..items.len().saturating_sub(count));
    }
    let computed = |v: &Value| matches!(v, Value::Table(_) | Value::ScriptBlock(_));
    if bound.get("Property").is_some_and(|p| p.enumerate().iter().any(computed)) {
        return Err(Signal::unsupported("Select-Object with a computed property", bound.pos));
    }
    if let Some(properties) = bound.texts(interp, "Property") {
        let mut selected = Vec::with_capacity(items.len());
        for item in items {
            let mut chosen = Vec::with_capacity(properties.len());
            for name in &properties {
                if super::super::wildcard::is_pattern(name) {
                    return Err(Signal::unsupported("Select-Object with a wildcard", bound.pos));
                }
                let value = interp.member(&item, name, bound.pos)?;
                chosen.push((Rc::from(name.as_str()), value));
            }
            selected.push(Value::Object(Rc::new(std::cell::RefCell::new(Object {
                type_name: CUSTOM_OBJECT,
                properties: chosen,
            }))));
        }
        items = selected;
    }
    if let Some(name) = bound.get("ExpandProperty") {
        let name = interp.to_text(name);
        let mut expanded = Vec::new();
        for item in items {
            expanded.extend(interp.member(&item, &name, bound.pos)?.enumerate());
        }
        items = expanded;
    }
    if bound.switch("Unique") {
        items = unique(interp, items, true)?;
    }
    for item in items {
        out.push(interp, item)?;
    }
    Ok(())
}

fn unique(interp: &mut Interpreter, items: Vec<Value>, respect_case: bool) -> Run<Vec<Value>> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        interp.charge(kept.len())?;
        if !kept.iter().any(|k| interp.equals(k, &item, respect_case)) {
            kept.push(item);
        }
    }
    Ok(kept)
}

fn sort(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let items = input_of(bound, input);
    if matches!(bound.get("Property"), Some(Value::Array(_) | Value::Table(_))) {
        return Err(Signal::unsupported("Sort-Object by several properties or a computed one", bound.pos));
    }
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let key = match bound.get("Property") {
            None => item.clone(),
            Some(property) => match as_block(property) {
                Some(block) => {
                    let mut output = Collect::default();
                    interp.run_script_block(&block, item.clone(), &mut output)?;
                    Value::from_output(output.0)
                }
                None => {
                    let name = interp.to_text(property);
                    interp.member(&item, &name, bound.pos)?
                }
            },
        };
        keyed.push((key, item));
    }
    interp.charge(keyed.len().saturating_mul(16))?;
    // Numbers by size; as soon as anything else is among them, everything by its text. Both are total orders.
    let numbers: Option<Vec<f64>> = keyed.iter().map(|(key, _)| sortable_number(key)).collect();
    match numbers {
        Some(numbers) => {
            let mut pairs: Vec<_> = numbers.into_iter().zip(keyed).collect();
            pairs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            keyed = pairs.into_iter().map(|(_, pair)| pair).collect();
        }
        None => keyed.sort_by_cached_key(|(key, _)| interp.to_text(key).to_lowercase()),
    }
    if bound.switch("Descending") {
        keyed.reverse();
    }
    let mut items: Vec<Value> = keyed.into_iter().map(|(_, item)| item).collect();
    if bound.switch("Unique") {
        items = unique(interp, items, false)?;
    }
    for item in items {
        out.push(interp, item)?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // the order of integers beyond 2^53 is not worth a second path
fn sortable_number(key: &Value) -> Option<f64> {
    match key {
        Value::Int(n) => Some(*n as f64),
        Value::Double(n) => Some(*n),
        Value::Enum(e) => Some(e.number as f64),
        Value::DateTime(time, _) => Some(time.as_nanosecond() as f64),
        _ => None,
    }
}

fn measure(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let count = input_of(bound, input).len();
    let info = Value::object(
        "Microsoft.PowerShell.Commands.GenericMeasureInfo",
        vec![("Count", Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))],
    );
    out.push(interp, info)
}
