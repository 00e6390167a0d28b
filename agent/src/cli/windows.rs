//! `msp-agent windows`: look at one Windows server, and change nothing.

mod reach;

pub(super) use reach::ReachArgs;

use super::check::named_or_default;
use super::report::{Report, Screen};
use crate::sense::windows::{self, WindowsCheck};
use anyhow::Context;
use msp_contracts::finding::{CheckStatus, Platform};
use msp_rules::Catalogue;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  msp-agent windows check FS01                       a server of the inventory, with its own credentials
  msp-agent windows check 192.0.2.7 --only firewall --json
  msp-agent windows check 192.0.2.7 --user 'CLINIC\\svc-msp' --password-file ./password --ca-cert ca.pem
  msp-agent windows check 192.0.2.7 --user svc-msp --password-file ./password --http

Only the detect phases of the runbooks run; each is in rules/runbooks and is shown by `msp-agent runbook show`. \
Without --user the server is one of the inventory that Central Command sent. With it, no configuration is needed.

Exit codes:
  0  every check is compliant, or unsupported on this server
  1  at least one is drift, pending or unknown
  2  it could not run: no such server, no credentials";

/// Look at a Windows server, and change nothing
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make every check of a Windows server, and say what differs
    #[command(after_help = EXAMPLES)]
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The server: a name or an address of the inventory; with --user an address
    host: String,
    #[command(flatten)]
    reach: ReachArgs,
    /// The file that says what is desired [default: baseline_path, /etc/msp/baseline.yaml if it exists, else built in]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Make only this check; may be given more than once
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Print one JSON document, for scripts
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Check(args) => check(args, out),
    }
}

fn check(args: &CheckArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let catalogue = Arc::new(Catalogue::builtin()?);
    let checks = chosen(&catalogue, &args.only)?;
    let reached = args.reach.find(&args.host)?;
    let named = args.baseline.as_deref().or(reached.baseline_path());
    let (baseline, source) = named_or_default(named, Path::new("/"))?;
    let host = reached.connect(Arc::clone(&catalogue))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start the runtime that the checks run in")?;
    let observations = runtime.block_on(async {
        let mut observations = Vec::new();
        let mut silent: Option<String> = None;
        for check in checks {
            let seen = match &silent {
                Some(reason) => check.unreachable(reason, &baseline.windows),
                None => {
                    let (seen, fell_silent) = check.observe(&host, &baseline.windows).await;
                    silent = fell_silent;
                    seen
                }
            };
            observations.extend(seen.observations);
        }
        observations
    });
    let report = Report {
        observations: &observations,
        host: format!("{} {}", reached.server.hostname, reached.server.address),
        platform: Platform::Windows,
        baseline: &source,
    };
    let written = if args.json { report.json(out) } else { report.table(out, &Screen::of_stdout()) };
    written.context("could not write the report")?;
    let fine = |status| matches!(status, CheckStatus::Compliant | CheckStatus::Unsupported);
    Ok(ExitCode::from(u8::from(!observations.iter().all(|observation| fine(observation.status)))))
}

/// The checks of these names, or all.
fn chosen(catalogue: &Catalogue, only: &[String]) -> anyhow::Result<Vec<WindowsCheck>> {
    let all: Vec<_> = windows::checks(catalogue, true).collect();
    let known = || all.iter().map(|check| check.kind().as_str()).collect::<Vec<_>>().join(", ");
    for name in only {
        anyhow::ensure!(
            all.iter().any(|check| check.kind().as_str() == name),
            "{name:?} is no check of a Windows server (there are {})",
            known()
        );
    }
    let wanted = |check: &WindowsCheck| only.is_empty() || only.iter().any(|name| check.kind().as_str() == name);
    Ok(all.into_iter().filter(wanted).collect())
}
