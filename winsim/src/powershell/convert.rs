//! Conversions: any value to text, to a number, to a given type.

use std::rc::Rc;

use jiff::tz::TimeZone;

use super::ast::TypeName;
use super::error::{Category, ErrorRecord, Run, Signal};
use super::interpreter::Interpreter;
use super::value::{Value, Zone};

impl Interpreter {
    /// Text as string interpolation and `[string]` make it.
    pub(crate) fn to_text(&self, value: &Value) -> String {
        match value {
            Value::Array(items) => {
                // Arrays inside the array show their type only, as in PowerShell.
                let items = items.borrow();
                items.iter().map(scalar_text).collect::<Vec<_>>().join(" ")
            }
            Value::Bytes(bytes) => bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" "),
            other => scalar_text(other),
        }
    }

    /// A whole number, or an error worded as PowerShell words it.
    pub(crate) fn to_int(&self, value: &Value) -> Run<i64> {
        match self.to_number(value) {
            Some(Number::Int(n)) => Ok(n),
            #[allow(clippy::cast_possible_truncation)] // checked on the line before
            Some(Number::Double(n)) if n.abs() < 9e15 => Ok(round_half_even(n) as i64),
            _ => Err(Signal::error(cannot_convert(&self.to_text(value), value.type_name(), "System.Int32"))),
        }
    }

    /// The number a value stands for in arithmetic; none if it is not one.
    pub(super) fn to_number(&self, value: &Value) -> Option<Number> {
        match value {
            Value::Null | Value::Void => Some(Number::Int(0)),
            Value::Bool(b) => Some(Number::Int(i64::from(*b))),
            Value::Int(n) => Some(Number::Int(*n)),
            Value::Double(n) => Some(Number::Double(*n)),
            Value::Enum(e) => Some(Number::Int(e.number)),
            Value::Str(text) => {
                let text = text.trim();
                if text.is_empty() {
                    return Some(Number::Int(0));
                }
                if let Some(hex) = text.strip_prefix("0x") {
                    return i64::from_str_radix(hex, 16).ok().map(Number::Int);
                }
                // Rust also reads `inf` and `nan`, which .NET spells otherwise.
                let numeric = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
                let integer = text.parse::<i64>().ok().map(Number::Int);
                integer.or_else(|| text.parse::<f64>().ok().filter(|_| numeric).map(Number::Double))
            }
            _ => None,
        }
    }

    /// `[type]value`.
    pub(super) fn cast(&mut self, to: &TypeName, value: Value) -> Run<Value> {
        let resolved = super::types::resolve(to)?;
        match resolved {
            "System.Object" => Ok(value),
            "System.String" => Ok(match value {
                Value::Str(_) => value,
                other => Value::str(&self.to_text(&other)),
            }),
            "System.Boolean" => match &value {
                Value::Str(_) | Value::Null | Value::Void | Value::Bool(_) | Value::Int(_) | Value::Double(_) => {
                    Ok(Value::Bool(value.is_true()))
                }
                other => Ok(Value::Bool(other.is_true())),
            },
            "System.Management.Automation.SwitchParameter" => Ok(Value::Bool(value.is_true())),
            "System.Int32" => {
                let n = self.to_int(&value)?;
                if i32::try_from(n).is_err() {
                    let record = cannot_convert(&self.to_text(&value), value.type_name(), "System.Int32");
                    return Err(Signal::error(record));
                }
                Ok(Value::Int(n))
            }
            "System.Int64" => self.to_int(&value).map(Value::Int),
            "System.Double" => match self.to_number(&value) {
                #[allow(clippy::cast_precision_loss)] // what the conversion does in .NET too
                Some(Number::Int(n)) => Ok(Value::Double(n as f64)),
                Some(Number::Double(n)) => Ok(Value::Double(n)),
                None => Err(Signal::error(cannot_convert(&self.to_text(&value), value.type_name(), "System.Double"))),
            },
            "System.Object[]" => Ok(match value {
                Value::Array(_) => value,
                Value::Null | Value::Void => Value::Null,
                Value::Bytes(_) => Value::array(value.enumerate()),
                other => Value::array(vec![other]),
            }),
            "System.String[]" => {
                let items: Vec<Value> = match value.elements() {
                    Some(items) => items,
                    None => vec![value],
                };
                Ok(Value::array(items.iter().map(|v| Value::str(&self.to_text(v))).collect()))
            }
            "System.Management.Automation.PSObject" => match value {
                table @ Value::Table(_) => Ok(self.custom_object(&table)),
                other => Ok(other),
            },
            "System.Void" => Ok(Value::Void),
            other => Err(Signal::unsupported(format!("A conversion to [{other}]"), to.pos)),
        }
    }

    /// A .NET date and time format, the standard ones a script can use safely: `o` (round trip), `s` and `u`.
    pub(super) fn date_text(&self, time: jiff::Timestamp, zone: Zone, format: &str) -> Option<String> {
        let local = time.to_zoned(TimeZone::UTC);
        let second = local.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        match format {
            "o" | "O" => {
                let ticks = local.subsec_nanosecond() / 100;
                let suffix = if zone == Zone::Utc { "Z" } else { "+00:00" };
                Some(format!("{second}.{ticks:07}{suffix}"))
            }
            "s" => Some(second),
            "u" => Some(local.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
            "yyyy-MM-dd" => Some(local.strftime("%Y-%m-%d").to_string()),
            _ => None,
        }
    }
}

