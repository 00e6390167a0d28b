//! `cargo suite`: every test of the workspace, and one line that says how it went.
//!
//! The programs are built first, because scenario tests start them as they are. nextest runs the tests where it is
//! installed, cargo's own runner elsewhere; the count is the same. A test that cannot run on this machine says so
//! through the file named in `MSP_TEST_SKIP_LOG` and is counted as skipped, never as passed.

mod doctests;
mod libtest;
mod nextest;
mod skip_log;
mod tally;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use crate::stop::Stop;
use crate::{cargo, workspace};
use skip_log::SkipLog;
use tally::Tally;

pub const HELP: &str = "\
Builds every program of the workspace, then runs every test, or those whose name, or whose file's, contains one of
the filters (with cargo test: whose name does).

Usage: cargo suite [FILTER..]

Uses cargo-nextest when it is installed, else cargo test. Benchmarks do not run (cargo measure). What the tests say
goes to stderr. Stdout names what was skipped and why, and what failed; its last line is always
\"N passed, N failed, N skipped\". Exit code 0 when something ran and nothing failed, 1 otherwise.

A test that cannot run on this machine calls msp_suite::skip(name, reason) and returns. That appends the line
\"name<TAB>reason\" to the file named in MSP_TEST_SKIP_LOG; the suite then counts the test as skipped.

Example: cargo suite evidence
";

pub fn run(arguments: &[String], out: &mut dyn Write, err: &mut dyn Write) -> Result<ExitCode, Stop> {
    if let Some(option) = arguments.iter().find(|argument| argument.starts_with('-')) {
        return Err(Stop::Usage(format!("cargo suite has no option \"{option}\"\n\n{HELP}")));
    }
    let tally = count(arguments, err)?;
    if tally.is_empty() {
        let filters = arguments.join("\" or \"");
        writeln!(err, "error: no test has \"{filters}\" in its name or its file's").map_err(failed_to_write)?;
    }
    write!(out, "{tally}").map_err(failed_to_write)?;
    let clean = tally.failed.is_empty() && !tally.is_empty();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(filters: &[String], err: &mut dyn Write) -> Result<Tally, Stop> {
    let mut tally = Tally::default();
    let built = cargo::build_programs()?;
    if !built.success() {
        tally.failed.push(format!("cargo build: {built}; no test ran"));
        return Ok(tally);
    }
    let skips = SkipLog::create(&cargo::program_folder()?)?;
    if cargo::installed("nextest") {
        tally.add(nextest::run(filters, &skips, err)?);
    } else {
        tally.add(libtest::run(&["--lib", "--bins", "--tests"], filters, &skips, err)?);
    }
    if doctests::exist(&workspace::root())? {
        tally.add(libtest::run(&["--doc"], filters, &skips, err)?);
    }
    tally.move_to_skipped(skips.take()?);
    Ok(tally)
}

fn failed_to_write(source: std::io::Error) -> Stop {
    Stop::io("write the suite's summary", source)
}
