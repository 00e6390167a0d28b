//! msp-lab: opens a clinic on loopback, runs a round or keeps it running, and closes it whatever happens.

use anyhow::Context;
use clap::Parser;
use msp_lab::crash::{self, Rounds};
use msp_lab::report::Report;
use msp_lab::{Progress, chaos, endless, once};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "msp-lab",
    version,
    about = "A clinic on this machine: Central Command, an agent and two simulated Windows servers, on loopback",
    after_help = "Examples:\n  cargo lab --once           one scripted round, a table, exit code 0 when all was healed and proved\n  \
                  cargo lab --once --json    the same as one JSON document on stdout\n  \
                  cargo lab                  keeps running, with drift now and then, until Ctrl-C\n  \
                  cargo lab --chaos          five minutes in which everything goes wrong, then an account\n  \
                  cargo lab --crash 100      kills the agent a hundred times, and looks whether anything went wrong\n\n\
                  Progress goes to stderr. Everything lives in one temporary folder, which goes away unless --keep is given."
)]
struct Args {
    /// One scripted round, then stop
    #[arg(long)]
    once: bool,
    /// One JSON document on stdout, nothing else there (with --once or --chaos)
    #[arg(long)]
    json: bool,
    /// So many crash rounds, then stop
    #[arg(long, value_name = "ROUNDS", conflicts_with = "once")]
    crash: Option<u32>,
    /// Chaos: random drift, broken connections, hanging servers, kills; then peace, and an account
    #[arg(long, conflicts_with_all = ["once", "crash"])]
    chaos: bool,
    /// How long chaos lasts, without the peace afterwards
    #[arg(long, requires = "chaos", default_value_t = 5.0)]
    minutes: f64,
    /// Crash rounds, or chaos, as another run had it, as far as time allows
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Put the clinic's files here and leave them there (logs, state, keys)
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            let report = Report { failures: vec![format!("{error:#}")], ..Report::default() };
            finish(&args, &report).unwrap_or(ExitCode::FAILURE)
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut clinic = match args.crash {
        Some(_) => crash::clinic(args.keep.as_deref())?,
        None if args.chaos => chaos::clinic(args.keep.as_deref())?,
        None if args.once => once::clinic(args.keep.as_deref())?,
        None => endless::clinic(args.keep.as_deref())?,
    };
    let (mut report, mut account) = (Report::default(), None);
    let work = async {
        clinic.open(Progress).await?;
        if let Some(rounds) = args.crash {
            let seed = args.seed.map_or_else(crash::any_seed, Ok)?;
            let summary = crash::run(&mut clinic, Rounds { rounds, seed }, Progress).await?;
            Ok(writeln!(std::io::stdout(), "{summary}")?)
        } else if args.chaos {
            let lasts = Duration::try_from_secs_f64(args.minutes * 60.0).context("--minutes")?;
            let seed = args.seed.map_or_else(crash::any_seed, Ok)?;
            account = Some(chaos::run(&mut clinic, lasts, seed, Progress).await?);
            Ok(())
        } else if args.once {
            once::round(&mut clinic, Progress, &mut report).await
        } else {
            endless::keep_running(&mut clinic, Progress).await
        }
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    clinic.close().await;
    if let Some(account) = account {
        if !account.ok {
            Progress.say(&clinic.last_words());
        }
        return chaos::told(&account, args.json);
    }
    match ended {
        Some(Ok(())) if args.crash.is_some() => return Ok(ExitCode::SUCCESS),
        Some(Ok(())) => {}
        // What was seen until then is still worth printing.
        Some(Err(error)) if args.once => report.failures.push(format!("{error:#}")),
        Some(Err(error)) => return Err(error.context(clinic.last_words())),
        None if args.once => report.failures.push("the round was broken off".to_owned()),
        None => {
            Progress.say("stopped");
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !report.failures.is_empty() {
        Progress.say(&clinic.last_words());
    }
    finish(args, &report)
}

/// Prints the report of a round, and what failed; the exit code says whether all is well.
fn finish(args: &Args, report: &Report) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    if args.json {
        report.json(&mut out)?;
    } else if args.once {
        report.table(&mut out)?;
    }
    for failure in &report.failures {
        Progress.say(&format!("FAILED: {failure}"));
    }
    Ok(ExitCode::from(u8::from(!report.failures.is_empty())))
}
