//! `msp-agent evidence`: list it, show it, verify it.

use super::state::StateArg;
use super::{ConfigArg, print_json, table};
use crate::app::signing_key;
use crate::config::Config;
use crate::prove::verify::{self, Expected};
use crate::store::server_keys::ServerKeys;
use crate::store::{evidence, outbox};
use anyhow::{Context, bail};
use msp_contracts::dsse::Envelope;
use msp_contracts::evidence::{Bundle, BundleKind};
use msp_contracts::ids::IncidentId;
use msp_contracts::keys::{self, VerifyingKey};
use rusqlite::Connection;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// Signed, chained evidence of everything the agent did
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  msp-agent evidence verify && echo whole")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the bundles, oldest first
    #[command(
        after_help = "Examples:\n  msp-agent evidence list\n  msp-agent evidence list --incident INC-0123456789ab --json"
    )]
    List {
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        state: StateArg,
        /// Only those of this incident
        #[arg(long, value_name = "ID", value_parser = |text: &str| IncidentId::try_from(text.to_owned()))]
        incident: Option<IncidentId>,
        /// One JSON document: {"evidence": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Show one bundle as it was signed
    #[command(
        after_help = "Example:\n  msp-agent evidence show CB-2026-11-21-0001\n\nPrints the payload only after its signature verified; \
                            exit code 1 when it does not."
    )]
    Show {
        /// The bundle's id
        id: String,
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        state: StateArg,
        /// The DSSE envelope as it is stored, for another verifier
        #[arg(long)]
        envelope: bool,
    },
    /// Verify every signature, the chain, its signed end and Central Command's receipts
    #[command(
        after_help = "Examples:\n  msp-agent evidence verify\n  msp-agent evidence verify --json --public-key 64HEX   (an auditor, without the private key)\n  \
                            msp-agent evidence verify --state /var/lib/msp/agent.db.damaged-2026-11-21T03-51-00Z\n\n\
                            Exit code 0 when all of it holds; 1 when not, and each bundle that is changed or missing is named."
    )]
    Verify {
        #[command(flatten)]
        config: ConfigArg,
        #[command(flatten)]
        state: StateArg,
        /// The appliance's public key, instead of reading its private key's file
        #[arg(long, value_name = "64HEX")]
        public_key: Option<String>,
        /// One JSON document: {"ok", "count", "receipts", "problems": [{"bundle", "problem"}]}
        #[arg(long)]
        json: bool,
    },
}

fn agent_key(config: &Config, given: Option<&str>) -> anyhow::Result<VerifyingKey> {
    if let Some(hex) = given {
        return keys::public_from_hex(hex).context("--public-key");
    }
    Ok(signing_key(config).context("or give --public-key")?.verifying_key())
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::List { config, state, incident, json } => {
            let db = state.open(&config.load()?)?;
            list(&db, incident.as_ref(), *json, out)
        }
        Command::Show { id, config, state, envelope } => {
            let config = config.load()?;
            let db = state.open(&config)?;
            show(&config, &db, id, *envelope, out)
        }
        Command::Verify { config, state, public_key, json } => {
            let config = config.load()?;
            let db = state.open(&config)?;
            verify(&config, &db, public_key.as_deref(), *json, out)
        }
    }
}

