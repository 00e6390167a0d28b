//! `cargo lint`: every check that reads the code without running it. All of them run, whatever the first one found:
//! one round of corrections is better than three.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, ExitCode};

use crate::stop::Stop;
use crate::{cargo, workspace};

pub const HELP: &str = "\
Checks formatting, runs clippy with warnings as errors, and checks deny.toml (which crates, licences and sources may
come in; skipped when cargo-deny is not installed).

Usage: cargo lint

What was found goes to stderr, one verdict a check to stdout. Exit code 0 when nothing was found, 1 otherwise.
To correct formatting: cargo fmt --all

Example: cargo lint
";

pub fn run(arguments: &[String], out: &mut dyn Write) -> Result<ExitCode, Stop> {
    if let Some(argument) = arguments.first() {
        return Err(Stop::Usage(format!("cargo lint takes no arguments, \"{argument}\" was given\n\n{HELP}")));
    }
    let mut checks = vec![("fmt", formatting()), ("clippy", clippy())];
    let deny_is_there = cargo::installed("deny");
    if deny_is_there {
        checks.push(("deny", deny()));
    }
    let mut verdicts = Vec::new();
    let mut clean = true;
    for (name, mut command) in checks {
        let status = cargo::status(command.stdout(cargo::to_stderr()?), &format!("start cargo {name}"))?;
        clean &= status.success();
        verdicts.push(if status.success() { format!("passed: {name}") } else { format!("failed: {name}: {status}") });
    }
    if !deny_is_there {
        verdicts.push("skipped: deny: cargo-deny is not installed (cargo install cargo-deny --locked)".to_owned());
    }
    writeln!(out, "{}", verdicts.join("\n")).map_err(|source| Stop::io("write the summary", source))?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn formatting() -> Command {
    let mut command = cargo::plain_cargo();
    // rustfmt colours its diff into files and pipes too.
    let colour = if io::stderr().is_terminal() { "auto" } else { "never" };
    command.args(["fmt", "--all", "--check", "--", "--color", colour]);
    command
}

fn clippy() -> Command {
    let mut command = cargo::cargo(&["clippy", "--workspace", "--all-targets", "--keep-going"]);
    command.args(["--", "-D", "warnings"]);
    command
}

/// The advisories are left out: their database is a git repository, which not every machine can reach.
fn deny() -> Command {
    let mut command = cargo::plain_cargo();
    command.args(["deny", "check", "bans", "licenses", "sources"]).current_dir(workspace::root());
    command
}
