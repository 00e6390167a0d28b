//! `msp-agent queue`: what is owed to Central Command, and what it refused.

use super::state::StateArg;
use super::{ConfigArg, print_json, table};
use crate::store::{open_for_reading, open_for_writing, outbox};
use rusqlite::Connection;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// What is owed to Central Command: nothing is dropped, refused reports stay here
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  msp-agent queue list\n  msp-agent queue retry --all      after the reason of a refusal is gone"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List every report that has not been acknowledged, oldest first
    #[command(after_help = "Example:\n  msp-agent queue list --json | jq '.queue[].last_error'")]
    List {
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        state: StateArg,
        /// One JSON document: {"queue": [...]}
        #[arg(long)]
        json: bool,
    },
    /// List the reports that Central Command refused for good; exit code 1 when there are any
    #[command(after_help = "Example:\n  msp-agent queue rejected || echo 'somebody has to look'")]
    Rejected {
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        state: StateArg,
        /// One JSON document: {"queue": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Send refused reports again; the running agent takes them up within seconds
    #[command(after_help = "Examples:\n  msp-agent queue retry 17\n  msp-agent queue retry --all")]
    Retry {
        /// The number of one report, as `queue rejected` lists it
        #[arg(required_unless_present = "all")]
        id: Option<i64>,
        #[command(flatten)]
        config: ConfigArg,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::List { config, state, json } => {
            let db = state.open(&config.load()?)?;
            list(&db, false, *json, out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Rejected { config, state, json } => {
            let db = state.open(&config.load()?)?;
            let any = list(&db, true, *json, out)?;
            Ok(ExitCode::from(if any { super::NO } else { 0 }))
        }
        Command::Retry { id, config, .. } => retry(config, *id, out),
    }
}

/// Whether there was anything to list.
fn list(db: &Connection, rejected_only: bool, json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    let listed = outbox::list(db, rejected_only)?;
    if json {
        print_json(out, &json!({ "queue": listed }))?;
    } else if listed.is_empty() {
        writeln!(out, "nothing{}", if rejected_only { " was refused" } else { " waits" })?;
    } else {
        let rows: Vec<_> = listed
            .iter()
            .map(|one| {
                let state = if one.rejected { "refused" } else { "waits" };
                let error = one.last_error.clone().unwrap_or_default();
                vec![
                    one.id.to_string(),
                    one.kind.clone(),
                    one.key.clone(),
                    state.to_owned(),
                    one.attempts.to_string(),
                    error,
                ]
            })
            .collect();
        writeln!(out, "{}", table(&["number", "kind", "of", "state", "tries", "last answer"], &rows))?;
    }
    Ok(!listed.is_empty())
}

fn retry(config: &ConfigArg, id: Option<i64>, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let state_dir = config.load()?.state_dir;
    // Says that there is no state instead of making one.
    drop(open_for_reading(&state_dir)?);
    let db = open_for_writing(&state_dir.join(crate::store::FILE))?;
    let again = outbox::owe_again(&db, id)?;
    writeln!(out, "{again} reports are owed again")?;
    Ok(ExitCode::from(if again == 0 && id.is_some() { super::NO } else { 0 }))
}
