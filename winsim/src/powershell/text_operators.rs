//! Operators on text that take a regular expression: `-match` and its `$Matches`, `-replace`, `-split`.

use regex::RegexBuilder;

use super::ast::{CaseRule, Pos};
use super::error::{Run, Signal};
use super::interpreter::Interpreter;
use super::value::{Table, Value};

impl Interpreter {
    /// `$Matches`, after a text matched: the whole under 0, each group under its name or number.
    pub(super) fn set_matches(&mut self, left: &Value, right: &Value, respect: bool) -> Run<()> {
        let text = self.to_text(left);
        let regex = self.regex(&self.to_text(right), respect)?;
        let mut table = Table::default();
        if let Some(captures) = regex.captures(&text) {
            for (index, name) in regex.capture_names().enumerate() {
                let key = match name {
                    Some(name) => Value::str(name),
                    None => Value::Int(i64::try_from(index).unwrap_or(i64::MAX)),
                };
                if let Some(group) = captures.get(index) {
                    table.set(key, Value::str(group.as_str()));
                }
            }
        }
        self.set_local("matches", Value::table(table));
        Ok(())
    }

    /// A regular expression of .NET's syntax, as far as the two syntaxes agree.
    pub(super) fn regex(&mut self, pattern: &str, respect: bool) -> Run<regex::Regex> {
        self.charge_size(pattern.len() * 64)?;
        RegexBuilder::new(pattern).case_insensitive(!respect).size_limit(1 << 20).build().map_err(|error| {
            // Look-around and back-references are .NET's but not this engine's: no guess, a loud stop.
            Signal::unsupported(format!("The regular expression '{pattern}' ({error})"), Pos::default())
        })
    }

    pub(super) fn replace(&mut self, left: &Value, right: &Value, case: CaseRule) -> Run<Value> {
        let (pattern, with) = match right.elements() {
            Some(parts) => (
                parts.first().map_or_else(String::new, |v| self.to_text(v)),
                parts.get(1).map_or_else(String::new, |v| self.to_text(v)),
            ),
            None => (self.to_text(right), String::new()),
        };
        let regex = self.regex(&pattern, case == CaseRule::Respect)?;
        let with = substitution(&with);
        let mut replaced = Vec::new();
        for item in left.elements().unwrap_or_else(|| vec![left.clone()]) {
            let text = self.to_text(&item);
            let result = regex.replace_all(&text, with.as_str()).into_owned();
            self.charge_size(text.len() + result.len())?;
            replaced.push(Value::str(&result));
        }
        Ok(match left {
            Value::Array(_) => Value::array(replaced),
            _ => Value::from_output(replaced),
        })
    }

    pub(super) fn split(&mut self, left: &Value, right: &Value, case: CaseRule) -> Run<Value> {
        if right.elements().is_some() {
            return Err(Signal::unsupported("-split with more than a separator", Pos::default()));
        }
        let regex = self.regex(&self.to_text(right), case == CaseRule::Respect)?;
        let mut parts = Vec::new();
        for item in left.elements().unwrap_or_else(|| vec![left.clone()]) {
            let text = self.to_text(&item);
            self.charge_size(text.len())?;
            parts.extend(regex.split(&text).map(Value::str));
        }
        self.charge(parts.len())?;
        Ok(Value::array(parts))
    }
}

/// .NET's `$1x` is group 1 and an x; to the engine here that takes braces.
fn substitution(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        if c != '$' {
            continue;
        }
        match rest.peek() {
            Some(digit) if digit.is_ascii_digit() => {
                out.push('{');
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
                out.push('}');
            }
            Some('&') => {
                rest.next();
                out.push_str("{0}");
            }
            Some('{' | '$') => out.extend(rest.next()),
            // A dollar sign that means nothing stands for itself.
            _ => out.push('$'),
        }
    }
    out
}
