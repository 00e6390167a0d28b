//! `msp-agent orders`: what Central Command asked for, and whether an order in a file would be accepted.

use super::{ConfigArg, print_json, table};
use crate::adapters::inventory;
use crate::causes::chain;
use crate::clock::{Clock, SystemClock};
use crate::orders::judge::{self, Judged, Scope};
use crate::orders::received::{Reader, Received};
use crate::report::checkin;
use crate::sense::windows;
use crate::store::server_keys::ServerKeys;
use crate::store::{facts, open_for_reading, orders};
use anyhow::Context;
use msp_contracts::ids::ChainId;
use msp_contracts::keys;
use msp_rules::Catalogue;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Orders of Central Command: signed, bound to this appliance, accepted in their time or refused
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  msp-agent orders list\n  msp-agent orders verify order.json     would it be accepted here, now?"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List every order that is kept, newest first, with what became of it
    #[command(after_help = "Example:\n  msp-agent orders list --waiting --json | jq '.orders[].reason'")]
    List {
        #[command(flatten)]
        config: ConfigArg,
        /// Only those that are not over
        #[arg(long)]
        waiting: bool,
        /// One JSON document: {"orders": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Say whether the order in a file would be accepted here and now, and why not; accepts nothing
    #[command(
        after_help = "Examples:\n  msp-agent orders verify order.json\n  msp-agent orders verify - < order.json\n\n\
                      The file holds a signed envelope, as `msp-central order issue --out FILE` writes it.\n\
                      Exit code 1 when it would be refused."
    )]
    Verify {
        #[command(flatten)]
        config: ConfigArg,
        /// The envelope's file; - for standard input
        #[arg(value_name = "FILE")]
        order: PathBuf,
        /// One JSON document: {"accepted": ..., "reason": ..., "order": ...}
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::List { config, waiting, json } => list(config, *waiting, *json, out),
        Command::Verify { config, order, json } => verify(config, order, *json, out),
    }
}

fn list(config: &ConfigArg, waiting: bool, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let db = open_for_reading(&config.load()?.state_dir)?;
    let listed = orders::list(&db, waiting)?;
    if json {
        print_json(out, &json!({ "orders": listed }))?;
    } else if listed.is_empty() {
        writeln!(out, "{}", if waiting { "no order waits" } else { "there was no order yet" })?;
    } else {
        let rows: Vec<_> = listed
            .into_iter()
            .map(|one| {
                let text = |text: Option<String>| text.unwrap_or_default();
                let by = text(one.issued_by);
                vec![one.order_id, one.received_at, one.state, text(one.class), text(one.host_id), by, text(one.reason)]
            })
            .collect();
        writeln!(out, "{}", table(&["order", "received", "state", "class", "machine", "by", "reason"], &rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    }
    serde_json::from_str(&text).with_context(|| format!("{}: no JSON", file.display()))
}

fn verify(config: &ConfigArg, file: &Path, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = config.load()?;
    let entry = read(file)?;
    // The state says which chain, which sequence and which keys count. It is only read.
    let db = open_for_reading(&config.state_dir)?;
    let state = facts::get(&db, facts::CHAIN)?.map(ChainId::try_from).transpose()?;
    let state = state.context("the agent has no chain of evidence yet: start it with `msp-agent run`")?;
    let configured = keys::public_from_hex(&config.mcp_public_key).context("mcp_public_key")?;
    let catalogue = Catalogue::builtin()?;
    let (servers, _) = inventory::read(&checkin::inventory(&db)?);
    let reader = Reader {
        site_id: config.site_id.clone(),
        host_id: config.host_id.clone(),
        trusted: ServerKeys::of(&db, configured)?.trusted,
        ttl_seconds: config.order_ttl.try_into().unwrap_or(i64::MAX),
    };
    let scope = Scope {
        catalogue: &catalogue,
        servers: &servers,
        appliance: &config.host_id,
        max_waiting: config.max_queue_size,
        mends: windows::mends,
    };
    let judged = judge::judge(&db, &reader, scope, &state, Received::entry(&entry), SystemClock::start().now())?;
    let (accepted, reason, order) = match judged {
        Judged::Known => {
            (false, Some("this very order was dealt with already: see `msp-agent orders list`".to_owned()), None)
        }
        Judged::Refused { order, reason } => (false, Some(chain(&reason)), order),
        Judged::Accepted { order, .. } => (true, None, Some(order)),
    };
    if json {
        print_json(out, &json!({ "accepted": accepted, "reason": reason, "order": order }))?;
    } else {
        if let Some(order) = &order {
            writeln!(out, "{} {}, by {}: {}", order.order_id, order.action.class(), order.issued_by, order.reason)?;
        }
        match reason {
            Some(reason) => writeln!(out, "would be refused: {reason}")?,
            None => writeln!(out, "would be accepted")?,
        }
    }
    Ok(ExitCode::from(if accepted { 0 } else { super::NO }))
}
