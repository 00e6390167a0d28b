//! `msp-agent incidents`: what went wrong, and what became of it.

use super::{ConfigArg, print_json, table};
use crate::store::{incidents, open_for_reading, outbox};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// List incidents, newest first, with what was done about each
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  msp-agent incidents --open\n  msp-agent incidents --json | jq '.incidents[] | select(.outcome == \"failed\")'"
)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only those that are not resolved
    #[arg(long)]
    open: bool,
    /// One JSON document: {"incidents": [...], "outbox": {"pending", "rejected"}}
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let db = open_for_reading(&args.config.load()?.state_dir)?;
    let listed = incidents::list(&db, args.open)?;
    let outbox = outbox::depth(&db)?;
    if args.json {
        print_json(out, &json!({ "incidents": listed, "outbox": outbox }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if listed.is_empty() {
        writeln!(out, "no incidents")?;
    } else {
        let rows: Vec<_> = listed.iter().map(row).collect::<Result<_, _>>()?;
        writeln!(out, "{}", table(&["incident", "machine", "check", "state", "what was done", "evidence"], &rows))?;
    }
    writeln!(out, "outbox: {} waiting, {} rejected", outbox.pending, outbox.rejected)?;
    Ok(ExitCode::SUCCESS)
}

fn row(one: &incidents::Listed) -> anyhow::Result<Vec<String>> {
    let check = one.subject.as_ref().map_or_else(|| one.check.clone(), |part| format!("{}/{part}", one.check));
    let state = serde_json::to_value(one.state)?.as_str().unwrap_or_default().to_owned();
    // A deferred plan says until when, an escalation why.
    let parts = [&one.runbook_id, &one.outcome].map(Option::as_deref);
    let done: Vec<_> = parts.into_iter().flatten().collect();
    let why = one.error.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let done = if done.is_empty() { "under way".to_owned() } else { format!("{}{why}", done.join(" ")) };
    let evidence = one.evidence_id.clone().unwrap_or_else(|| "-".to_owned());
    Ok(vec![one.incident_id.clone(), one.host_name.clone(), check, state, done, evidence])
}
