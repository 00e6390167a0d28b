//! `msp-agent rules`: lint them, and explain what they make of a finding.

use super::{ConfigArg, print_json};
use crate::app::policy;
use crate::decide::ladder;
use crate::sense::host;
use anyhow::Context;
use msp_contracts::evidence::{Bundle, BundleKind};
use msp_contracts::finding::Finding;
use msp_rules::{LintReport, RuleSet, Source, View, lint_text};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Level 1 rules: what a finding leads to
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  msp-agent rules lint /etc/msp/rules/*.yaml")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Check rule files; without files, everything this agent would load
    #[command(
        after_help = "Examples:\n  msp-agent rules lint /etc/msp/rules/site.yaml\n  msp-agent rules lint --config /etc/msp/config.yaml\n\n\
                            Exit code 1 when a rule is quarantined: each is named with file, line, column and cure."
    )]
    Lint {
        /// Rule files, YAML or JSON, checked as the site's own
        files: Vec<PathBuf>,
        #[command(flatten)]
        config: ConfigArg,
        /// One JSON document: {"rules", "quarantined": [...], "warnings": [...], "switched_off": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Say when the rules were last taken from Central Command; --now takes them
    #[command(after_help = "Example:\n  msp-agent rules sync --now")]
    Sync(super::sync::Args),
    /// Say what every rule makes of a finding, and which one decides
    #[command(after_help = "Examples:\n  msp-agent rules explain finding.json\n  \
                            msp-agent evidence show CB-2026-11-21-0001 | msp-agent rules explain -\n  \
                            echo '{\"check_type\": \"disk\", \"drift_detected\": true}' | msp-agent rules explain -\n\n\
                            Exit code 1 when no rule matches, 2 when it is no finding.")]
    Explain {
        /// The finding as JSON: a finding, a ticket, an incident or a bundle that holds one, or a flat view; - for
        /// standard input
        finding: PathBuf,
        /// Also read the rules of this configuration, not only the built-in ones
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// All rules, not only those that came close
        #[arg(long)]
        all: bool,
        /// One JSON document: {"winner", "action", "rules": [...]}
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Lint { files, config, json } => lint(files, config, *json, out),
        Command::Sync(args) => super::sync::run(args, out),
        Command::Explain { finding, config, all, json } => explain(finding, config.as_deref(), *all, *json, out),
    }
}

fn lint(files: &[PathBuf], config: &ConfigArg, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (loaded, report) = if files.is_empty() {
        let config = config.load()?;
        let loaded = RuleSet::load(&policy::sources(&config.rules_dir, &config.state_dir))?;
        let report = LintReport {
            rules: Vec::new(),
            quarantined: loaded.quarantined,
            warnings: loaded.warnings,
            switched_off: loaded.switched_off,
        };
        (loaded.rules.len(), report)
    } else {
        let mut all = LintReport::default();
        for file in files {
            let text = std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
            let mut one = lint_text(&file.display().to_string(), &text, Source::Custom)?;
            all.rules.append(&mut one.rules);
            all.quarantined.append(&mut one.quarantined);
            all.warnings.append(&mut one.warnings);
            all.switched_off.append(&mut one.switched_off);
        }
        (all.rules.len(), all)
    };
    let code = if report.quarantined.is_empty() { 0 } else { super::NO };
    if json {
        let document = json!({
            "rules": loaded, "quarantined": report.quarantined, "warnings": report.warnings, "switched_off": report.switched_off,
        });
        print_json(out, &document)?;
        return Ok(ExitCode::from(code));
    }
    for quarantined in &report.quarantined {
        writeln!(out, "{quarantined}")?;
    }
    for warning in &report.warnings {
        writeln!(out, "{warning}")?;
    }
    for off in &report.switched_off {
        writeln!(out, "{}:{}:{}: {} is switched off", off.file, off.line, off.column, off.rule_id)?;
    }
    writeln!(out, "sound: {loaded}, quarantined: {}", report.quarantined.len())?;
    Ok(ExitCode::from(code))
}

fn explain(
    finding: &Path,
    config: Option<&Path>,
    all: bool,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    if finding == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    } else {
        text = std::fs::read_to_string(finding).with_context(|| format!("{}: cannot be read", finding.display()))?;
    }
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{}: not JSON", finding.display()))?;
    let view = view(value).with_context(|| finding.display().to_string())?;
    let sources = match config {
        Some(file) => {
            let config = super::load(file)?.config;
            policy::sources(&config.rules_dir, &config.state_dir)
        }
        None => msp_rules::Sources::default(),
    };
    let rules = RuleSet::load(&sources)?.rules;
    let explanation = rules.explain(&view);
    let action = rules.find(&view).map(|matched| matched.resolve(&view).map_err(|error| error.to_string()));
    let code = if explanation.winner.is_some() { 0 } else { super::NO };
    if json {
        let mut document = serde_json::to_value(&explanation)?;
        document["action"] = match action {
            Some(Ok(action)) => serde_json::to_value(action)?,
            Some(Err(reason)) => json!({ "action": "escalate", "reason": reason }),
            None => Value::Null,
        };
        print_json(out, &document)?;
        return Ok(ExitCode::from(code));
    }
    match (&explanation.winner, action) {
        (Some(winner), Some(Ok(action))) => writeln!(out, "{winner} decides: {}", serde_json::to_string(&action)?)?,
        (Some(winner), Some(Err(reason))) => writeln!(out, "{winner} decides, and goes to a person: {reason}")?,
        _ => writeln!(out, "no rule matches: it goes to a person")?,
    }
    if let Some(name) = meant(&view, &rules) {
        writeln!(out, "note: no check has this check_type; did you mean {name:?}?")?;
    }
    let said = explanation.to_string();
    // Rules for other checks say nothing about this finding.
    for line in said.lines().skip(1).filter(|line| all || !line.contains("check_type")) {
        writeln!(out, "{line}")?;
    }
    Ok(ExitCode::from(code))
}

/// The view of a finding as the agent makes it. A ticket and an incident carry one; a bundle of evidence says the
/// same in its own words; a flat view may be written by hand.
fn view(mut value: Value) -> anyhow::Result<View> {
    for inside in ["finding", "raw_data"] {
        if let Some(found) = value.get_mut(inside) {
            value = found.take();
            break;
        }
    }
    if let Ok(finding) = serde_json::from_value::<Finding>(value.clone()) {
        return Ok(ladder::view(&finding));
    }
    if let Ok(bundle) = serde_json::from_value::<Bundle>(value.clone()) {
        value = of_bundle(&bundle);
    }
    anyhow::ensure!(
        value.get("check_type").is_some(),
        "no finding: it has no check_type, and holds nothing that has one"
    );
    Ok(View::from_value(value)?)
}

/// What a bundle saw before anything was done; for a change of status, what it saw then.
fn of_bundle(bundle: &Bundle) -> Value {
    let state = if bundle.kind == BundleKind::StatusChange { &bundle.post_state } else { &bundle.pre_state };
    json!({
        "check_type": bundle.check.split('/').next(),
        "incident_type": bundle.check.split('/').next(),
        "platform": bundle.target.platform,
        "host_id": bundle.target.host_id,
        "status": state["status"],
        "drift_detected": state["status"] == "fail",
        "pre_state": state["actual"],
        "details": state["details"],
    })
}

/// A check type that no check has and no alias names was probably typed.
fn meant(view: &View, rules: &RuleSet) -> Option<String> {
    let typed = rules.aliases().check_type(view.text("check_type")?);
    let known = || host::KINDS.iter().map(|kind| kind.as_str());
    if known().any(|name| name == typed) { None } else { msp_rules::did_you_mean(typed, known()) }
}
