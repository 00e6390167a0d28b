//! The `-f` operator and numeric formats of .NET: `{0}`, `{1,8}`, `{0:N2}`, `{0:D3}`, `{0:X}`, `{0:F1}`.

use super::ast::Pos;
use super::convert::Number;
use super::error::{ErrorRecord, Run, Signal};
use super::interpreter::Interpreter;
use super::value::Value;

impl Interpreter {
    pub(super) fn format(&mut self, format: &Value, args: &Value, pos: Pos) -> Run<Value> {
        let template: Vec<char> = self.to_text(format).chars().collect();
        let args = match args.elements() {
            Some(items) => items,
            None => vec![args.clone()],
        };
        let mut text = String::new();
        let mut i = 0;
        while let Some(&c) = template.get(i) {
            i += 1;
            let doubled = template.get(i) == Some(&c);
            match c {
                '{' | '}' if doubled => {
                    text.push(c);
                    i += 1;
                }
                '{' => {
                    let end = template.get(i..).and_then(|rest| rest.iter().position(|c| *c == '}'));
                    let Some(length) = end else {
                        return Err(bad_format());
                    };
                    let hole: String = template.get(i..i + length).unwrap_or_default().iter().collect();
                    i += length + 1;
                    text.push_str(&self.hole(&hole, &args, pos)?);
                }
                '}' => return Err(bad_format()),
                c => text.push(c),
            }
            self.charge(1)?;
        }
        self.charge_size(text.len())?;
        Ok(Value::str(&text))
    }

    fn hole(&mut self, hole: &str, args: &[Value], pos: Pos) -> Run<String> {
        let (head, format) = match hole.split_once(':') {
            Some((head, format)) => (head, Some(format)),
            None => (hole, None),
        };
        let (index, width) = match head.split_once(',') {
            Some((index, width)) => (index, width.trim().parse::<i32>().map_err(|_| bad_format())?),
            None => (head, 0),
        };
        let index: usize = index.trim().parse().map_err(|_| bad_format())?;
        let value = args.get(index).ok_or_else(|| {
            Signal::error(ErrorRecord::runtime(
                "FormatError",
                "Error formatting a string: Index (zero based) must be greater than or equal to zero and less than the \
                 size of the argument list..",
            ))
        })?;
        let text = match (format, value) {
            (None | Some(""), value) => self.to_text(value),
            (Some(format), Value::Int(n)) => self.formatted(Number::Int(*n), format, pos)?,
            (Some(format), Value::Double(n)) => self.formatted(Number::Double(*n), format, pos)?,
            (Some(format), Value::DateTime(time, zone)) => self
                .date_text(*time, *zone, format)
                .ok_or_else(|| Signal::unsupported(format!("The date format '{format}'"), pos))?,
            (Some(_), value) => self.to_text(value),
        };
        // Wide enough for a column, not for exhausting memory.
        let columns = usize::try_from(width.unsigned_abs()).unwrap_or(0);
        self.charge_size(columns)?;
        Ok(if width < 0 { format!("{text:<columns$}") } else { format!("{text:>columns$}") })
    }

    fn formatted(&self, n: Number, format: &str, pos: Pos) -> Run<String> {
        number(n, format).ok_or_else(|| Signal::unsupported(format!("The number format '{format}'"), pos))
    }
}

/// A number in one of the standard formats; none for others.
pub(super) fn number(n: Number, format: &str) -> Option<String> {
    let mut chars = format.chars();
    let kind = chars.next()?.to_ascii_uppercase();
    let digits = match chars.as_str() {
        "" => None,
        text => Some(text.parse::<usize>().ok().filter(|d| *d <= 99)?),
    };
    match (kind, n) {
        ('D', Number::Int(n)) => {
            let sign = if n < 0 { "-" } else { "" };
            Some(format!("{sign}{:0>1$}", n.unsigned_abs(), digits.unwrap_or(1)))
        }
        // A number of 32 bits shows 32 bits, also when it is negative.
        ('X', Number::Int(n)) if n < 0 && i32::try_from(n).is_ok() => {
            Some(format!("{:0>1$X}", n & 0xFFFF_FFFF, digits.unwrap_or(1)))
        }
        ('X', Number::Int(n)) => Some(format!("{:0>1$X}", n, digits.unwrap_or(1))),
        ('F', n) => Some(fixed(n, digits.unwrap_or(2))),
        ('N', n) => {
            let text = fixed(n, digits.unwrap_or(2));
            let (sign, text) = match text.strip_prefix('-') {
                Some(rest) => ("-", rest),
                None => ("", text.as_str()),
            };
            let (whole, fraction) = match text.split_once('.') {
                Some((whole, fraction)) => (whole, format!(".{fraction}")),
                None => (text, String::new()),
            };
            let mut grouped = String::new();
            for (i, c) in whole.chars().enumerate() {
                if i > 0 && (whole.len() - i) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(c);
            }
            Some(format!("{sign}{grouped}{fraction}"))
        }
        _ => None,
    }
}

fn fixed(n: Number, digits: usize) -> String {
    match n {
        Number::Int(n) if digits == 0 => n.to_string(),
        Number::Int(n) => format!("{n}.{}", "0".repeat(digits)),
        Number::Double(n) => format!("{n:.digits$}"),
    }
}

fn bad_format() -> Signal {
    Signal::error(ErrorRecord::runtime(
        "FormatError",
        "Error formatting a string: Input string was not in a correct format..",
    ))
}
