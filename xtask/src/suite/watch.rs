//! Runs a test runner, shows what it says as it says it, and reads along.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitStatus};

use super::skip_log::{self, SkipLog};
use crate::stop::Stop;

/// Runs `command` with stdout and stderr in one pipe, because cargo names a test binary on stderr and the binary
/// reports on stdout: only together they keep their order. Every line goes to `err` and to `each`.
pub fn watch(
    mut command: Command,
    skips: &SkipLog,
    err: &mut dyn Write,
    mut each: impl FnMut(&str),
) -> Result<ExitStatus, Stop> {
    let failed = |source| Stop::io("run the tests", source);
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    command.env(skip_log::VARIABLE, skips.path());
    // Colours would have to be taken out of the lines again.
    command.env("CARGO_TERM_COLOR", "never");
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // It holds the writing end: while it lives, the reader sees no end.
    drop(command);
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        err.write_all(&line).map_err(failed)?;
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    child.wait().map_err(failed)
}
