//! Properties and indexes, of any value.

use std::rc::Rc;

use super::ast::{Expr, ExprKind, Pos};
use super::error::{Category, ErrorRecord, Run, Signal};
use super::interpreter::Interpreter;
use super::value::{CUSTOM_OBJECT, Value, Zone, same_name};

impl Interpreter {
    /// `target.name`. What is not there is null; on a list, the property of every element that has it.
    pub(super) fn member(&mut self, target: &Value, name: &str, pos: Pos) -> Run<Value> {
        if let Value::Com(object) = target {
            return self.com_get(object, name, pos);
        }
        if let Some(value) = self.own_member(target, name, pos)? {
            return Ok(value);
        }
        if let Some(items) = target.elements() {
            self.charge(items.len())?;
            let mut found = Vec::new();
            for item in items {
                if let Some(value) = self.own_member(&item, name, pos)? {
                    found.extend(match value {
                        Value::Null => vec![Value::Null],
                        other => other.enumerate(),
                    });
                }
            }
            return Ok(match Value::from_output(found) {
                Value::Void => Value::Null,
                other => other,
            });
        }
        // Every value has a count of its own, except that custom objects lack it in Windows PowerShell 5.1.
        let custom = matches!(target, Value::Object(o) if o.borrow().type_name == CUSTOM_OBJECT);
        if (same_name(name, "Count") || same_name(name, "Length")) && !custom {
            return Ok(Value::Int(i64::from(!target.is_null())));
        }
        Ok(Value::Null)
    }

    fn own_member(&mut self, target: &Value, name: &str, pos: Pos) -> Run<Option<Value>> {
        if let Value::Com(object) = target {
            return self.com_get(object, name, pos).map(Some);
        }
        let is = |wanted: &str| same_name(name, wanted);
        Ok(match target {
            Value::Str(text) if is("Length") => Some(count(text.encode_utf16().count())),
            Value::Array(items) if is("Count") || is("Length") => Some(count(items.borrow().len())),
            Value::Bytes(bytes) if is("Count") || is("Length") => Some(count(bytes.len())),
            Value::Table(table) => {
                self.charge_size(table.borrow().entries.len())?;
                let table = table.borrow();
                if let Some(value) = table.get(&Value::str(name)) {
                    return Ok(Some(value.clone()));
                }
                if is("Keys") {
                    Some(Value::array(table.entries.iter().map(|(k, _)| k.clone()).collect()))
                } else if is("Values") {
                    Some(Value::array(table.entries.iter().map(|(_, v)| v.clone()).collect()))
                } else if is("Count") {
                    Some(count(table.entries.len()))
                } else {
                    None
                }
            }
            Value::Object(object) => {
                if is("PSObject") {
                    return Ok(Some(self.reflection(&object.borrow().properties)?));
                }
                object.borrow().get(name).cloned()
            }
            Value::Enum(e) if is("value__") => Some(Value::Int(e.number)),
            Value::Type(full) if is("FullName") => Some(Value::str(full)),
            Value::Type(full) if is("Name") => Some(Value::str(full.rsplit('.').next().unwrap_or(full))),
            Value::Error(record) => error_member(record, name),
            Value::DateTime(time, zone) => date_member(*time, *zone, name, pos)?,
            _ => None,
        })
    }

    /// `$object.PSObject`: its properties as objects with name and value.
    fn reflection(&mut self, properties: &[(Rc<str>, Value)]) -> Run<Value> {
        self.charge(properties.len())?;
        let list = properties
            .iter()
            .map(|(name, value)| {
                Value::object(
                    "System.Management.Automation.PSNoteProperty",
                    vec![("Name", Value::Str(Rc::clone(name))), ("Value", value.clone())],
                )
            })
            .collect();
        Ok(Value::object("System.Management.Automation.PSMemberSet", vec![("Properties", Value::array(list))]))
    }

    pub(super) fn set_member(&mut self, target: &Value, name: &str, value: Value, pos: Pos) -> Run<()> {
        self.charge(1)?;
        if let Value::Com(object) = target {
            return self.com_set(object, name, &value, pos);
        }
        let done = match target {
            Value::Table(table) => {
                // Tables are searched in order: a large one costs more.
                self.charge_size(table.borrow().entries.len())?;
                table.borrow_mut().set(Value::str(name), value);
                true
            }
            Value::Object(object) => object.borrow_mut().set(name, value),
            _ => false,
        };
        if done {
            return Ok(());
        }
        let mut record = ErrorRecord::runtime(
            "PropertyNotFound",
            format!(
                "The property '{name}' cannot be found on this object. Verify that the property exists and can be set."
            ),
        );
        record.pos = pos;
        Err(Signal::error(record))
    }

