//! `powershell.exe`: its command line, its exit codes and its streams.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{CommandIo, Start, StreamName, clixml};
use crate::powershell::{self, Host};

/// The exit code of `powershell.exe` for a command line that it does not understand.
const BAD_COMMAND_LINE: i32 = -196_608;

/// Runs what the arguments ask for.
pub(super) fn run(arguments: &str, start: &Start, io: &Arc<CommandIo>) -> i32 {
    let script = match script(arguments) {
        Ok(script) => script,
        Err(message) => {
            io.write(StreamName::Stderr, format!("{message}\r\n").as_bytes());
            return BAD_COMMAND_LINE;
        }
    };
    let host = Console { io: Arc::clone(io), errors: false };
    powershell::run(&script, Arc::clone(&start.machine), start.actor.clone(), Box::new(host))
}

/// The script that the arguments carry, or what is wrong with them.
fn script(arguments: &str) -> Result<String, String> {
    let mut rest = arguments.trim();
    loop {
        let (word, after) = match rest.split_once(char::is_whitespace) {
            Some((word, after)) => (word, after.trim_start()),
            None => (rest, ""),
        };
        let Some(name) = word.strip_prefix(['-', '/']) else {
            // Without a parameter name the rest of the line is the command.
            return command_text(rest);
        };
        match parameter(name) {
            Some(Parameter::Flag) => rest = after,
            Some(Parameter::Value) => rest = after.split_once(char::is_whitespace).map_or("", |(_, r)| r.trim_start()),
            Some(Parameter::Command) => return command_text(after),
            Some(Parameter::EncodedCommand) => {
                let encoded = after.split_whitespace().next().unwrap_or_default();
                return decode(encoded.trim_matches('"'));
            }
            None => {
                return Err(format!("This simulated server does not support the powershell.exe parameter '{word}'."));
            }
        }
    }
}

enum Parameter {
    Flag,
    Value,
    Command,
    EncodedCommand,
}

/// Parameters can be cut short as far as they stay unambiguous; `-e` and `-ec` always mean the encoded command.
fn parameter(name: &str) -> Option<Parameter> {
    let name = name.to_ascii_lowercase();
    let cut = |full: &str, least: usize| name.len() >= least && full.starts_with(&name);
    if name == "ec" || name == "e" || cut("encodedcommand", 2) {
        Some(Parameter::EncodedCommand)
    } else if cut("command", 1) {
        Some(Parameter::Command)
    } else if cut("noprofile", 3) || cut("noninteractive", 3) || cut("nologo", 3) || cut("sta", 3) || cut("mta", 3) {
        Some(Parameter::Flag)
    } else if name == "ep" || cut("executionpolicy", 2) || cut("outputformat", 1) || cut("inputformat", 1) {
        Some(Parameter::Value)
    } else {
        None
    }
}

fn command_text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(
            "This simulated server has no interactive PowerShell: give a -Command or an -EncodedCommand.".to_owned()
        );
    }
    if text == "-" {
        return Err("This simulated server does not read commands from standard input (-Command -); $input is there."
            .to_owned());
    }
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    Ok(inner.unwrap_or(text).replace("\\\"", "\""))
}

fn decode(encoded: &str) -> Result<String, String> {
    let bad = || {
        "Cannot process the command because the value specified with -EncodedCommand is not properly encoded. The value \
         must be Base64 encoded."
            .to_owned()
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| bad())?;
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return Err(bad());
    };
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    Ok(String::from_utf16_lossy(&units))
}

/// The interpreter's host: text lines on standard output, CLIXML on standard error, closed when the host is dropped.
struct Console {
    io: Arc<CommandIo>,
    /// Whether the CLIXML document was opened.
    errors: bool,
}

impl Console {
    fn write_records(&mut self, records: &str) {
        if !std::mem::replace(&mut self.errors, true) {
            self.io.write(StreamName::Stderr, clixml::HEADER.as_bytes());
        }
        self.io.write(StreamName::Stderr, records.as_bytes());
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if self.errors {
            self.io.write(StreamName::Stderr, clixml::FOOTER.as_bytes());
        }
    }
}

impl Host for Console {
    fn write_line(&mut self, line: &str) {
        self.io.write(StreamName::Stdout, format!("{line}\r\n").as_bytes());
    }

    fn write_error(&mut self, lines: &[String]) {
        let records: String = lines.iter().map(|line| clixml::error_line(line)).collect();
        self.write_records(&records);
    }

    fn write_warning(&mut self, text: &str) {
        self.write_records(&clixml::warning(text));
    }

    fn write_program_error(&mut self, line: &str) {
        self.io.write(StreamName::Stderr, format!("{line}\r\n").as_bytes());
    }

    fn read_input(&mut self) -> Vec<u8> {
        self.io.read_input()
    }

    fn is_cancelled(&self) -> bool {
        self.io.is_cancelled()
    }

    fn sleep(&mut self, time: Duration) {
        self.io.sleep(time);
    }
}
