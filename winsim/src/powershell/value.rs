//! Values as PowerShell has them: scalars, arrays, tables, objects, and how each is true, text and enumerable.
//!
//! Arrays, tables and objects are references, as in .NET: two variables can name the same one. Values never leave the
//! thread of the script that made them.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::Timestamp;

use super::ast::Block;
use super::com::ComObject;
use super::error::ErrorRecord;

/// Any value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    /// What a command without output is worth: null, except that a pipeline sees no value where null is one.
    Void,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(Rc<str>),
    Array(Rc<RefCell<Vec<Value>>>),
    Bytes(Rc<[u8]>),
    Table(Rc<RefCell<Table>>),
    Object(Rc<RefCell<Object>>),
    Enum(Rc<EnumValue>),
    DateTime(Timestamp, Zone),
    ScriptBlock(Rc<Block>),
    /// A type literal, by its full .NET name.
    Type(&'static str),
    Error(Rc<ErrorRecord>),
    /// A COM object.
    Com(Rc<dyn ComObject>),
}

/// Which clock a `DateTime` shows. The simulated server lives in UTC, so both show the same hour, but print differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Local,
    Utc,
}

/// A member of a .NET enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnumValue {
    pub(crate) type_name: &'static str,
    pub(crate) name: &'static str,
    pub(crate) number: i64,
    /// All names of the enumeration with their numbers, for conversions.
    pub(crate) members: &'static [(&'static str, i64)],
}

/// `@{}` and `[ordered]@{}`. String keys are found whatever their case. Both keep the order of insertion; the order of a
/// real hashtable is arbitrary, so scripts must not lean on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) ordered: bool,
    pub(crate) entries: Vec<(Value, Value)>,
}

impl Table {
    pub(crate) fn get(&self, key: &Value) -> Option<&Value> {
        self.entries.iter().find(|(k, _)| same_key(k, key)).map(|(_, v)| v)
    }

    pub(crate) fn set(&mut self, key: Value, value: Value) {
        match self.entries.iter_mut().find(|(k, _)| same_key(k, &key)) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    pub(crate) fn remove(&mut self, key: &Value) {
        self.entries.retain(|(k, _)| !same_key(k, key));
    }
}

fn same_key(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => same_name(a, b),
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Enum(a), Value::Enum(b)) => a == b,
        _ => false,
    }
}

/// Whether two names are the same to PowerShell, which ignores case.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.to_lowercase() == b.to_lowercase()
}

/// An object with named properties: a `PSCustomObject`, or what a cmdlet returned.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) type_name: &'static str,
    pub(crate) properties: Vec<(Rc<str>, Value)>,
}

/// The type of objects that scripts make themselves.
pub(crate) const CUSTOM_OBJECT: &str = "System.Management.Automation.PSCustomObject";

impl Object {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.properties.iter().find(|(n, _)| same_name(n, name)).map(|(_, v)| v)
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) -> bool {
        match self.properties.iter_mut().find(|(n, _)| same_name(n, name)) {
            Some(property) => {
                property.1 = value;
                true
            }
            None => false,
        }
    }
}

impl Value {
    pub(crate) fn str(text: &str) -> Self {
        Self::Str(Rc::from(text))
    }

    pub(crate) fn array(items: Vec<Self>) -> Self {
        Self::Array(Rc::new(RefCell::new(items)))
    }

    pub(crate) fn table(table: Table) -> Self {
        Self::Table(Rc::new(RefCell::new(table)))
    }

    pub(crate) fn object(type_name: &'static str, properties: Vec<(&str, Self)>) -> Self {
        let properties = properties.into_iter().map(|(n, v)| (Rc::from(n), v)).collect();
        Self::Object(Rc::new(RefCell::new(Object { type_name, properties })))
    }

    /// What a pipeline that produced these values is worth as an expression: nothing, the one value, or an array.
    pub(crate) fn from_output(mut items: Vec<Self>) -> Self {
        match items.len() {
            0 => Self::Void,
            1 => items.swap_remove(0),
            _ => Self::array(items),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Void)
    }

    /// PowerShell's truth: empty text, zero, null and an array of one false value are false.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Null | Self::Void => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Double(n) => *n != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::Array(items) => {
                let items = items.borrow();
                match items.as_slice() {
                    [] => false,
                    // One level only, as the real conversion does: an array in the array counts by its length.
                    [Self::Array(inner)] => !inner.borrow().is_empty(),
                    [one] => one.is_true(),
                    _ => true,
                }
            }
            Self::Bytes(bytes) => match bytes.as_ref() {
                [] => false,
                [one] => *one != 0,
                _ => true,
            },
            Self::Enum(e) => e.number != 0,
            Self::Table(_)
            | Self::Object(_)
            | Self::DateTime(..)
            | Self::ScriptBlock(_)
            | Self::Type(_)
            | Self::Error(_)
            | Self::Com(_) => true,
        }
    }

    /// The values a pipeline or `foreach` sees: null none, a scalar one, an array its elements; tables are one value.
    pub(crate) fn enumerate(&self) -> Vec<Self> {
        match self {
            Self::Null | Self::Void => Vec::new(),
            Self::Array(items) => items.borrow().clone(),
            Self::Bytes(bytes) => bytes.iter().map(|b| Self::Int(i64::from(*b))).collect(),
            Self::Com(object) => object.items().unwrap_or_else(|| vec![self.clone()]),
            other => vec![other.clone()],
        }
    }

    /// The elements when the value is a collection for `-contains`, `-join` and the like.
    pub(crate) fn elements(&self) -> Option<Vec<Self>> {
        matches!(self, Self::Array(_) | Self::Bytes(_)).then(|| self.enumerate())
    }

    /// The full .NET name of the value's type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null | Self::Void => "",
            Self::Bool(_) => "System.Boolean",
            Self::Int(n) if i32::try_from(*n).is_ok() => "System.Int32",
            Self::Int(_) => "System.Int64",
            Self::Double(_) => "System.Double",
            Self::Str(_) => "System.String",
            Self::Array(_) => "System.Object[]",
            Self::Bytes(_) => "System.Byte[]",
            Self::Table(t) if t.borrow().ordered => "System.Collections.Specialized.OrderedDictionary",
            Self::Table(_) => "System.Collections.Hashtable",
            Self::Object(o) => o.borrow().type_name,
            Self::Enum(e) => e.type_name,
            Self::DateTime(..) => "System.DateTime",
            Self::ScriptBlock(_) => "System.Management.Automation.ScriptBlock",
            Self::Type(_) => "System.RuntimeType",
            Self::Error(_) => "System.Management.Automation.ErrorRecord",
            Self::Com(_) => "System.__ComObject",
        }
    }
}
