//! The command line: one file a command.
//!
//! Exit codes: 0 all is well, 1 the answer is no (drift, a broken chain, a quarantined rule), 2 it could not run.

mod check;
mod check_config;
mod enroll;
mod evidence;
mod generations;
mod incidents;
mod keygen;
mod log;
mod orders;
mod queue;
mod report;
mod rules;
mod run;
mod runbook;
mod sensor;
mod state;
mod status;
mod sync;
mod targets;
mod windows;

use crate::config::{self, Config};
use clap::{Parser, Subcommand};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The answer is no.
const NO: u8 = 1;
/// It could not run.
const COULD_NOT_RUN: u8 = 2;
/// Words of tables up to this length are never broken: every id is shorter.
const LONGEST_WORD: usize = 40;
/// Where the configuration is, unless --config says otherwise.
const CONFIG: &str = "/etc/msp/config.yaml";

#[derive(Parser)]
#[command(
    name = "msp-agent",
    version,
    about = "Looks after a small practice's machines: finds drift, heals what it may, proves every step",
    after_help = "Examples:\n  msp-agent check                         look at this machine, change nothing\n  \
                  msp-agent enroll --server https://central.example.org:8445 --token-file token\n  \
                  msp-agent check-config /etc/msp/config.yaml\n  msp-agent run --config /etc/msp/config.yaml\n  \
                  msp-agent status                        how the running agent stands\n  \
                  msp-agent evidence verify               is the proof whole?\n\nEach command has its own --help with examples."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Enroll(enroll::Args),
    Run(run::Args),
    Status(status::Args),
    Check(check::Args),
    CheckConfig(check_config::Args),
    Rules(rules::Args),
    Evidence(evidence::Args),
    Incidents(incidents::Args),
    Targets(targets::Args),
    Windows(windows::Args),
    Runbook(runbook::Args),
    Sensor(sensor::Args),
    Queue(queue::Args),
    Orders(orders::Args),
    Generations(generations::Args),
    Keygen(keygen::Args),
}

/// Parses the command line, runs the command, and says what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Both TLS users (Central Command, WinRM) take the process's default provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed already");
    }
    if let Command::Run(args) = &cli.command {
        return run::run(args).unwrap_or_else(|error| failed(&error));
    }
    // Written at once at the end: the exit code is the verdict, whether or not anybody reads all of it.
    let mut out = Vec::new();
    let done = match &cli.command {
        Command::Run(_) => Ok(ExitCode::SUCCESS),
        Command::Enroll(args) => enroll::run(args, &mut out),
        Command::Check(args) => check::run(args, &mut out),
        Command::CheckConfig(args) => check_config::run(args, &mut out),
        Command::Rules(args) => rules::run(args, &mut out),
        Command::Evidence(args) => evidence::run(args, &mut out),
        Command::Incidents(args) => incidents::run(args, &mut out),
        Command::Targets(args) => targets::run(args, &mut out),
        Command::Windows(args) => windows::run(args, &mut out),
        Command::Runbook(args) => runbook::run(args, &mut out),
        Command::Status(args) => status::run(args, &mut out),
        Command::Orders(args) => orders::run(args, &mut out),
        Command::Generations(args) => generations::run(args, &mut out),
        Command::Sensor(args) => sensor::run(args, &mut out),
        Command::Queue(args) => queue::run(args, &mut out),
        Command::Keygen(args) => keygen::run(args, &mut out),
    };
    let mut stdout = anstream::stdout();
    match stdout.write_all(&out).and_then(|()| stdout.flush()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => failed(&error.into()),
        _ => done.unwrap_or_else(|error| failed(&error)),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Standard error that is closed leaves nowhere to say it.
    drop(writeln!(anstream::stderr(), "msp-agent: {error:#}"));
    ExitCode::from(COULD_NOT_RUN)
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

/// A table as every listing prints it: no lines between rows, and no id broken in the middle, however narrow the
/// terminal is.
fn table(header: &[&str], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    table.add_rows(rows);
    for (place, column) in table.column_iter_mut().enumerate() {
        let words = rows.iter().filter_map(|row| row.get(place)).flat_map(|cell| cell.split(' '));
        let longest = words.map(|word| word.chars().count()).max().unwrap_or(0).min(LONGEST_WORD);
        let width = u16::try_from(longest).unwrap_or(u16::MAX) + column.padding_width();
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
    }
    table
}

/// Prints a value as one JSON document.
fn print_json(out: &mut dyn Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}
