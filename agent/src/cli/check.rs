//! `msp-agent check`: look at this machine and say what differs from the baseline.
//!
//! Needs no configuration, no daemon and no server, and changes nothing. All checks run at once, each within its
//! own limit, so that one that hangs is unknown and delays no other.

use super::report::{Report, Screen};
use crate::clock::SystemClock;
use crate::config::baseline::{self, Baseline};
use crate::sense::host::{self, Machine, Threads};
use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use msp_contracts::finding::CheckStatus;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  msp-agent check                            all ten checks of this machine, as a table
  msp-agent check --only firewall --only disk
  msp-agent check --json | jq -r '.checks[] | select(.status == \"drift\") | .diff[]'
  msp-agent check --baseline ./baseline.yaml

What cannot be told (a tool or a privilege is missing) is unknown, never compliant: run it as root to see all. \
Each check supports the paragraphs of 45 CFR 164 that stand beside it.

Exit codes:
  0  every check is compliant, or unsupported on this machine
  1  at least one is drift, pending or unknown
  2  it could not run: a mistake on the command line or in the baseline";

/// Look at this machine and say what differs from the baseline
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file that says what is desired [default: /etc/msp/baseline.yaml if it exists, else built in]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Print one JSON document, for scripts
    #[arg(long)]
    json: bool,
    /// Run only this check; may be given more than once
    #[arg(long, value_name = "CHECK", value_parser = check_name())]
    only: Vec<String>,
    /// How long one check may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Where the machine's file system begins
    #[arg(long, hide = true, env = "MSP_TEST_ROOT", default_value = "/")]
    test_root: PathBuf,
}

fn check_name() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(host::KINDS.map(|kind| kind.as_str()))
}

/// Runs the checks and writes what they saw to `out`. An error means that it could not run (exit code 2).
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (baseline, source) = baseline(args)?;
    let limit = Duration::from_secs(args.timeout);
    let machine = Arc::new(Machine::at(&args.test_root, limit, Arc::new(SystemClock::start())));
    let mut checks = host::all(&machine, &baseline.appliance, None);
    if !args.only.is_empty() {
        checks.retain(|check| args.only.iter().any(|name| name == check.kind().as_str()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start the runtime that the checks run in")?;
    let threads = Threads::default();
    let observations = runtime.block_on(async {
        let started: Vec<_> = checks
            .into_iter()
            .map(|check| {
                let threads = threads.clone();
                tokio::spawn(async move { threads.observe_within(check, limit).await })
            })
            .collect();
        let mut observations = Vec::with_capacity(started.len());
        for check in started {
            observations.push(check.await.context("a check was stopped")?);
        }
        anyhow::Ok(observations)
    });
    // Not dropped: that would wait for a check whose thread hangs in the kernel.
    runtime.shutdown_background();
    let observations = observations?;
    let report = Report {
        observations: &observations,
        host: machine.host_name(),
        platform: machine.platform(),
        baseline: &source,
    };
    let written = if args.json { report.json(out) } else { report.table(out, &Screen::of_stdout()) };
    written.context("could not write the report")?;
    let fine = |status| matches!(status, CheckStatus::Compliant | CheckStatus::Unsupported);
    Ok(ExitCode::from(u8::from(!observations.iter().all(|observation| fine(observation.status)))))
}

/// The baseline, and where it is from.
fn baseline(args: &Args) -> anyhow::Result<(Baseline, String)> {
    named_or_default(args.baseline.as_deref(), &args.test_root)
}

/// The baseline of this file, or the one of the machine whose file system begins at `root`, or the one that is built in;
/// and where it is from.
pub(super) fn named_or_default(named: Option<&Path>, root: &Path) -> anyhow::Result<(Baseline, String)> {
    if let Some(path) = named {
        return Ok((Baseline::load(path)?, path.display().to_string()));
    }
    let default = root.join(baseline::DEFAULT_PATH.trim_start_matches('/'));
    let exists = default.try_exists().with_context(|| {
        format!("could not look for the baseline {}; name another with --baseline", default.display())
    })?;
    match exists {
        true => Ok((Baseline::load(&default)?, default.display().to_string())),
        false => Ok((Baseline::built_in()?, "built in".to_owned())),
    }
}
