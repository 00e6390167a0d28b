//! `msp-agent incidents`: what went wrong, and what became of it.

use super::{ConfigArg, print_json};
use crate::store::{incidents, open_for_reading, outbox};
use comfy_table::{ContentArrangement, Table, presets};
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
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["incident", "machine", "check", "state", "runbook", "outcome", "evidence"]);
        for one in &listed {
            let check = one.subject.as_ref().map_or_else(|| one.check.clone(), |part| format!("{}/{part}", one.check));
            let state = serde_json::to_value(one.state)?;
            table.add_row([
                one.incident_id.as_str(),
                &one.host_name,
                &check,
                state.as_str().unwrap_or_default(),
                one.runbook_id.as_deref().unwrap_or("-"),
                one.outcome.as_deref().unwrap_or("-"),
                one.evidence_id.as_deref().unwrap_or("-"),
            ]);
        }
        writeln!(out, "{table}")?;
    }
    writeln!(out, "outbox: {} waiting, {} rejected", outbox.pending, outbox.rejected)?;
    Ok(ExitCode::SUCCESS)
}