/// A number in arithmetic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Double(f64),
}

/// .NET rounds halves to the even neighbour.
pub(super) fn round_half_even(n: f64) -> f64 {
    n.round_ties_even()
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::Null | Value::Void => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Double(n) => double_text(*n),
        Value::Str(s) => s.to_string(),
        Value::Enum(e) => e.name.to_owned(),
        Value::DateTime(time, _) => time.to_zoned(TimeZone::UTC).strftime("%m/%d/%Y %H:%M:%S").to_string(),
        Value::Object(o) => {
            let object = o.borrow();
            if object.type_name == super::value::CUSTOM_OBJECT {
                let inner: Vec<String> = object
                    .properties
                    .iter()
                    .map(|(n, v)| match v {
                        // One level: what is deeper shows its type.
                        Value::Object(_) => format!("{n}="),
                        other => format!("{n}={}", scalar_text(other)),
                    })
                    .collect();
                return format!("@{{{}}}", inner.join("; "));
            }
            object.type_name.to_owned()
        }
        Value::Type(name) => (*name).to_owned(),
        Value::Error(record) => record.message.clone(),
        Value::ScriptBlock(block) => block.text.as_deref().unwrap_or_default().to_owned(),
        Value::Array(_) | Value::Bytes(_) | Value::Table(_) | Value::Com(_) => value.type_name().to_owned(),
    }
}

/// A double as .NET Framework prints it: at most 15 significant digits.
pub(super) fn double_text(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = n.abs();
    if magnitude != 0.0 && !(1e-5..1e15).contains(&magnitude) {
        let text = format!("{n:E}");
        // .NET writes two digits of exponent, with a sign.
        return match text.split_once('E') {
            Some((mantissa, exponent)) => {
                let (sign, digits) = match exponent.strip_prefix('-') {
                    Some(digits) => ('-', digits),
                    None => ('+', exponent),
                };
                format!("{mantissa}E{sign}{digits:0>2}")
            }
            None => text,
        };
    }
    let shortest = format!("{n}");
    if shortest.chars().filter(char::is_ascii_digit).count() <= 15 {
        return shortest;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded by the range above
    let whole = if magnitude < 1.0 { 1 } else { magnitude.log10().floor() as usize + 1 };
    let text = format!("{n:.*}", 15usize.saturating_sub(whole));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

pub(super) fn cannot_convert(text: &str, from: &str, to: &str) -> ErrorRecord {
    let message = format!(
        "Cannot convert value \"{text}\" to type \"{to}\". Error: \"Input string was not in a correct format.\""
    );
    ErrorRecord::new("System.Management.Automation.PSInvalidCastException", "InvalidCastFromStringToInteger", message)
        .category(Category::InvalidArgument)
        .target(text, if from.is_empty() { "String" } else { "Object" })
}

/// A member of an enumeration by name or number, as a parameter or `-eq` converts it.
pub(crate) fn enum_member(
    value: &Value,
    members: &'static [(&'static str, i64)],
    type_name: &'static str,
) -> Option<Value> {
    let found = match value {
        Value::Str(text) => members.iter().find(|(n, _)| super::value::same_name(n, text.trim())),
        Value::Int(n) => members.iter().find(|(_, m)| m == n),
        Value::Enum(e) if e.type_name == type_name => return Some(value.clone()),
        Value::Enum(e) => members.iter().find(|(n, _)| super::value::same_name(n, e.name)),
        Value::Bool(b) => members.iter().find(|(_, m)| *m == i64::from(*b)),
        _ => None,
    }?;
    Some(Value::Enum(Rc::new(super::value::EnumValue { type_name, name: found.0, number: found.1, members })))
}