fn list(db: &Connection, incident: Option<&IncidentId>, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut bundles = Vec::new();
    evidence::each::<anyhow::Error>(db, |row| {
        let payload = Envelope::from_bytes(&row.envelope)
            .and_then(|envelope| envelope.unverified_payload())
            .with_context(|| format!("{}: run `msp-agent evidence verify`", row.bundle_id))?;
        let bundle: Bundle = serde_json::from_slice(&payload)
            .with_context(|| format!("{}: run `msp-agent evidence verify`", row.bundle_id))?;
        if incident.is_none_or(|wanted| bundle.incident_id.as_ref() == Some(wanted)) {
            bundles.push(bundle);
        }
        Ok(())
    })?;
    if json {
        let listed: Vec<_> = bundles
            .iter()
            .map(|b| {
                json!({
                    "bundle_id": b.bundle_id, "sequence": b.sequence, "kind": b.kind, "target": b.target, "check": b.check,
                    "incident_id": b.incident_id, "runbook_id": b.plan.as_ref().and_then(|plan| plan.runbook_id.clone()),
                    "outcome": b.outcome, "detail": b.detail, "completed": b.completed,
                })
            })
            .collect();
        print_json(out, &json!({ "evidence": listed }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if bundles.is_empty() {
        writeln!(out, "no evidence")?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = bundles.into_iter().map(row).collect::<Result<_, _>>()?;
    writeln!(out, "{}", table(&["bundle", "completed", "kind", "machine", "check", "outcome"], &rows))?;
    Ok(ExitCode::SUCCESS)
}

fn row(bundle: Bundle) -> anyhow::Result<Vec<String>> {
    let kind = serde_json::to_value(bundle.kind)?.as_str().unwrap_or_default().to_owned();
    let status = |state: &serde_json::Value| state["detail"].as_str().unwrap_or("never seen").to_owned();
    let outcome = match (bundle.detail, bundle.kind) {
        (Some(detail), _) => detail.to_string(),
        (None, BundleKind::StatusChange) => format!("{} -> {}", status(&bundle.pre_state), status(&bundle.post_state)),
        (None, _) => format!("{} checks stayed compliant", bundle.roll_up.len()),
    };
    let completed = format!("{:.0}", bundle.completed);
    Ok(vec![bundle.bundle_id.to_string(), completed, kind, bundle.target.name, bundle.check, outcome])
}

fn show(config: &Config, db: &Connection, id: &str, envelope: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Some(row) = evidence::get(db, id)? else {
        bail!("{id}: no such bundle here (`msp-agent evidence list` names them all)");
    };
    if envelope {
        out.write_all(&row.envelope)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = agent_key(config, None)?;
    let payload = Envelope::from_bytes(&row.envelope)
        .and_then(|envelope| envelope.verify(<Bundle as msp_contracts::dsse::Signed>::PAYLOAD_TYPE, &[key]));
    match payload {
        Ok(payload) => {
            let value: serde_json::Value = serde_json::from_slice(&payload)?;
            print_json(out, &value)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(out, "{id}: {}", crate::causes::chain(&error))?;
            Ok(ExitCode::from(super::NO))
        }
    }
}

fn verify(
    config: &Config,
    db: &Connection,
    public_key: Option<&str>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    // Receipts of keys that an order has replaced since stay good.
    let configured = keys::public_from_hex(&config.mcp_public_key).context("mcp_public_key")?;
    let server_keys = ServerKeys::of(db, configured)?;
    let expected = Expected {
        site_id: &config.site_id,
        host_id: &config.host_id,
        agent_keys: &[agent_key(config, public_key)?],
        server_keys: &server_keys.ever,
    };
    let report = verify::verify(db, &expected)?;
    let code = if report.ok { 0 } else { super::NO };
    if json {
        print_json(out, &report)?;
        return Ok(ExitCode::from(code));
    }
    for problem in &report.problems {
        writeln!(out, "{}: {}", problem.bundle, problem.problem)?;
    }
    let verdict = if report.ok { "all of it holds" } else { "NOT whole" };
    writeln!(out, "{} bundles, {} receipts of Central Command: {verdict}", report.count, report.receipts)?;
    match outbox::depth(db) {
        Ok(owed) if owed.rejected > 0 => {
            writeln!(out, "note: Central Command has refused {} reports for good; the log says why", owed.rejected)?;
        }
        Ok(_) => {}
        Err(error) => writeln!(out, "note: {}", crate::causes::chain(&error))?,
    }
    Ok(ExitCode::from(code))
}
