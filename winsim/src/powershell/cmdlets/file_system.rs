//! Files and folders: `Set-Content`, `Get-Content -Raw`, `New-Item`, `Remove-Item`, `Get-ChildItem`, `Test-Path`, `Join-Path`.
//!
//! Paths of a drive go to the machine's files; `Test-Path` also answers for keys of the registry.

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{Value, same_name};
use super::super::wildcard;
use super::{Action, Cmdlet, Parameter, named, positional, switch};
use crate::windows::files::{LONGEST_FILE, Node, Refusal};

/// `-Path` and `-LiteralPath`: no wildcards are expanded here, so the two are one.
const PATH: Parameter =
    Parameter { name: "Path", aliases: &["LiteralPath", "PSPath", "FullName"], switch: false, position: Some(0) };

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "Test-Path",
        class: "Microsoft.PowerShell.Commands.TestPathCommand",
        parameters: &[PATH, named("PathType")],
        action: Action::Whole(test_path),
    },
    Cmdlet {
        name: "Join-Path",
        class: "Microsoft.PowerShell.Commands.JoinPathCommand",
        parameters: &[positional("Path", 0), positional("ChildPath", 1)],
        action: Action::Whole(join_path),
    },
    Cmdlet {
        name: "New-Item",
        class: "Microsoft.PowerShell.Commands.NewItemCommand",
        parameters: &[PATH, named("ItemType"), named("Value"), switch("Force")],
        action: Action::Whole(new_item),
    },
    Cmdlet {
        name: "Remove-Item",
        class: "Microsoft.PowerShell.Commands.RemoveItemCommand",
        parameters: &[PATH, switch("Recurse"), switch("Force")],
        action: Action::Whole(remove_item),
    },
    Cmdlet {
        name: "Get-ChildItem",
        class: "Microsoft.PowerShell.Commands.GetChildItemCommand",
        parameters: &[PATH, switch("Force"), switch("File"), switch("Directory")],
        action: Action::Whole(get_child_item),
    },
    Cmdlet {
        name: "Set-Content",
        class: "Microsoft.PowerShell.Commands.SetContentCommand",
        parameters: &[PATH, positional("Value", 1), named("Encoding"), switch("Force")],
        action: Action::Whole(set_content),
    },
    Cmdlet {
        name: "Get-Content",
        class: "Microsoft.PowerShell.Commands.GetContentCommand",
        parameters: &[PATH, switch("Raw"), named("Encoding")],
        action: Action::Whole(get_content),
    },
];

/// What a path names.
enum Place {
    File(String),
    Key(String),
}

fn place(interp: &Interpreter, bound: &Bound) -> Run<Place> {
    let path = bound.get("Path").map(|v| interp.to_text(v)).unwrap_or_default();
    let upper = path.to_ascii_uppercase();
    if wildcard::is_pattern(&path) {
        return Err(Signal::unsupported(format!("The pattern '{path}' as a path"), bound.pos));
    }
    if upper.starts_with("HKLM:\\") {
        return Ok(Place::Key(path.get(6..).unwrap_or_default().trim_end_matches('\\').to_owned()));
    }
    if upper.starts_with("C:\\") && !path.contains("..") {
        return Ok(Place::File(path));
    }
    Err(Signal::unsupported(format!("The path '{path}'"), bound.pos))
}

/// The path of a file or folder.
fn file(interp: &Interpreter, bound: &Bound) -> Run<String> {
    match place(interp, bound)? {
        Place::File(path) => Ok(path),
        Place::Key(key) => Err(Signal::unsupported(format!("{} of the key '{key}'", bound.cmdlet.name), bound.pos)),
    }
}

fn test_path(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let kind = bound.get("PathType").map(|v| interp.to_text(v));
    let found = match place(interp, bound)? {
        Place::Key(key) => super::registry::exists(interp, &key),
        Place::File(path) => {
            let node = interp.machine.read(|s| s.files.get(&path).cloned());
            node.is_some_and(|n| match kind.as_deref() {
                Some(kind) if same_name(kind, "Leaf") => n.text.is_some(),
                Some(kind) if same_name(kind, "Container") => n.text.is_none(),
                _ => true,
            })
        }
    };
    out.push(interp, Value::Bool(found))
}

fn join_path(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let path = bound.get("Path").map(|v| interp.to_text(v)).unwrap_or_default();
    let child = bound.get("ChildPath").map(|v| interp.to_text(v)).unwrap_or_default();
    let joined = format!("{}\\{}", path.trim_end_matches('\\'), child.trim_start_matches('\\'));
    out.push(interp, Value::str(&joined))
}

fn as_object(node: &Node) -> Value {
    let name = node.path.rsplit('\\').next().unwrap_or(&node.path);
    let type_name = if node.text.is_some() { "System.IO.FileInfo" } else { "System.IO.DirectoryInfo" };
    Value::object(
        type_name,
        vec![
            ("Name", Value::str(name)),
            ("FullName", Value::str(&node.path)),
            ("PSIsContainer", Value::Bool(node.text.is_none())),
        ],
    )
}

