//! `cargo measure`: the benchmarks, in release mode. Each prints its own ratios: against a limit, or against a peer
//! in the same run, because a bare number of nanoseconds says more about the machine than about the code.

use std::io::Write;
use std::process::ExitCode;

use crate::stop::Stop;
use crate::{cargo, suggest, workspace};

pub const HELP: &str = "\
Runs the workspace's benchmarks in release mode and prints their ratios: all of them, or those named.

Usage: cargo measure [NAME..]

Exit code 0 when all ran, 1 when one failed, 2 when a name is unknown; the known ones are then listed.

Example: cargo measure match_rules
";

pub fn run(arguments: &[String], out: &mut dyn Write) -> Result<ExitCode, Stop> {
    let known = workspace::benches(&workspace::root())?;
    if let Some(unknown) = arguments.iter().find(|name| !known.contains(name)) {
        let hint = suggest::did_you_mean(unknown, &known);
        return Err(Stop::Usage(format!(
            "unknown benchmark \"{unknown}\"{hint}; known: {}\n\n{HELP}",
            known.join(", ")
        )));
    }
    let chosen = if arguments.is_empty() { &known } else { arguments };
    let mut clean = true;
    // One after the other: two at once would measure each other.
    for name in chosen {
        writeln!(out, "{name}").map_err(|source| Stop::io("write the name of a benchmark", source))?;
        let status = cargo::status(&mut cargo::cargo(&["bench", "--workspace", "--bench", name]), "start cargo bench")?;
        clean &= status.success();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
