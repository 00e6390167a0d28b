//! Programs of Windows that scripts and `cmd.exe` start: each reads its arguments, acts on the machine, and prints what the real
//! one prints, in the language of the machine.

mod auditpol;
mod dcdiag;
mod repadmin;
mod w32tm;
mod wevtutil;

use crate::windows::ledger::Actor;
use crate::windows::{Machine, State};

/// What a program is started with.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) args: &'a [String],
    pub(crate) machine: &'a Machine,
    pub(crate) actor: &'a Actor,
}

/// What it wrote, line by line, and its exit code.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
    pub(crate) code: i32,
}

impl Ran {
    /// Lines of standard output and success.
    fn said(lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { stdout: lines.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Lines of standard error and a failure.
    fn complained(code: i32, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { code, stderr: lines.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Lines of standard output and a failure.
    fn failed(code: i32, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { code, ..Self::said(lines) }
    }
}

/// An argument that the real program may have and this one has not: loud, in words of the simulator's own.
fn not_supported(program: &str, argument: &str) -> Ran {
    Ran::complained(1, [format!("This simulated server does not support '{argument}' of {program}.")])
}

/// A program.
pub(crate) type Program = fn(&Call<'_>) -> Ran;

/// The program that a name means on this machine: a bare name, with or without `.exe`, or a path under System32.
pub(crate) fn find(name: &str, state: &State) -> Option<Program> {
    let lower = name.to_ascii_lowercase();
    let lower = lower.strip_suffix(".exe").unwrap_or(&lower);
    let lower = lower.strip_prefix("c:\\windows\\system32\\").unwrap_or(lower);
    match lower {
        "hostname" => Some(|call| Ran::said([call.machine.read(|s| s.computer.name.clone())])),
        "auditpol" => Some(auditpol::run),
        // The tools of the directory come with it.
        "dcdiag" if state.directory.is_some() => Some(dcdiag::run),
        "repadmin" if state.directory.is_some() => Some(repadmin::run),
        "w32tm" => Some(w32tm::run),
        "wevtutil" => Some(wevtutil::run),
        _ => None,
    }
}

/// Splits a command line into arguments the way most programs do: at blanks outside quotes, the quotes left out.
pub(crate) fn split_arguments(line: &str) -> Vec<String> {
    let mut args = Vec::new();
    let (mut word, mut quoted, mut any) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            c if c.is_whitespace() && !quoted => {
                if std::mem::take(&mut any) {
                    args.push(std::mem::take(&mut word));
                }
            }
            c => {
                any = true;
                word.push(c);
            }
        }
    }
    if any {
        args.push(word);
    }
    args
}
