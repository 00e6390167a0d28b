//! Method calls, on values and on types. A method outside these tables stops the script loudly: real .NET has it, so an
//! error that the script could catch would be a lie.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ast::{Expr, ExprKind, Pos};
use super::convert::{Number, round_half_even};
use super::error::{ErrorRecord, Run, Signal};
use super::expressions::at;
use super::interpreter::Interpreter;
use super::value::{Value, Zone};

impl Interpreter {
    pub(super) fn call_method(&mut self, target: &Value, name: &str, args: &[Value], pos: Pos) -> Run<Value> {
        self.charge(1)?;
        if target.is_null() {
            let record =
                ErrorRecord::runtime("InvokeMethodOnNull", "You cannot call a method on a null-valued expression.");
            return Err(at(Signal::error(record), pos));
        }
        let lower = name.to_ascii_lowercase();
        if lower == "gettype" && args.is_empty() {
            return Ok(Value::Type(target.type_name()));
        }
        if let Value::Com(object) = target {
            return self.com_call(object, name, args, pos);
        }
        let result = match target {
            Value::Str(text) => self.string_method(text, &lower, args)?,
            Value::Table(_) => self.table_method(target, &lower, args)?,
            Value::DateTime(time, zone) => self.date_method(*time, *zone, &lower, args)?,
            Value::Object(object) => {
                let type_name = object.borrow().type_name;
                self.object_method(type_name, &lower, args)?
            }
            Value::Int(n) if lower == "tostring" && args.len() == 1 => {
                let format = self.to_text(&args[0]);
                super::format::number(Number::Int(*n), &format).map(|t| Value::str(&t))
            }
            Value::Double(n) if lower == "tostring" && args.len() == 1 => {
                let format = self.to_text(&args[0]);
                super::format::number(Number::Double(*n), &format).map(|t| Value::str(&t))
            }
            _ => None,
        };
        if let Some(value) = result {
            return Ok(value);
        }
        if lower == "tostring" && args.is_empty() {
            return Ok(Value::str(&self.to_text(target)));
        }
        Err(Signal::unsupported(
            format!("The method '{name}' of [{}] with {} arguments", target.type_name(), args.len()),
            pos,
        ))
    }

