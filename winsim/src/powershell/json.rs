//! JSON as Windows PowerShell 5.1 writes and reads it.
//!
//! Its habits are kept because scripts meet them: enumerations become numbers, dates `\/Date(ms)\/`, the characters
//! `' < > &` escapes, and what lies deeper than `-Depth` becomes text.

use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::ast::Pos;
use super::error::{Run, Signal};
use super::interpreter::Interpreter;
use super::value::{CUSTOM_OBJECT, Object, Value};

impl Interpreter {
    /// `ConvertTo-Json -Compress`
    pub(crate) fn json_text(&mut self, value: &Value, max_depth: usize, pos: Pos) -> Run<String> {
        let mut out = String::new();
        self.write_json(value, 0, max_depth, &mut out, pos)?;
        Ok(out)
    }

    fn write_json(&mut self, value: &Value, depth: usize, max: usize, out: &mut String, pos: Pos) -> Run<()> {
        self.charge(1)?;
        let container =
            matches!(value, Value::Array(_) | Value::Bytes(_) | Value::Table(_) | Value::Object(_) | Value::Error(_));
        if container && depth > max {
            let text = self.to_text(value);
            return self.write_string(&text, out);
        }
        match value {
            Value::Null | Value::Void => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n) => out.push_str(&n.to_string()),
            Value::Double(n) => {
                let text = super::convert::double_text(*n);
                out.push_str(&text);
                if text.chars().all(|c| c.is_ascii_digit() || c == '-') {
                    out.push_str(".0");
                }
            }
            Value::Str(text) => self.write_string(text, out)?,
            Value::Enum(e) => out.push_str(&e.number.to_string()),
            Value::DateTime(time, _) => {
                let text = format!("\"\\/Date({})\\/\"", time.as_millisecond());
                out.push_str(&text);
            }
            Value::Array(_) | Value::Bytes(_) => {
                out.push('[');
                for (i, item) in value.enumerate().iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    self.write_json(item, depth + 1, max, out, pos)?;
                }
                out.push(']');
            }
            Value::Table(table) => {
                let entries: Vec<(String, Value)> = {
                    let table = table.borrow();
                    table.entries.iter().map(|(k, v)| (self.to_text(k), v.clone())).collect()
                };
                self.write_members(&entries, depth, max, out, pos)?;
            }
            Value::Object(object) => {
                let entries: Vec<(String, Value)> = {
                    let object = object.borrow();
                    object.properties.iter().map(|(n, v)| (n.to_string(), v.clone())).collect()
                };
                self.write_members(&entries, depth, max, out, pos)?;
            }
            Value::ScriptBlock(_) | Value::Type(_) | Value::Error(_) | Value::Com(_) => {
                return Err(Signal::unsupported(format!("JSON of a [{}]", value.type_name()), pos));
            }
        }
        Ok(())
    }

    fn write_members(
        &mut self,
        entries: &[(String, Value)],
        depth: usize,
        max: usize,
        out: &mut String,
        pos: Pos,
    ) -> Run<()> {
        out.push('{');
        for (i, (name, value)) in entries.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            self.write_string(name, out)?;
            out.push(':');
            self.write_json(value, depth + 1, max, out, pos)?;
        }
        out.push('}');
        Ok(())
    }

    fn write_string(&mut self, text: &str, out: &mut String) -> Run<()> {
        self.charge_size(text.len())?;
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\'' | '<' | '>' | '&' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    out.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(())
    }
}

/// `ConvertFrom-Json`: objects become `PSCustomObject`, in the order of the text.
pub(crate) fn from_json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<Parsed>(text).map(|p| p.0)
}

struct Parsed(Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Parsed)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        #[allow(clippy::cast_precision_loss)] // beyond the largest integer .NET falls back to a double as well
        Ok(i64::try_from(n).map_or(Value::Double(n as f64), Value::Int))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Value::Double(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::str(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Parsed(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Object { type_name: CUSTOM_OBJECT, properties: Vec::new() };
        while let Some((name, Parsed(value))) = map.next_entry::<String, Parsed>()? {
            if !object.set(&name, value.clone()) {
                object.properties.push((Rc::from(name.as_str()), value));
            }
        }
        Ok(Value::Object(Rc::new(std::cell::RefCell::new(object))))
    }
}
