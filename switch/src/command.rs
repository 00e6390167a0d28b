//! Programs that the switch runs, each with a limit. What they say goes to the journal of the switch's unit.

use crate::boot_time_ms;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const STEP: Duration = Duration::from_millis(50);
/// More than this is not looked at.
const LONGEST: u64 = 1024 * 1024;

/// A program did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It could not be started.
    #[error("{program} cannot be run ({source})")]
    Start { program: String, source: io::Error },
    /// It took too long, and was ended with everything that it had started.
    #[error("{program} did not end within {} s", limit.as_secs())]
    TooLong { program: String, limit: Duration },
    /// It said no.
    #[error("{program} failed ({status})")]
    Failed { program: String, status: ExitStatus },
}

fn ended(child: &mut Child, program: &str, limit: Duration) -> Result<ExitStatus, CommandError> {
    let start = |source| CommandError::Start { program: program.to_owned(), source };
    let until = boot_time_ms().saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    loop {
        if let Some(status) = child.try_wait().map_err(start)? {
            return Ok(status);
        }
        if boot_time_ms() > until {
            // Its whole group: what it started must not go on behind our back. That it is gone already is fine.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            child.wait().map_err(start)?;
            return Err(CommandError::TooLong { program: program.to_owned(), limit });
        }
        std::thread::sleep(STEP);
    }
}

fn command(program: &OsStr, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).process_group(0);
    command
}

/// Runs a program whose output is for people, and answers how it ended.
pub(crate) fn status(
    program: impl AsRef<OsStr>,
    arguments: &[&OsStr],
    limit: Duration,
) -> Result<ExitStatus, CommandError> {
    let program = program.as_ref();
    let name = program.to_string_lossy();
    let spawned = command(program, arguments).stdout(Stdio::from(io::stderr())).spawn();
    let mut child = spawned.map_err(|source| CommandError::Start { program: name.clone().into_owned(), source })?;
    ended(&mut child, &name, limit)
}

/// Runs a program whose output is for people, and answers how it ended and whether it said `word` somewhere.
pub(crate) fn status_and(
    program: impl AsRef<OsStr>,
    arguments: &[&OsStr],
    limit: Duration,
    word: &'static str,
) -> Result<(ExitStatus, bool), CommandError> {
    let program = program.as_ref();
    let name = program.to_string_lossy();
    let start = |source| CommandError::Start { program: name.clone().into_owned(), source };
    let (output, ours) = io::pipe().map_err(start)?;
    let both = ours.try_clone().map_err(start)?;
    let mut child = command(program, arguments).stdout(both).stderr(ours).spawn().map_err(start)?;
    let said = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&said);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            heard.fetch_or(line.contains(word), Ordering::Relaxed);
            // The journal: that it cannot be written changes nothing.
            drop(writeln!(io::stderr(), "{line}"));
        }
    });
    let status = ended(&mut child, &name, limit)?;
    // What it left running may hold its output open for ever.
    for _ in 0..20 {
        if reader.is_finished() {
            break;
        }
        std::thread::sleep(STEP);
    }
    Ok((status, said.load(Ordering::Relaxed)))
}

/// Runs a program that has to succeed.
pub(crate) fn run(program: &str, arguments: &[&OsStr], limit: Duration) -> Result<(), CommandError> {
    let status = status(program, arguments, limit)?;
    if status.success() { Ok(()) } else { Err(CommandError::Failed { program: program.to_owned(), status }) }
}

/// Runs a program that has to succeed, and answers what it printed.
pub(crate) fn output(program: &str, arguments: &[&OsStr], limit: Duration) -> Result<String, CommandError> {
    let start = |source| CommandError::Start { program: program.to_owned(), source };
    let mut child = command(OsStr::new(program), arguments).stdout(Stdio::piped()).spawn().map_err(start)?;
    let pipe = child.stdout.take();
    // Read beside waiting: a program that fills its pipe would never end.
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        pipe.map_or(Ok(0), |pipe| pipe.take(LONGEST).read_to_end(&mut text)).map(|_| text)
    });
    let status = ended(&mut child, program, limit)?;
    let text = reader.join().unwrap_or_else(|_| Err(io::Error::other("its output was lost"))).map_err(start)?;
    if status.success() {
        Ok(String::from_utf8_lossy(&text).into_owned())
    } else {
        Err(CommandError::Failed { program: program.to_owned(), status })
    }
}