    fn string_method(&mut self, text: &str, name: &str, args: &[Value]) -> Run<Option<Value>> {
        self.charge_size(text.len())?;
        let arg = |i: usize| args.get(i).map(|v| self.to_text(v));
        Ok(match (name, args.len()) {
            ("tostring", 0) => Some(Value::str(text)),
            ("toupper" | "toupperinvariant", 0) => Some(Value::str(&text.to_uppercase())),
            ("tolower" | "tolowerinvariant", 0) => Some(Value::str(&text.to_lowercase())),
            ("trim", 0) => Some(Value::str(text.trim())),
            ("trimstart", 0) => Some(Value::str(text.trim_start())),
            ("trimend", 0) => Some(Value::str(text.trim_end())),
            ("startswith", 1) => arg(0).map(|a| Value::Bool(text.starts_with(&a))),
            ("endswith", 1) => arg(0).map(|a| Value::Bool(text.ends_with(&a))),
            ("contains", 1) => arg(0).map(|a| Value::Bool(text.contains(&a))),
            ("equals", 1) => arg(0).map(|a| Value::Bool(text == a)),
            ("indexof", 1) => arg(0).map(|a| {
                let at = text.find(&a).and_then(|b| text.get(..b)).map(|s| s.encode_utf16().count());
                Value::Int(at.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1))
            }),
            ("replace", 2) => match (arg(0), arg(1)) {
                (Some(from), Some(to)) if !from.is_empty() => {
                    let result = text.replace(&from, &to);
                    self.charge_size(result.len())?;
                    Some(Value::str(&result))
                }
                _ => None,
            },
            ("split", 1) => match arg(0) {
                // A string argument is a set of separating characters in .NET Framework.
                Some(set) if !set.is_empty() => {
                    let parts = text.split(|c| set.contains(c)).map(Value::str).collect();
                    Some(Value::array(parts))
                }
                _ => None,
            },
            ("substring", 1 | 2) => Some(self.substring(text, args)?),
            _ => None,
        })
    }

    fn substring(&self, text: &str, args: &[Value]) -> Run<Value> {
        let chars: Vec<char> = text.chars().collect();
        let start = usize::try_from(self.to_int(args.first().unwrap_or(&Value::Null))?).ok();
        let length = match args.get(1) {
            Some(length) => usize::try_from(self.to_int(length)?).ok(),
            None => start.and_then(|s| chars.len().checked_sub(s)),
        };
        let part = match (start, length) {
            (Some(start), Some(length)) => start.checked_add(length).and_then(|end| chars.get(start..end)),
            _ => None,
        };
        match part {
            Some(part) => Ok(Value::str(&part.iter().collect::<String>())),
            None => Err(Signal::error(ErrorRecord::new(
                "System.Management.Automation.MethodInvocationException",
                "ArgumentOutOfRangeException",
                format!(
                    "Exception calling \"Substring\" with \"{}\" argument(s): \"Index and length must refer to a \
                     location within the string.\"",
                    args.len()
                ),
            ))),
        }
    }

    fn table_method(&mut self, target: &Value, name: &str, args: &[Value]) -> Run<Option<Value>> {
        let Value::Table(table) = target else {
            return Ok(None);
        };
        Ok(match (name, args) {
            ("containskey" | "contains", [key]) => Some(Value::Bool(table.borrow().get(key).is_some())),
            ("remove", [key]) => {
                table.borrow_mut().remove(key);
                Some(Value::Void)
            }
            ("add", [key, value]) => {
                if table.borrow().get(key).is_some() {
                    let text = self.to_text(key);
                    return Err(Signal::error(ErrorRecord::new(
                        "System.Management.Automation.MethodInvocationException",
                        "ArgumentException",
                        format!(
                            "Exception calling \"Add\" with \"2\" argument(s): \"Item has already been added. Key in \
                             dictionary: '{text}'  Key being added: '{text}'\""
                        ),
                    )));
                }
                table.borrow_mut().set(key.clone(), value.clone());
                Some(Value::Void)
            }
            _ => None,
        })
    }

    fn date_method(&self, time: jiff::Timestamp, zone: Zone, name: &str, args: &[Value]) -> Run<Option<Value>> {
        Ok(match (name, args) {
            ("tostring", [format]) => {
                let format = self.to_text(format);
                self.date_text(time, zone, &format).map(|t| Value::str(&t))
            }
            ("touniversaltime", []) => Some(Value::DateTime(time, Zone::Utc)),
            _ => None,
        })
    }

    fn object_method(&mut self, type_name: &str, name: &str, args: &[Value]) -> Run<Option<Value>> {
        Ok(match (type_name, name, args) {
            ("System.Text.UTF8Encoding", "getstring", [Value::Bytes(bytes)]) => {
                self.charge_size(bytes.len())?;
                Some(Value::str(&String::from_utf8_lossy(bytes)))
            }
            ("System.Text.UnicodeEncoding", "getbytes", [text]) => {
                let text = self.to_text(text);
                self.charge_size(text.len())?;
                let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                Some(Value::Bytes(bytes.into()))
            }
            ("System.Text.UTF8Encoding", "getbytes", [text]) => {
                Some(Value::Bytes(self.to_text(text).into_bytes().into()))
            }
            _ => None,
        })
    }

    /// `[Type]::Method(...)`
    pub(super) fn call_static(&mut self, target: &Expr, name: &str, args: &[Value], pos: Pos) -> Run<Value> {
        let ExprKind::Type(type_name) = &target.kind else {
            return Err(Signal::unsupported("A static method of something other than a type literal", pos));
        };
        let full = super::types::resolve(type_name)?;
        let lower = name.to_ascii_lowercase();
        let result = match (full, lower.as_str(), args) {
            ("System.Convert", "frombase64string", [text]) => {
                let text: String = self.to_text(text).split_whitespace().collect();
                self.charge_size(text.len())?;
                let bytes = STANDARD.decode(&text).map_err(|_| {
                    let record = ErrorRecord::new(
                        "System.Management.Automation.MethodInvocationException",
                        "FormatException",
                        "Exception calling \"FromBase64String\" with \"1\" argument(s): \"The input is not a valid \
                         Base-64 string as it contains a non-base 64 character, more than two padding characters, or \
                         an illegal character among the padding characters. \"",
                    );
                    at(Signal::error(record), pos)
                })?;
                Some(Value::Bytes(bytes.into()))
            }
            ("System.Convert", "tobase64string", [Value::Bytes(bytes)]) => {
                self.charge_size(bytes.len())?;
                Some(Value::str(&STANDARD.encode(bytes)))
            }
            ("System.String", "isnullorempty", [text]) => Some(Value::Bool(self.to_text(text).is_empty())),
            ("System.String", "isnullorwhitespace", [text]) => Some(Value::Bool(self.to_text(text).trim().is_empty())),
            ("System.Math", "round", [number]) => match self.to_number(number) {
                Some(Number::Int(n)) => Some(Value::Int(n)),
                Some(Number::Double(n)) => Some(Value::Double(round_half_even(n))),
                None => None,
            },
            ("System.Math", "round", [number, digits]) => match (self.to_number(number), self.to_int(digits)?) {
                (Some(Number::Int(n)), 0..=15) => Some(Value::Int(n)),
                (Some(Number::Double(n)), digits @ 0..=15) => {
                    let scale = 10f64.powi(i32::try_from(digits).unwrap_or(0));
                    Some(Value::Double(round_half_even(n * scale) / scale))
                }
                _ => None,
            },
            ("System.Math", "max" | "min", [a, b]) => {
                let first = self.order(a, b, true)?.is_ge() == (lower == "max");
                Some(if first { a.clone() } else { b.clone() })
            }
            ("System.Management.Automation.ScriptBlock", "create", [text]) => {
                let text = self.to_text(text);
                Some(self.script_block_of(&text, pos)?)
            }
            ("System.Console", "writeline", [text]) => {
                let text = self.to_text(text);
                self.write_text(&text)?;
                Some(Value::Void)
            }
            _ => None,
        };
        result.ok_or_else(|| {
            Signal::unsupported(format!("[{}]::{name} with these {} arguments", type_name.name, args.len()), pos)
        })
    }
}
