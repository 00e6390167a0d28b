//! `cargo lab`: builds every program, then becomes the lab. The lab starts the others as child processes, so all of
//! them must be fresh; after `exec` its signals, its exit code and its stdout are its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::cargo;
use crate::stop::Stop;

pub const HELP: &str = "\
Builds every program of the workspace, then runs the lab with the given arguments.

Usage: cargo lab [ARGUMENT..]

The lab's arguments are listed by `cargo lab --help`, which builds it first. What cargo says goes to stderr, what
the lab says to stdout.

Example: cargo lab > lab.log
";

pub fn run(arguments: &[OsString]) -> Result<ExitCode, Stop> {
    let built = cargo::build_programs()?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    let lab = cargo::program_folder()?.join("msp-lab");
    // exec returns only when it failed.
    let source = Command::new(&lab).args(arguments).exec();
    Err(Stop::io(format!("start {}", lab.display()), source))
}
