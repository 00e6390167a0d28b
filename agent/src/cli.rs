//! The command line: one file a command.
//!
//! Exit codes: 0 all is well, 1 the answer is no (drift, a broken chain, a quarantined rule), 2 it could not run.

mod check;
mod check_config;
mod evidence;
mod incidents;
mod keygen;
mod rules;
mod run;
mod targets;

use crate::config::{self, Config};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The answer is no.
const NO: u8 = 1;
/// It could not run.
const COULD_NOT_RUN: u8 = 2;
/// Where the configuration is, unless --config says otherwise.
const CONFIG: &str = "/etc/msp/config.yaml";

#[derive(Parser)]
#[command(
    name = "msp-agent",
    version,
    about = "Looks after a small practice's machines: finds drift, heals what it may, proves every step",
    after_help = "Examples:\n  msp-agent check                         look at this machine, change nothing\n  \
                  msp-agent check-config /etc/msp/config.yaml\n  msp-agent run --config /etc/msp/config.yaml\n  \
                  msp-agent evidence verify               is the proof whole?\n\nEach command has its own --help with examples."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    CheckConfig(check_config::Args),
    #[command(subcommand)]
    Rules(rules::Command),
    #[command(subcommand)]
    Evidence(evidence::Command),
    Incidents(incidents::Args),
    Targets(targets::Args),
    Keygen(keygen::Args),
}

/// Parses the command line, runs the command, and says what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Both TLS users (Central Command, WinRM) take the process's default provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed already");
    }
    let mut out = anstream::stdout();
    let done = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(args, &mut out),
        Command::CheckConfig(args) => check_config::run(args, &mut out),
        Command::Rules(command) => rules::run(command, &mut out),
        Command::Evidence(command) => evidence::run(command, &mut out),
        Command::Incidents(args) => incidents::run(args, &mut out),
        Command::Targets(args) => targets::run(args, &mut out),
        Command::Keygen(args) => keygen::run(args, &mut out),
    };
    done.unwrap_or_else(|error| {
        // A reader that has seen enough (`| head`) is no failure.
        let closed =
            error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        if !closed {
            let _ = writeln!(anstream::stderr(), "msp-agent: {error:#}");
        }
        ExitCode::from(COULD_NOT_RUN)
    })
}

/// Where the configuration is.
#[derive(clap::Args, Debug)]
struct ConfigArg {
    /// The configuration, YAML or JSON; MSP_* environment variables win over it
    #[arg(long = "config", value_name = "FILE", default_value = CONFIG)]
    file: PathBuf,
}

impl ConfigArg {
    fn load(&self) -> anyhow::Result<Config> {
        load(&self.file).map(|loaded| loaded.config)
    }
}

fn load(file: &Path) -> anyhow::Result<config::Loaded> {
    Ok(config::load(file, std::env::vars())?)
}

/// Prints a value as one JSON document.
fn print_json(out: &mut dyn Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}
