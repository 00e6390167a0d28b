//! `cmd.exe /C`: the little of it that WinRM commands go through.
//!
//! It limits the length of the line, expands `%NAME%`, and starts a program. Everything else of its language (pipes,
//! redirection, `&&`) is refused loudly.

use std::sync::Arc;

use super::{CommandIo, Start, StreamName, powershell_exe};
use crate::programs::{self, Call};

/// The longest command line, in characters.
///
/// `cmd.exe` takes 8,191; what WinRM and it wrap around the client's line leaves this. A PowerShell script of 3,025
/// characters, as winrm-rs encodes it, fits; one more does not.
const LONGEST_LINE: usize = 8_174;

/// Runs the line of a command to its end; returns the exit code.
pub(super) fn run(start: &Start, io: &Arc<CommandIo>) -> i32 {
    if start.line.chars().count() > LONGEST_LINE {
        return fail(io, "The command line is too long.");
    }
    let line = expand(start);
    run_line(line.trim(), start, io)
}

fn run_line(line: &str, start: &Start, io: &Arc<CommandIo>) -> i32 {
    let (program, rest) = split_program(line);
    if program.is_empty() {
        return 0;
    }
    let powershell = is_powershell(&program);
    // What PowerShell gets after -Command is its own affair once quoted; the rest must be one simple command.
    if has_operators(line) {
        return fail(
            io,
            "This simulated server runs one simple command: | & < > and ^ are not supported outside quotes.",
        );
    }
    if powershell {
        return powershell_exe::run(rest, start, io);
    }
    if is_system_program(&program, "whoami", &["System32"]) && rest.is_empty() {
        let computer = start.machine.read(|s| s.computer.name.to_lowercase());
        return say(io, &format!("{computer}\\{}", start.user.to_lowercase()));
    }
    if let Some(run) = start.machine.read(|s| programs::find(&program, s)) {
        let args = programs::split_arguments(rest);
        let ran = run(&Call { args: &args, machine: &start.machine, actor: &start.actor });
        for (stream, lines) in [(StreamName::Stdout, &ran.stdout), (StreamName::Stderr, &ran.stderr)] {
            for line in lines {
                io.write(stream, format!("{line}\r\n").as_bytes());
            }
        }
        return ran.code;
    }
    match program.to_ascii_lowercase().as_str() {
        "ver" => {
            let version = start.machine.read(|s| s.computer.os_version.clone());
            say(io, &format!("\r\nMicrosoft Windows [Version {version}]"))
        }
        "echo" => say(io, rest),
        "exit" => rest.trim().trim_start_matches("/b").trim().parse().unwrap_or(0),
        name if name.contains('\\') => fail(io, "The system cannot find the path specified."),
        _ => {
            let message = format!(
                "'{program}' is not recognized as an internal or external command,\r\noperable program or batch file."
            );
            fail(io, &message)
        }
    }
}

/// Whether a program is Windows PowerShell, by its bare name or its path.
pub(super) fn is_powershell(program: &str) -> bool {
    is_system_program(program, "powershell", &["System32\\WindowsPowerShell\\v1.0"])
}

fn say(io: &CommandIo, text: &str) -> i32 {
    io.write(StreamName::Stdout, format!("{text}\r\n").as_bytes());
    0
}

fn fail(io: &CommandIo, text: &str) -> i32 {
    io.write(StreamName::Stderr, format!("{text}\r\n").as_bytes());
    1
}

/// The first word, without its quotes, and what follows it.
fn split_program(line: &str) -> (String, &str) {
    let line = line.trim_start();
    if let Some(quoted) = line.strip_prefix('"') {
        return match quoted.split_once('"') {
            Some((program, rest)) => (program.to_owned(), rest.trim_start()),
            None => (quoted.to_owned(), ""),
        };
    }
    match line.split_once(char::is_whitespace) {
        Some((program, rest)) => (program.to_owned(), rest.trim_start()),
        None => (line.to_owned(), ""),
    }
}

/// Whether a program name means a program of Windows: by its bare name, or by its path under the system root.
fn is_system_program(program: &str, name: &str, folders: &[&str]) -> bool {
    let lower = program.to_ascii_lowercase();
    let lower = lower.strip_suffix(".exe").unwrap_or(&lower);
    lower == name
        || folders.iter().any(|folder| *lower == format!("c:\\windows\\{folder}\\{name}").to_ascii_lowercase())
}

fn has_operators(line: &str) -> bool {
    let mut quoted = false;
    line.chars().any(|c| {
        quoted ^= c == '"';
        !quoted && matches!(c, '|' | '&' | '<' | '>' | '^')
    })
}

/// Replaces `%NAME%` by the client's variables or the system's own; what is not known stays as it is.
fn expand(start: &Start) -> String {
    let mut text = String::new();
    let mut rest = start.line.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        match after.split_once('%') {
            Some((name, tail)) => match variable(start, name) {
                Some(value) => {
                    text.push_str(&value);
                    rest = tail;
                }
                None => {
                    text.push('%');
                    rest = after;
                }
            },
            None => {
                text.push('%');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

fn variable(start: &Start, name: &str) -> Option<String> {
    if let Some((_, value)) = start.environment.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Some(value.clone());
    }
    match name.to_ascii_lowercase().as_str() {
        "systemroot" | "windir" => Some("C:\\Windows".to_owned()),
        "systemdrive" => Some("C:".to_owned()),
        "comspec" => Some("C:\\Windows\\system32\\cmd.exe".to_owned()),
        "computername" => Some(start.machine.read(|s| s.computer.name.clone())),
        "username" => Some(start.user.clone()),
        _ => None,
    }
}
