//! `msp-agent runbook`: what may be done to a machine, word for word; and to do it by hand.

use super::windows::ReachArgs;
use super::{print_json, run as daemon, table};
use crate::adapters::winrm::WindowsHost;
use crate::app::Agent;
use crate::app::by_hand::{ByHand, Ended};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::model::{Observation, Phase};
use crate::sense::windows;
use anyhow::Context;
use msp_contracts::outcome::Outcome;
use msp_rules::Catalogue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

const RUN_EXAMPLES: &str = "\
Examples:
  msp-agent runbook run RB-WIN-FIREWALL-001 --target FS01 --dry-run
  msp-agent runbook run RB-WIN-SVC-001 --target DC01 --parameter service=DNS

It goes the way of every heal: detect first; nothing is done where nothing is wrong; the guard (dry run, kill switch, \
window, limits) has its say; verify decides; a change that does not pass is undone; and all of it leaves signed evidence. \
The agent must not be running here meanwhile, because it alone writes the chain: beside a running agent use --dry-run, or \
have Central Command order it (`msp-central order`).

Exit codes:
  0  nothing was wrong, or the change passed its check; with --dry-run: it could be run
  1  the guard refused, the change did not pass, or it could not be told what is wrong
  2  it could not run";

const FUNCTIONS_TITLE: &str = "# --- functions (they stand before each phase when it runs) ---";

