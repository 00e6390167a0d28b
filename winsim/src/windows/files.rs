//! The file system, as far as scripts use it: folders and text files, and who may write where.
//!
//! A path is compared without regard to case, and kept as it was written. What matters about access here is one thing:
//! whether ordinary users may create something in a folder, because a result that they could write proves nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ledger::{Change, Subsystem};

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The path as it was first written.
    pub path: String,
    /// A file's text; none for a folder.
    pub text: Option<String>,
    /// Whether ordinary users may write it, or (a folder) create something in it. New ones take it from their folder.
    pub users_may_write: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The path, or the folder it should lie in, does not exist.
    NotFound,
    /// It exists, and was not to be replaced.
    Exists,
    /// A folder where a file is needed, or the other way round.
    WrongKind,
    /// A folder that is not empty, and was not to be removed with what it holds.
    NotEmpty,
}

/// All files and folders.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Files {
    nodes: BTreeMap<String, Node>,
}

/// Most characters in a file, so that a script cannot exhaust the server.
pub(crate) const LONGEST_FILE: usize = 1 << 20;

/// Most files and folders.
const MOST_NODES: usize = 2_000;

/// How a path is found: lower case, one kind of separator, none at the end.
fn key(path: &str) -> String {
    let path = path.replace('/', "\\").to_lowercase();
    match path.trim_end_matches('\\') {
        drive if drive.len() == 2 && drive.ends_with(':') => format!("{drive}\\"),
        other => other.to_owned(),
    }
}

fn parent(key: &str) -> Option<String> {
    let (folder, name) = key.rsplit_once('\\')?;
    if name.is_empty() {
        return None;
    }
    Some(if folder.ends_with(':') { format!("{folder}\\") } else { folder.to_owned() })
}

impl Files {
    /// The folders that every Windows has.
    pub(crate) fn healthy() -> Self {
        let mut nodes = BTreeMap::new();
        for (path, users_may_write) in [
            // Users may create folders in the root of the system drive, and anything in the two below it.
            ("C:\\", true),
            ("C:\\ProgramData", true),
            ("C:\\Windows", false),
            ("C:\\Windows\\System32", false),
            ("C:\\Windows\\Temp", true),
        ] {
            nodes.insert(key(path), Node { path: path.to_owned(), text: None, users_may_write });
        }
        Self { nodes }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&key(path))
    }

    /// What lies in a folder, not in those below it.
    pub(crate) fn children(&self, path: &str) -> Vec<Node> {
        let folder = key(path);
        self.nodes.iter().filter(|(k, _)| parent(k).as_deref() == Some(&*folder)).map(|(_, n)| n.clone()).collect()
    }

    /// Everything, for tests that look whether something was left behind.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.nodes.values().map(|n| n.path.clone()).collect()
    }

    /// Whether ordinary users may write at this path; none if there is nothing.
    #[must_use]
    pub fn users_may_write(&self, path: &str) -> Option<bool> {
        self.get(path).map(|n| n.users_may_write)
    }

    /// Makes a folder, with `all` those above it as well.
    pub(crate) fn make_folder(&mut self, path: &str, all: bool) -> (Vec<Change>, Result<(), Refusal>) {
        match self.get(path) {
            Some(node) if node.text.is_none() && all => return (Vec::new(), Ok(())),
            Some(_) => return (Vec::new(), Err(Refusal::Exists)),
            None => {}
        }
        let mut missing = vec![key(path)];
        while let Some(above) = missing.last().and_then(|k| parent(k)) {
            if self.nodes.contains_key(&above) {
                break;
            }
            missing.push(above);
        }
        if missing.len() > 1 && !all {
            return (Vec::new(), Err(Refusal::NotFound));
        }
        let mut changes = Vec::new();
        for step in missing.iter().rev() {
            let written = path.get(..step.len()).unwrap_or(path);
            match self.add(written, None) {
                Ok(change) => changes.push(change),
                Err(refusal) => return (changes, Err(refusal)),
            }
        }
        (changes, Ok(()))
    }

    /// Writes a file whole, over one that there was.
    pub(crate) fn write(&mut self, path: &str, text: &str) -> Result<Option<Change>, Refusal> {
        match self.nodes.get_mut(&key(path)) {
            None => self.add(path, Some(text)).map(Some),
            Some(Node { text: None, .. }) => Err(Refusal::WrongKind),
            Some(Node { path, text: Some(old), .. }) => {
                let from = std::mem::replace(old, text.to_owned());
                let path = path.clone();
                Ok((from != text).then(|| change(&path, "text", &size(&from), &size(text))))
            }
        }
    }

    fn add(&mut self, path: &str, text: Option<&str>) -> Result<Change, Refusal> {
        let key = key(path);
        let folder = parent(&key).and_then(|p| self.nodes.get(&p)).ok_or(Refusal::NotFound)?;
        if folder.text.is_some() || self.nodes.len() >= MOST_NODES {
            return Err(Refusal::WrongKind);
        }
        let users_may_write = folder.users_may_write;
        let path = path.trim_end_matches('\\').to_owned();
        let change = change(&path, "exists", "false", "true");
        self.nodes.insert(key, Node { path, text: text.map(str::to_owned), users_may_write });
        Ok(change)
    }

    /// Removes a file, or a folder; with `all`, one that is not empty with everything in it.
    pub(crate) fn remove(&mut self, path: &str, all: bool) -> (Vec<Change>, Result<(), Refusal>) {
        if self.get(path).is_none() {
            return (Vec::new(), Err(Refusal::NotFound));
        }
        let inside: Vec<String> = {
            let prefix = format!("{}\\", key(path));
            self.nodes.keys().filter(|k| k.starts_with(&prefix)).cloned().collect()
        };
        if !inside.is_empty() && !all {
            return (Vec::new(), Err(Refusal::NotEmpty));
        }
        let gone = inside.into_iter().rev().chain([key(path)]).filter_map(|k| self.nodes.remove(&k));
        (gone.map(|node| change(&node.path, "exists", "true", "false")).collect(), Ok(()))
    }
}

/// What the ledger says of a text: not the text itself, which can be long.
fn size(text: &str) -> String {
    format!("{} characters", text.chars().count())
}

fn change(object: &str, property: &'static str, from: &str, to: &str) -> Change {
    Change {
        subsystem: Subsystem::Tasks,
        object: object.to_owned(),
        property,
        // Two texts of one length are still a change.
        from: from.to_owned(),
        to: if from == to { format!("{to}, changed") } else { to.to_owned() },
    }
}
