//! Reading a mapping field by field, so that each complaint stands at the value it is about.

use crate::document::{Data, Entry, Node, Position};
use crate::suggest;

/// One thing that is wrong with a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: Position,
    /// The path inside the rule, for callers that hold it as JSON.
    pub(crate) field: String,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl Problem {
    pub(crate) fn new(at: Position, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at, field: field.into(), message: message.into(), suggestion: None }
    }

    pub(crate) fn suggesting(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

/// A mapping and the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    entries: &'a [Entry],
    pub(crate) at: Position,
    path: String,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(node: &'a Node, path: impl Into<String>, what: &str) -> Result<Self, Problem> {
        let path = path.into();
        match &node.data {
            Data::Map(entries) => Ok(Self { entries, at: node.at, path }),
            _ => Err(Problem::new(node.at, path, format!("{what} must be a mapping, not {}", node.kind()))),
        }
    }

    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// Refuses keys that mean nothing here.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            None => Ok(()),
            Some(entry) => {
                let message = format!("unknown field {:?}", entry.key);
                let suggestion = suggest::did_you_mean(&entry.key, known.iter().copied());
                Err(Problem::new(entry.at, self.path(&entry.key), message).suggesting(suggestion))
            }
        }
    }

    /// A key without a value counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (entry.value.data != Data::Null).then_some(&entry.value)
    }

    pub(crate) fn required(&self, key: &str) -> Result<&'a Node, Problem> {
        self.get(key).ok_or_else(|| {
            let at = self.entries.iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.at);
            let path = self.path(key);
            let message = format!("{path} is missing");
            Problem::new(at, path, message)
        })
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, Problem> {
        self.get(key).map(|node| text(node, &self.path(key))).transpose()
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Problem> {
        let read = |node: &Node| match node.data {
            Data::Bool(flag) => Ok(flag),
            _ => {
                let path = self.path(key);
                let message = format!("{path} must be true or false, not {}", node.kind());
                Err(Problem::new(node.at, path, message))
            }
        };
        self.get(key).map(read).transpose()
    }

    pub(crate) fn whole_number(&self, key: &str) -> Result<Option<u32>, Problem> {
        let read = |node: &Node| {
            let number = match &node.data {
                Data::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
                _ => None,
            };
            number.ok_or_else(|| {
                let path = self.path(key);
                let message = format!("{path} must be a whole number from 0 to {}", u32::MAX);
                Problem::new(node.at, path, message)
            })
        };
        self.get(key).map(read).transpose()
    }

    /// A list; absent is `None`, and a single value is not a list.
    pub(crate) fn list(&self, key: &str) -> Result<Option<Vec<(String, &'a Node)>>, Problem> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let path = self.path(key);
        match &node.data {
            Data::List(items) => {
                Ok(Some(items.iter().enumerate().map(|(n, item)| (format!("{path}[{n}]"), item)).collect()))
            }
            _ => {
                let message = format!("{path} must be a list, not {}", node.kind());
                Err(Problem::new(node.at, path, message))
            }
        }
    }
}

/// A text that is not blank.
pub(crate) fn text<'a>(node: &'a Node, path: &str) -> Result<&'a str, Problem> {
    match &node.data {
        Data::Text(text) if !text.trim().is_empty() => Ok(text),
        Data::Text(_) => Err(Problem::new(node.at, path, format!("{path} is empty"))),
        _ => Err(Problem::new(node.at, path, format!("{path} must be a text, not {}", node.kind()))),
    }
}