/// A refusal in PowerShell's words.
fn refused(interp: &mut Interpreter, bound: &Bound, path: &str, refusal: Refusal) -> Run<()> {
    let class = bound.cmdlet.class;
    let (exception, id, message, category) = match refusal {
        Refusal::NotFound => (
            "System.Management.Automation.ItemNotFoundException",
            "PathNotFound",
            format!("Cannot find path '{path}' because it does not exist."),
            Category::ObjectNotFound,
        ),
        Refusal::Exists => (
            "System.IO.IOException",
            "DirectoryExist",
            format!("An item with the specified name {path} already exists."),
            Category::InvalidOperation,
        ),
        Refusal::WrongKind => (
            "System.UnauthorizedAccessException",
            "GetContentWriterUnauthorizedAccessError",
            format!("Access to the path '{path}' is denied."),
            Category::NotSpecified,
        ),
        Refusal::NotEmpty => (
            "System.Management.Automation.PSInvalidOperationException",
            "InvalidOperation",
            "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.".to_owned(),
            Category::InvalidOperation,
        ),
    };
    let record =
        ErrorRecord::new(exception, &format!("{id},{class}"), message).category(category).target(path, "System.String");
    interp.cmdlet_error(bound, record)
}

fn new_item(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let path = file(interp, bound)?;
    let kind = bound.get("ItemType").map(|v| interp.to_text(v)).unwrap_or_default();
    if !same_name(&kind, "Directory") {
        return Err(Signal::unsupported(format!("New-Item -ItemType '{kind}'"), bound.pos));
    }
    let force = bound.switch("Force");
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| s.files.make_folder(&path, force));
    if let Err(refusal) = result {
        return refused(interp, bound, &path, refusal);
    }
    match interp.machine.read(|s| s.files.get(&path).cloned()) {
        Some(node) => out.push(interp, as_object(&node)),
        None => Ok(()),
    }
}

fn remove_item(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let path = file(interp, bound)?;
    let all = bound.switch("Recurse");
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| s.files.remove(&path, all));
    match result {
        Ok(()) => Ok(()),
        Err(refusal) => refused(interp, bound, &path, refusal),
    }
}

fn get_child_item(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let path = file(interp, bound)?;
    if interp.machine.read(|s| s.files.get(&path).is_none()) {
        return refused(interp, bound, &path, Refusal::NotFound);
    }
    let (files, folders) = (bound.switch("File"), bound.switch("Directory"));
    for node in interp.machine.read(|s| s.files.children(&path)) {
        let is_file = node.text.is_some();
        if (is_file && !folders) || (!is_file && !files) {
            out.push(interp, as_object(&node))?;
        }
    }
    Ok(())
}

/// Which encoding a file gets makes no difference to what is read back, but a wrong name is an error.
fn check_encoding(interp: &Interpreter, bound: &Bound) -> Run<()> {
    let Some(name) = bound.get("Encoding").map(|v| interp.to_text(v)) else {
        return Ok(());
    };
    if ["UTF8", "Unicode", "Ascii", "Default"].iter().any(|known| same_name(known, &name)) {
        return Ok(());
    }
    Err(Signal::unsupported(format!("The encoding '{name}'"), bound.pos))
}

fn set_content(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    check_encoding(interp, bound)?;
    let path = file(interp, bound)?;
    let values = match (input, bound.get("Value")) {
        (Some(values), _) => values,
        (None, Some(value)) => value.enumerate(),
        (None, None) => Vec::new(),
    };
    let mut text = String::new();
    for value in values {
        text.push_str(&interp.to_text(&value));
        text.push_str("\r\n");
        interp.charge_size(text.len())?;
    }
    if text.len() > LONGEST_FILE {
        return Err(Signal::unsupported("A file of more than 1 MiB", bound.pos));
    }
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| match s.files.write(&path, &text) {
        Ok(change) => (change.into_iter().collect(), Ok(())),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    match result {
        Ok(()) => Ok(()),
        Err(refusal) => refused(interp, bound, &path, refusal),
    }
}

fn get_content(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    check_encoding(interp, bound)?;
    let path = file(interp, bound)?;
    let text = match interp.machine.read(|s| s.files.get(&path).cloned()) {
        Some(Node { text: Some(text), .. }) => text,
        Some(_) => return refused(interp, bound, &path, Refusal::WrongKind),
        None => return refused(interp, bound, &path, Refusal::NotFound),
    };
    interp.charge_size(text.len())?;
    if bound.switch("Raw") {
        return out.push(interp, Value::str(&text));
    }
    for line in text.lines() {
        out.push(interp, Value::str(line))?;
    }
    Ok(())
}