    /// `target[index]`
    pub(super) fn index(&mut self, target: &Value, index: &Value, pos: Pos) -> Run<Value> {
        if target.is_null() {
            let mut record = ErrorRecord::runtime("NullArray", "Cannot index into a null array.");
            record.pos = pos;
            return Err(Signal::error(record));
        }
        if let (Some(wanted), false) = (index.elements(), matches!(target, Value::Table(_))) {
            self.charge(wanted.len())?;
            let mut found = Vec::new();
            for index in wanted {
                match self.index(target, &index, pos)? {
                    Value::Null => {}
                    value => found.push(value),
                }
            }
            return Ok(Value::array(found));
        }
        Ok(match target {
            Value::Table(table) => {
                self.charge_size(table.borrow().entries.len())?;
                let table = table.borrow();
                match (index, table.ordered) {
                    (Value::Int(n), true) => {
                        position(*n, table.entries.len()).and_then(|i| table.entries.get(i)).map(|(_, v)| v.clone())
                    }
                    _ => table.get(index).cloned(),
                }
                .unwrap_or(Value::Null)
            }
            Value::Array(items) => {
                let n = self.to_int(index)?;
                let items = items.borrow();
                position(n, items.len()).and_then(|i| items.get(i)).cloned().unwrap_or(Value::Null)
            }
            Value::Str(text) => {
                let n = self.to_int(index)?;
                let chars: Vec<char> = text.chars().collect();
                match position(n, chars.len()).and_then(|i| chars.get(i)) {
                    Some(c) => Value::str(&c.to_string()),
                    None => Value::Null,
                }
            }
            Value::Bytes(bytes) => {
                let n = self.to_int(index)?;
                match position(n, bytes.len()).and_then(|i| bytes.get(i)) {
                    Some(b) => Value::Int(i64::from(*b)),
                    None => Value::Null,
                }
            }
            other => {
                let mut record = ErrorRecord::runtime(
                    "CannotIndex",
                    format!("Unable to index into an object of type {}.", other.type_name()),
                );
                record.pos = pos;
                return Err(Signal::error(record));
            }
        })
    }

    pub(super) fn set_index(&mut self, target: &Value, index: Value, value: Value, pos: Pos) -> Run<()> {
        self.charge(1)?;
        match target {
            Value::Table(table) => {
                self.charge_size(table.borrow().entries.len())?;
                table.borrow_mut().set(index, value);
                Ok(())
            }
            Value::Array(items) => {
                let n = self.to_int(&index)?;
                let mut items = items.borrow_mut();
                let length = items.len();
                match position(n, length).and_then(|i| items.get_mut(i)) {
                    Some(slot) => {
                        *slot = value;
                        Ok(())
                    }
                    None => {
                        let mut record = ErrorRecord::new(
                            "System.IndexOutOfRangeException",
                            "System.IndexOutOfRangeException",
                            "Index was outside the bounds of the array.",
                        )
                        .category(Category::OperationStopped);
                        record.pos = pos;
                        Err(Signal::error(record))
                    }
                }
            }
            other => {
                let mut record = ErrorRecord::runtime(
                    "CannotIndex",
                    format!("Unable to index into an object of type {}.", other.type_name()),
                );
                record.pos = pos;
                Err(Signal::error(record))
            }
        }
    }

    /// `[Type]::Name`
    pub(super) fn static_member(&mut self, target: &Expr, name: &str) -> Run<Value> {
        let ExprKind::Type(type_name) = &target.kind else {
            return Err(Signal::unsupported("A static member of something other than a type literal", target.pos));
        };
        let full = super::types::resolve(type_name)?;
        let lower = name.to_ascii_lowercase();
        match (full, lower.as_str()) {
            ("System.Text.Encoding", "utf8" | "unicode") => Ok(Value::object(
                if lower == "utf8" { "System.Text.UTF8Encoding" } else { "System.Text.UnicodeEncoding" },
                Vec::new(),
            )),
            ("System.DateTime", "utcnow") => Ok(Value::DateTime(self.machine.clock_time(), Zone::Utc)),
            ("System.DateTime", "now") => Ok(Value::DateTime(self.machine.clock_time(), Zone::Local)),
            ("System.Int32", "maxvalue") => Ok(Value::Int(i64::from(i32::MAX))),
            ("System.Environment", "newline") => Ok(Value::str("\r\n")),
            ("System.Environment", "machinename") => Ok(Value::str(&self.machine.read(|s| s.computer.name.clone()))),
            _ => Err(Signal::unsupported(format!("[{}]::{name}", type_name.name), target.pos)),
        }
    }
}

fn count(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// The position of an index; a negative one counts from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok()
    } else {
        length.checked_sub(usize::try_from(index.checked_neg()?).ok()?)
    }
}

fn error_member(record: &Rc<ErrorRecord>, name: &str) -> Option<Value> {
    let is = |wanted: &str| same_name(name, wanted);
    if is("Exception") {
        return Some(Value::object(
            record.exception,
            vec![
                ("Message", Value::str(&record.message)),
                ("HResult", Value::Int(i64::from(record.hresult))),
                ("InnerException", Value::Null),
            ],
        ));
    }
    if is("FullyQualifiedErrorId") {
        return Some(Value::str(&record.id));
    }
    if is("TargetObject") {
        return Some(record.thrown.clone().unwrap_or_else(|| Value::str(&record.target)));
    }
    if is("CategoryInfo") {
        return Some(Value::object(
            "System.Management.Automation.ErrorCategoryInfo",
            vec![
                ("Category", Value::str(record.category.as_str())),
                ("Reason", Value::str(&record.reason)),
                ("TargetName", Value::str(&record.target)),
            ],
        ));
    }
    if is("InvocationInfo") {
        return Some(Value::object(
            "System.Management.Automation.InvocationInfo",
            vec![
                ("ScriptLineNumber", Value::Int(i64::from(record.pos.line))),
                ("OffsetInLine", Value::Int(i64::from(record.pos.column))),
            ],
        ));
    }
    None
}

fn date_member(time: jiff::Timestamp, _zone: Zone, name: &str, pos: Pos) -> Run<Option<Value>> {
    let local = time.to_zoned(jiff::tz::TimeZone::UTC);
    let number = match name.to_ascii_lowercase().as_str() {
        "year" => i64::from(local.year()),
        "month" => i64::from(local.month()),
        "day" => i64::from(local.day()),
        "hour" => i64::from(local.hour()),
        "minute" => i64::from(local.minute()),
        "second" => i64::from(local.second()),
        _ => return Err(Signal::unsupported(format!("The property '{name}' of a date"), pos)),
    };
    Ok(Some(Value::Int(number)))
}