/// Runbooks: list them, read them, run one by hand
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  msp-agent runbook show RB-WIN-FIREWALL-001 --phase remediate")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the runbooks of this version: there are no others, and nothing else can be done to a machine
    List {
        /// One JSON document: {"runbooks": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Show a runbook with its scripts, as they run on the server
    Show {
        /// The runbook
        id: String,
        /// Only the script of this phase (detect, remediate, verify, undo) as it runs, with the functions that all phases
        /// share, and nothing around it
        #[arg(long, value_parser = phase)]
        phase: Option<Phase>,
        /// One JSON document: {"runbook", "scripts"}, each script as it runs
        #[arg(long)]
        json: bool,
    },
    /// Run a runbook on a Windows server
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The runbook
    id: String,
    /// The server: a name or an address of the inventory; with --user (and --dry-run) an address
    #[arg(long, value_name = "HOST")]
    target: String,
    /// A parameter of the runbook; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    parameter: Vec<(String, String)>,
    /// Change nothing: show what detect found, the parameters, and the scripts that would run
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: ReachArgs,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

fn phase(name: &str) -> Result<Phase, String> {
    Phase::parse(name).ok_or_else(|| format!("no phase; there are {}", Phase::ALL.map(Phase::as_str).join(", ")))
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let catalogue = Catalogue::builtin()?;
    match &args.command {
        Command::List { json } => list(&catalogue, *json, out),
        Command::Show { id, phase, json } => show(&catalogue, id, *phase, *json, out),
        Command::Run(args) => carry_out(Arc::new(catalogue), args, out),
    }
}

fn list(catalogue: &Catalogue, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let runbooks: Vec<_> = catalogue.ids().filter_map(|id| catalogue.get(id)).collect();
    if json {
        print_json(out, &json!({ "runbooks": runbooks }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let rows: Vec<_> = runbooks
        .iter()
        .map(|runbook| {
            let undo = if runbook.phases.contains_key(&Phase::Undo) { "yes" } else { "no" };
            let disruptive = word(json!(runbook.disruptive));
            vec![runbook.id.clone(), runbook.version.to_string(), disruptive, undo.to_owned(), runbook.name.clone()]
        })
        .collect();
    writeln!(out, "{}", table(&["runbook", "version", "disruptive", "undo", "name"], &rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The runbook of this id, with did-you-mean.
fn known<'c>(catalogue: &'c Catalogue, id: &str) -> anyhow::Result<&'c msp_rules::Runbook> {
    match catalogue.get(id) {
        Some(runbook) => Ok(runbook),
        // The schema's own words for it.
        None => Ok(catalogue.admit(id, &BTreeMap::new())?),
    }
}

fn show(
    catalogue: &Catalogue,
    id: &str,
    only: Option<Phase>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let runbook = known(catalogue, id)?;
    let scripts: Vec<_> = Phase::ALL
        .into_iter()
        .filter(|phase| only.is_none_or(|only| only == *phase))
        .filter_map(|phase| catalogue.script(id, phase).map(|script| (phase, script)))
        .collect();
    let scripted = runbook.executor.is_none();
    anyhow::ensure!(!scripted || !scripts.is_empty(), "{id} has no such phase: {}", runbook.undo);
    if json {
        let scripts: serde_json::Map<_, _> =
            scripts.iter().map(|(phase, script)| (phase.as_str().to_owned(), Value::from(*script))).collect();
        print_json(out, &json!({ "runbook": runbook, "scripts": scripts }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if only.is_some() {
        for (_, script) in scripts {
            writeln!(out, "{}", script.trim_end())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}", serde_saphyr::to_string(runbook).context("writing the runbook")?)?;
    if let Some(functions) = catalogue.functions(id) {
        writeln!(out, "{FUNCTIONS_TITLE}\n{}", functions.trim_end())?;
    }
    for (phase, _) in scripts {
        if let Some(own) = catalogue.own_text(id, phase) {
            writeln!(out, "# --- {phase} ---\n{}", own.trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn carry_out(catalogue: Arc<Catalogue>, args: &RunArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let parameters: BTreeMap<_, _> = args.parameter.iter().cloned().collect();
    let runbook = catalogue.admit(&args.id, &parameters)?;
    anyhow::ensure!(runbook.executor.is_none(), "{} is for the appliance: the agent runs it when a rule asks", args.id);
    let reached = args.reach.find(&args.target)?;
    let host = reached.connect(Arc::clone(&catalogue))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if args.dry_run {
        let (named, _) = super::check::named_or_default(reached.baseline_path(), std::path::Path::new("/"))?;
        let check = windows::check_of(&args.id).with_context(|| format!("{} mends no check", args.id))?;
        let (seen, _) = runtime.block_on(check.observe(&host, &named.windows));
        let part = parameters.get("service");
        let seen = seen.observations.into_iter().find(|one| part.is_none() || one.subject.as_ref() == part);
        let seen = seen.with_context(|| format!("{} does not look at {}", args.id, part.map_or("", String::as_str)))?;
        return rehearsed(&catalogue, args, &parameters, &seen, out);
    }
    let config = reached.config.context("a server that is in no inventory can be looked at only: add --dry-run")?;
    let done = by_hand(&runtime, config, &host, reached.server.target(), &args.id, parameters)?;
    said(args, &done, out)
}

/// Runs it with the agent's own state, which nobody else may have meanwhile.
fn by_hand(
    runtime: &tokio::runtime::Runtime,
    config: Config,
    host: &WindowsHost,
    target: msp_contracts::evidence::Target,
    runbook_id: &str,
    parameters: BTreeMap<String, String>,
) -> anyhow::Result<ByHand> {
    let _lock = daemon::lock(&config.state_dir).context(
        "the agent runs here and alone writes the chain of evidence: look with --dry-run, have Central Command order it (`msp-central order`), or stop the agent",
    )?;
    runtime.block_on(async {
        let clock = Arc::new(SystemClock::start());
        let appliance = daemon::appliance(&config, clock.clone());
        let agent = Agent::open(config, clock, appliance).await?;
        agent.run_by_hand(host, &target, runbook_id, parameters).await
    })
}

fn rehearsed(
    catalogue: &Catalogue,
    args: &RunArgs,
    parameters: &BTreeMap<String, String>,
    seen: &Observation,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let scripts = [Phase::Remediate, Phase::Verify, Phase::Undo];
    if args.json {
        let scripts: serde_json::Map<_, _> = scripts
            .into_iter()
            .filter_map(|phase| Some((phase.as_str().to_owned(), Value::from(catalogue.script(&args.id, phase)?))))
            .collect();
        let document = json!({
            "dry_run": true, "runbook_id": args.id, "target": args.target, "parameters": parameters, "detected": seen,
            "scripts": scripts,
        });
        print_json(out, &document)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "dry run: nothing is changed on {}", args.target)?;
    describe(seen, out)?;
    let given: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    writeln!(out, "parameters: {}", if given.is_empty() { "none".to_owned() } else { given.join(", ") })?;
    if let Some(functions) = catalogue.functions(&args.id) {
        writeln!(out, "\n{FUNCTIONS_TITLE}\n{}", functions.trim_end())?;
    }
    for phase in scripts {
        if let Some(own) = catalogue.own_text(&args.id, phase) {
            let when = if phase == Phase::Undo { " (only if verify still sees drift)" } else { "" };
            writeln!(out, "\n# --- {phase}{when} ---\n{}", own.trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(seen: &Observation, out: &mut dyn Write) -> anyhow::Result<()> {
    let part = seen.subject.as_ref().map_or_else(String::new, |subject| format!(" ({subject})"));
    writeln!(out, "detected: {}{part} is {}", seen.check, seen.status)?;
    for line in seen.diff.iter().chain(&seen.reason) {
        writeln!(out, "  - {line}")?;
    }
    Ok(())
}

fn said(args: &RunArgs, done: &ByHand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let well = match &done.ended {
        Ended::NothingToDo => true,
        Ended::Done { detail, .. } => matches!(detail.outcome(), Outcome::Success),
        Ended::Refused { .. } | Ended::NotKnown => false,
    };
    let code = if well { ExitCode::SUCCESS } else { ExitCode::from(super::NO) };
    if args.json {
        print_json(out, &json!({ "dry_run": false, "runbook_id": args.id, "target": args.target, "result": done }))?;
        return Ok(code);
    }
    describe(&done.detected, out)?;
    match &done.ended {
        Ended::NothingToDo => writeln!(out, "nothing to do")?,
        Ended::NotKnown => writeln!(out, "nothing was done: what cannot be told is not changed")?,
        Ended::Refused { by, reason } => writeln!(out, "refused ({by}): {reason}")?,
        Ended::Done { detail, error, phases, evidence_id } => {
            for one in phases {
                let status = one.report.get("status").and_then(Value::as_str).unwrap_or("no report");
                let took = one.completed.duration_since(one.started).as_millis();
                writeln!(out, "{}: {status} ({took} ms)", one.phase)?;
            }
            let why = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            writeln!(out, "{detail}{why}; evidence {evidence_id}")?;
        }
    }
    Ok(code)
}
