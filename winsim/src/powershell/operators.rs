//! Binary operators: arithmetic, comparison, and those on lists.

use std::rc::Rc;

use super::ast::{BinaryOp, CaseRule, Comparison, Pos};
use super::convert::{Number, cannot_convert, enum_member};
use super::error::{ErrorRecord, Run, Signal};
use super::expressions::at;
use super::interpreter::Interpreter;
use super::value::{Object, Table, Value};

impl Interpreter {
    pub(super) fn binary(&mut self, op: BinaryOp, left: &Value, right: &Value, pos: Pos) -> Run<Value> {
        self.charge(1)?;
        self.binary_here(op, left, right, pos).map_err(|s| at(s, pos))
    }

    fn binary_here(&mut self, op: BinaryOp, left: &Value, right: &Value, pos: Pos) -> Run<Value> {
        match op {
            BinaryOp::Add => self.add(left, right),
            BinaryOp::Subtract => self.arithmetic(op, left, right, i64::checked_sub, |a, b| a - b),
            BinaryOp::Multiply => self.multiply(left, right),
            BinaryOp::Divide => self.divide(left, right),
            BinaryOp::Modulo => {
                if self.to_number(right) == Some(Number::Int(0)) {
                    return Err(Signal::error(divided_by_zero()));
                }
                self.arithmetic(op, left, right, i64::checked_rem, |a, b| a % b)
            }
            BinaryOp::Range => self.range(left, right),
            BinaryOp::Format => self.format(left, right, pos),
            BinaryOp::And => Ok(Value::Bool(left.is_true() && right.is_true())),
            BinaryOp::Or => Ok(Value::Bool(left.is_true() || right.is_true())),
            BinaryOp::Xor => Ok(Value::Bool(left.is_true() != right.is_true())),
            BinaryOp::Compare(comparison, case) => self.compare(comparison, case, left, right),
            BinaryOp::Replace(case) => self.replace(left, right, case),
            BinaryOp::Split(case) => self.split(left, right, case),
            BinaryOp::Join => {
                let separator = self.to_text(right);
                let parts: Vec<String> = left.enumerate().iter().map(|v| self.to_text(v)).collect();
                let text = parts.join(&separator);
                self.charge_size(text.len())?;
                Ok(Value::str(&text))
            }
            BinaryOp::Is => Ok(Value::Bool(self.is_type(left, right, pos)?)),
            BinaryOp::IsNot => Ok(Value::Bool(!self.is_type(left, right, pos)?)),
            BinaryOp::As => Err(Signal::unsupported("The operator '-as'", pos)),
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor | BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
                let (a, b) = (self.to_int(left)?, self.to_int(right)?);
                // A number of 32 bits stays one, and shifts by the low five bits of the count, as in .NET.
                let narrow = i32::try_from(a).ok();
                let places = u32::try_from(b & if narrow.is_some() { 31 } else { 63 }).unwrap_or(0);
                Ok(Value::Int(match (op, narrow) {
                    (BinaryOp::BitAnd, _) => a & b,
                    (BinaryOp::BitOr, _) => a | b,
                    (BinaryOp::BitXor, _) => a ^ b,
                    (BinaryOp::ShiftLeft, Some(n)) => i64::from(n.wrapping_shl(places)),
                    (BinaryOp::ShiftLeft, None) => a.wrapping_shl(places),
                    (_, Some(n)) => i64::from(n.wrapping_shr(places)),
                    (_, None) => a.wrapping_shr(places),
                }))
            }
        }
    }

    fn add(&mut self, left: &Value, right: &Value) -> Run<Value> {
        match left {
            Value::Array(items) => {
                let mut items = items.borrow().clone();
                match right.elements() {
                    Some(more) => items.extend(more),
                    None => items.push(if matches!(right, Value::Void) { Value::Null } else { right.clone() }),
                }
                self.charge_size(items.len() * 4)?;
                Ok(Value::array(items))
            }
            Value::Str(text) => {
                let joined = format!("{text}{}", self.to_text(right));
                self.charge_size(joined.len())?;
                Ok(Value::str(&joined))
            }
            Value::Table(table) => match right {
                Value::Table(more) => {
                    let mut sum = Table::clone(&table.borrow());
                    for (key, value) in &more.borrow().entries {
                        sum.set(key.clone(), value.clone());
                    }
                    self.charge_size(sum.entries.len() * 16)?;
                    Ok(Value::table(sum))
                }
                _ => Err(Signal::error(ErrorRecord::runtime(
                    "AddHashTableToNonHashTable",
                    "A hash table can only be added to another hash table.",
                ))),
            },
            // Nothing plus a value is that value, whatever its type.
            Value::Null | Value::Void => Ok(right.clone()),
            _ => self.arithmetic(BinaryOp::Add, left, right, i64::checked_add, |a, b| a + b),
        }
    }

    fn multiply(&mut self, left: &Value, right: &Value) -> Run<Value> {
        if let Value::Str(text) = left {
            let times = usize::try_from(self.to_int(right)?).map_err(|_| {
                Signal::error(ErrorRecord::runtime(
                    "ArgumentOutOfRange",
                    "Specified argument was out of the range of valid values.\r\nParameter name: times",
                ))
            })?;
            self.charge_size(text.len().saturating_mul(times))?;
            return Ok(Value::str(&text.repeat(times)));
        }
        self.arithmetic(BinaryOp::Multiply, left, right, i64::checked_mul, |a, b| a * b)
    }

    fn divide(&mut self, left: &Value, right: &Value) -> Run<Value> {
        if self.to_number(right) == Some(Number::Int(0)) {
            return Err(Signal::error(divided_by_zero()));
        }
        // Whole numbers that do not divide evenly give a fraction.
        let exact = |a: i64, b: i64| if a.checked_rem(b) == Some(0) { a.checked_div(b) } else { None };
        self.arithmetic(BinaryOp::Divide, left, right, exact, |a, b| a / b)
    }

    fn arithmetic(
        &self,
        op: BinaryOp,
        left: &Value,
        right: &Value,
        whole: impl Fn(i64, i64) -> Option<i64>,
        fraction: impl Fn(f64, f64) -> f64,
    ) -> Run<Value> {
        if matches!(left, Value::DateTime(..)) || matches!(right, Value::DateTime(..)) {
            return Err(Signal::unsupported("Arithmetic on dates", Pos::default()));
        }
        let (Some(a), Some(b)) = (self.arithmetic_operand(left), self.arithmetic_operand(right)) else {
            // Text that is no number is a failed conversion; other types do not know the operator at all.
            if let (Some(_), Value::Str(text)) = (self.arithmetic_operand(left), right) {
                return Err(Signal::error(cannot_convert(text, "System.String", "System.Int32")));
            }
            let name = left.type_name();
            return Err(Signal::error(ErrorRecord::runtime(
                "MethodNotFound",
                format!(
                    "Method invocation failed because [{name}] does not contain a method named '{}'.",
                    method_of(op)
                ),
            )));
        };
        if let (Number::Int(a), Number::Int(b)) = (a, b)
            && let Some(result) = whole(a, b)
        {
            return Ok(Value::Int(result));
        }
        Ok(Value::Double(fraction(as_double(a), as_double(b))))
    }

    fn arithmetic_operand(&self, value: &Value) -> Option<Number> {
        match value {
            Value::Array(_) | Value::Table(_) | Value::Object(_) => None,
            other => self.to_number(other),
        }
    }

    fn range(&mut self, left: &Value, right: &Value) -> Run<Value> {
        let (from, to) = (self.to_int(left)?, self.to_int(right)?);
        let length = to.abs_diff(from).min(u64::MAX - 1) + 1;
        self.charge(usize::try_from(length).unwrap_or(usize::MAX))?;
        let items: Vec<Value> = if from <= to {
            (from..=to).map(Value::Int).collect()
        } else {
            (to..=from).rev().map(Value::Int).collect()
        };
        Ok(Value::array(items))
    }

    pub(super) fn compare(
        &mut self,
        comparison: Comparison,
        case: CaseRule,
        left: &Value,
        right: &Value,
    ) -> Run<Value> {
        let respect = case == CaseRule::Respect;
        match comparison {
            Comparison::Contains => return Ok(Value::Bool(self.contains(left, right, respect)?)),
            Comparison::NotContains => return Ok(Value::Bool(!self.contains(left, right, respect)?)),
            Comparison::In => return Ok(Value::Bool(self.contains(right, left, respect)?)),
            Comparison::NotIn => return Ok(Value::Bool(!self.contains(right, left, respect)?)),
            _ => {}
        }
        // On a list the operator filters.
        if let Some(items) = left.elements() {
            self.charge(items.len())?;
            let mut kept = Vec::new();
            for item in items {
                if self.holds(comparison, respect, &item, right)? {
                    kept.push(item);
                }
            }
            return Ok(Value::array(kept));
        }
        let holds = self.holds(comparison, respect, left, right)?;
        if holds && comparison == Comparison::Match {
            self.set_matches(left, right, respect)?;
        }
        Ok(Value::Bool(holds))
    }

    fn contains(&mut self, list: &Value, wanted: &Value, respect: bool) -> Run<bool> {
        let items = match list.elements() {
            Some(items) => items,
            None => vec![list.clone()],
        };
        self.charge(items.len())?;
        Ok(items.iter().any(|item| self.equals(item, wanted, respect)))
    }

    fn holds(&mut self, comparison: Comparison, respect: bool, left: &Value, right: &Value) -> Run<bool> {
        Ok(match comparison {
            Comparison::Eq => self.equals(left, right, respect),
            Comparison::Ne => !self.equals(left, right, respect),
            Comparison::Gt => self.order(left, right, respect)?.is_gt(),
            Comparison::Ge => self.order(left, right, respect)?.is_ge(),
            Comparison::Lt => self.order(left, right, respect)?.is_lt(),
            Comparison::Le => self.order(left, right, respect)?.is_le(),
            Comparison::Like | Comparison::NotLike => {
                let (text, pattern) = (self.to_text(left), self.to_text(right));
                self.charge_size(text.len() + pattern.len())?;
                let matched = super::wildcard::matches(&pattern, &text, respect);
                matched == (comparison == Comparison::Like)
            }
            Comparison::Match | Comparison::NotMatch => {
                let text = self.to_text(left);
                let regex = self.regex(&self.to_text(right), respect)?;
                self.charge_size(text.len())?;
                let matched = regex.is_match(&text);
                matched == (comparison == Comparison::Match)
            }
            Comparison::Contains | Comparison::NotContains | Comparison::In | Comparison::NotIn => {
                self.contains(left, right, respect)?
            }
        })
    }

    /// `-eq` of two single values: the right one is converted to the type of the left.
    pub(super) fn equals(&self, left: &Value, right: &Value, respect: bool) -> bool {
        match (left, right) {
            (l, r) if l.is_null() || r.is_null() => l.is_null() && r.is_null(),
            (Value::Str(a), _) => same_text(a, &self.to_text(right), respect),
            (Value::Bool(a), _) => *a == right.is_true(),
            (Value::Int(_) | Value::Double(_), _) => match (self.to_number(left), self.to_number(right)) {
                (Some(a), Some(b)) => same_number(a, b),
                _ => false,
            },
            (Value::Enum(a), _) => {
                matches!(enum_member(right, a.members, a.type_name), Some(Value::Enum(b)) if b.number == a.number)
            }
            (Value::DateTime(a, _), Value::DateTime(b, _)) => a == b,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => Rc::ptr_eq(a, b),
            (Value::Table(a), Value::Table(b)) => Rc::ptr_eq(a, b),
            (Value::Object(a), Value::Object(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The order of two values, the right one converted to the type of the left.
    pub(super) fn order(&self, left: &Value, right: &Value, respect: bool) -> Run<std::cmp::Ordering> {
        use std::cmp::Ordering;
        match (left, right) {
            (Value::Str(a), _) => {
                let b = self.to_text(right);
                Ok(if respect { a.as_ref().cmp(b.as_str()) } else { a.to_lowercase().cmp(&b.to_lowercase()) })
            }
            (Value::DateTime(a, _), Value::DateTime(b, _)) => Ok(a.cmp(b)),
            _ => match (self.arithmetic_operand(left), self.arithmetic_operand(right)) {
                (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(a.cmp(&b)),
                (Some(a), Some(b)) => Ok(as_double(a).partial_cmp(&as_double(b)).unwrap_or(Ordering::Less)),
                _ => {
                    let text = self.to_text(left);
                    Err(Signal::error(ErrorRecord::runtime(
                        "NotIcomparable",
                        format!("Cannot compare \"{text}\" because it is not IComparable."),
                    )))
                }
            },
        }
    }

    fn is_type(&self, left: &Value, right: &Value, pos: Pos) -> Run<bool> {
        let Value::Type(wanted) = right else {
            return Err(Signal::unsupported("-is with something other than a type literal", pos));
        };
        let custom =
            matches!(left, Value::Object(o) if Object::clone(&o.borrow()).type_name == super::value::CUSTOM_OBJECT);
        Ok(match *wanted {
            "System.Object" => !left.is_null(),
            "System.Management.Automation.PSObject" => custom,
            name => left.type_name() == name,
        })
    }
}

fn method_of(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "op_Addition",
        BinaryOp::Subtract => "op_Subtraction",
        BinaryOp::Multiply => "op_Multiply",
        BinaryOp::Modulo => "op_Modulus",
        _ => "op_Division",
    }
}

fn divided_by_zero() -> ErrorRecord {
    ErrorRecord::runtime("RuntimeException", "Attempted to divide by zero.")
        .category(super::error::Category::NotSpecified)
}

#[allow(clippy::cast_precision_loss)] // as .NET does
fn as_double(n: Number) -> f64 {
    match n {
        Number::Int(n) => n as f64,
        Number::Double(n) => n,
    }
}

#[allow(clippy::float_cmp)] // equality is what was asked for
fn same_number(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a == b,
        (a, b) => as_double(a) == as_double(b),
    }
}

fn same_text(a: &str, b: &str, respect: bool) -> bool {
    if respect { a == b } else { super::value::same_name(a, b) }
}
