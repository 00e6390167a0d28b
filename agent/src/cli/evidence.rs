//! `msp-agent evidence`: list it, show it, verify it.

use super::{ConfigArg, print_json};
use crate::config::Config;
use crate::prove::verify::{self, Expected};
use crate::store::{evidence, open_for_reading};
use anyhow::{Context, bail};
use comfy_table::{ContentArrangement, Table, presets};
use msp_contracts::dsse::Envelope;
use msp_contracts::evidence::Bundle;
use msp_contracts::keys::{self, VerifyingKey};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// Signed, chained evidence of everything the agent did
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// List the bundles, oldest first
    #[command(
        after_help = "Examples:\n  msp-agent evidence list\n  msp-agent evidence list --incident INC-0123456789ab --json"
    )]
    List {
        #[command(flatten)]
        config: ConfigArg,
        /// Only those of this incident
        #[arg(long, value_name = "ID")]
        incident: Option<String>,
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
        /// The DSSE envelope as it is stored, for another verifier
        #[arg(long)]
        envelope: bool,
    },
    /// Verify every signature, the chain, its signed end and Central Command's receipts
    #[command(
        after_help = "Examples:\n  msp-agent evidence verify\n  msp-agent evidence verify --json --public-key 64HEX   (an auditor, without the private key)\n\n\
                            Exit code 0 when all of it holds; 1 when not, and each bundle that is changed or missing is named."
    )]
    Verify {
        #[command(flatten)]
        config: ConfigArg,
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
    let file = &config.signing_key_file;
    let pem = std::fs::read_to_string(file)
        .with_context(|| format!("{}: cannot be read (or give --public-key)", file.display()))?;
    Ok(keys::private_from_pem(&pem).with_context(|| file.display().to_string())?.verifying_key())
}

pub fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { config, incident, json } => list(&config.load()?, incident.as_deref(), *json, out),
        Command::Show { id, config, envelope } => show(&config.load()?, id, *envelope, out),
        Command::Verify { config, public_key, json } => verify(&config.load()?, public_key.as_deref(), *json, out),
    }
}

fn list(config: &Config, incident: Option<&str>, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let db = open_for_reading(&config.state_dir)?;
    let mut bundles = Vec::new();
    evidence::each::<anyhow::Error>(&db, |row| {
        let payload = Envelope::from_bytes(&row.envelope)
            .and_then(|envelope| envelope.unverified_payload())
            .with_context(|| format!("{}: run `msp-agent evidence verify`", row.bundle_id))?;
        let bundle: Bundle = serde_json::from_slice(&payload)
            .with_context(|| format!("{}: run `msp-agent evidence verify`", row.bundle_id))?;
        if incident.is_none_or(|wanted| bundle.incident_id.as_ref().is_some_and(|id| id.as_str() == wanted)) {
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
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["bundle", "completed", "kind", "machine", "check", "outcome"]);
    for bundle in bundles {
        let kind = serde_json::to_value(bundle.kind)?;
        table.add_row([
            bundle.bundle_id.to_string(),
            bundle.completed.to_string(),
            kind.as_str().unwrap_or_default().to_owned(),
            bundle.target.name,
            bundle.check,
            bundle.detail.map_or_else(|| "-".to_owned(), |detail| detail.to_string()),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config, id: &str, envelope: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let db = open_for_reading(&config.state_dir)?;
    let Some(row) = evidence::get(&db, id)? else {
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

fn verify(config: &Config, public_key: Option<&str>, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let db = open_for_reading(&config.state_dir)?;
    let expected = Expected {
        site_id: &config.site_id,
        host_id: &config.host_id,
        agent_keys: &[agent_key(config, public_key)?],
        server_keys: &[keys::public_from_hex(&config.mcp_public_key).context("mcp_public_key")?],
    };
    let report = verify::verify(&db, &expected)?;
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
    Ok(ExitCode::from(code))
}
