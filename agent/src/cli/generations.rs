//! `msp-agent generations`: which generations of NixOS there are, which one is declared, and the way back.

use super::{NO, print_json, table};
use anyhow::Context;
use msp_agent_switch::declared::{self, Declared};
use msp_agent_switch::places::Places;
use msp_agent_switch::profile::{self, Generation};
use msp_agent_switch::record::{self, Asked, Record, State};
use msp_agent_switch::sequence::Turn;
use msp_contracts::store_path::StorePath;
use serde_json::json;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The longest that a switch takes: its unit ends it then.
const LONGEST: Duration = Duration::from_secs(6000);
const STEP: Duration = Duration::from_millis(500);

/// List the generations of NixOS with the last switches, compare two, declare which one should run, or go back
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  msp-agent generations list\n  msp-agent generations diff 41 42\n  \
                        msp-agent generations accept             what runs is what should run (as root)\n  \
                        msp-agent generations rollback           to the generation before (as root)\n\n\
                        Central Command switches with `msp-central order issue ... switch-generation`.")]
pub struct Args {
    #[command(subcommand)]
    command: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// The generations of the system's profile, which one is declared, and what became of the last switches
    #[command(
        after_help = "Exit code 1 when what runs is not what is declared, or the last switch was rolled back and nobody has accepted what runs."
    )]
    List {
        /// One JSON document: {"generations": [...], "declared": ..., "switches": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Which packages differ between two generations (nix store diff-closures)
    Diff {
        /// The earlier one: its number or its store path
        #[arg(value_name = "FROM")]
        from: String,
        /// The later one; what runs, when left out
        #[arg(value_name = "TO")]
        to: Option<String>,
        /// One JSON document: {"from": ..., "to": ..., "changes": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Declare the system that should run: what runs, or another generation. As root
    Accept {
        /// Its number or its store path
        #[arg(value_name = "GENERATION")]
        generation: Option<String>,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// One JSON document: {"declared": {...}}
        #[arg(long)]
        json: bool,
    },
    /// Switch to the generation before, or to another one, and declare it. As root
    #[command(
        after_help = "It is activated for a test first; when a unit newly fails, what runs now is activated again.\n\
                            Exit code 1 when it was rolled back or failed."
    )]
    Rollback {
        /// Its number or its store path
        #[arg(value_name = "GENERATION")]
        generation: Option<String>,
        /// One JSON document: {"switch": {...}}
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let places = Places::own();
    match &args.command {
        What::List { json } => list(&places, *json, out),
        What::Diff { from, to, json } => diff(&places, from, to.as_deref(), *json, out),
        What::Accept { generation, reason, json } => {
            let generation = generation.as_deref();
            accept(&places, generation, reason.as_deref().unwrap_or("accepted at the machine"), *json, out)
        }
        What::Rollback { generation, json } => rollback(&places, generation.as_deref(), *json, out),
    }
}

fn known(places: &Places) -> anyhow::Result<Vec<Generation>> {
    let profile = places.profile();
    let folder = profile.parent().unwrap_or(&profile).display().to_string();
    profile::generations(places).with_context(|| format!("{folder}: no generations can be read (is this NixOS?)"))
}

fn running(places: &Places) -> anyhow::Result<StorePath> {
    profile::leads_to(places, &places.current()).context("which system runs cannot be told (is this NixOS?)")
}

fn named(places: &Places, name: &str) -> anyhow::Result<StorePath> {
    if let Ok(path) = StorePath::try_from(name.to_owned()) {
        return Ok(path);
    }
    let number: u64 = name.parse().with_context(|| format!("{name:?} is neither a number nor a store path"))?;
    let all = known(places)?;
    let numbers: Vec<String> = all.iter().map(|one| one.number.to_string()).collect();
    let found = all.into_iter().find(|one| one.number == number);
    Ok(found.with_context(|| format!("there is no generation {number} (there are {})", numbers.join(", ")))?.store_path)
}

fn list(places: &Places, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let generations = known(places)?;
    let declared = declared::read(places)?;
    let switches = record::list(places).context("the records of switches cannot be read")?;
    let current = running(places)?;
    let as_declared = declared.as_ref().is_none_or(|declared| declared.store_path == current);
    let unsettled = record::unsettled(&switches, declared.as_ref()).is_some();
    let code = if as_declared && !unsettled { 0 } else { NO };
    if json {
        let document =
            json!({ "generations": generations, "running": current, "declared": declared, "switches": switches });
        print_json(out, &document)?;
        return Ok(ExitCode::from(code));
    }
    let rows: Vec<Vec<String>> = generations.iter().map(|one| row(one, declared.as_ref())).collect();
    writeln!(out, "{}", table(&["generation", "made", "is", "system"], &rows))?;
    if let Some(declared) = &declared {
        writeln!(out, "\ndeclared {:.0} by {}", declared.at, declared.by)?;
        if !as_declared {
            writeln!(out, "running is {current}, declared is {}", declared.store_path)?;
        }
    } else {
        writeln!(out, "\nno generation is declared: `msp-agent generations accept` declares what runs")?;
    }
    for switch in switches.iter().rev().take(5) {
        let why = switch.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let state = switch.state.as_str().replace('_', " ");
        writeln!(out, "{:.0} {} to {} ({}): {state}{why}", switch.asked_at, switch.id, switch.to, switch.because())?;
    }
    Ok(ExitCode::from(code))
}

fn row(one: &Generation, declared: Option<&Declared>) -> Vec<String> {
    let is_declared = declared.is_some_and(|declared| declared.store_path == one.store_path);
    let words = [
        (one.is_running, "running"),
        (one.is_booted, "booted"),
        (one.is_default, "default"),
        (is_declared, "declared"),
    ];
    let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    let made = one.created.map_or_else(String::new, |made| format!("{made:.0}"));
    vec![one.number.to_string(), made, words.join(", "), one.store_path.to_string()]
}

fn diff(places: &Places, from: &str, to: Option<&str>, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let from = named(places, from)?;
    let to = to.map_or_else(|| running(places), |to| named(places, to))?;
    let arguments =
        ["--extra-experimental-features", "nix-command", "store", "diff-closures", from.as_str(), to.as_str()];
    let done = Command::new("nix").args(arguments).stdin(Stdio::null()).output().context("nix cannot be run")?;
    anyhow::ensure!(done.status.success(), "nix store diff-closures: {}", String::from_utf8_lossy(&done.stderr).trim());
    let text = String::from_utf8_lossy(&done.stdout);
    if json {
        let changes: Vec<&str> = text.lines().collect();
        print_json(out, &json!({ "from": from, "to": to, "changes": changes }))?;
    } else if text.trim().is_empty() {
        writeln!(out, "no package differs in its version or by more than a little in its size")?;
    } else {
        write!(out, "{text}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who does it, for the record: whoever became root by sudo is known by name.
fn person() -> String {
    std::env::var("SUDO_USER").unwrap_or_else(|_| "root".to_owned())
}

fn require_root(what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "only root may {what}: run it with sudo");
    Ok(())
}

fn accept(
    places: &Places,
    name: Option<&str>,
    reason: &str,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    require_root("declare a generation")?;
    let path = name.map_or_else(|| running(places), |name| named(places, name))?;
    anyhow::ensure!(places.inside(&path).exists(), "{path}: is not in this machine's store");
    declared::write(places, &path, &format!("{}: {reason}", person())).context("the declaration cannot be written")?;
    if json {
        print_json(out, &json!({ "declared": declared::read(places)? }))?;
    } else {
        writeln!(out, "declared: {path}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rollback(places: &Places, name: Option<&str>, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    require_root("switch the system")?;
    let to = match name {
        Some(name) => named(places, name)?,
        None => before(places)?,
    };
    let id = format!("by-hand-{}", msp_agent_switch::now().as_second());
    let turn = Turn::take(places).context("the records of switches cannot be written")?;
    if let Some(open) = record::open(places).context("the records of switches cannot be read")? {
        let unit = format!("msp-agent-switch@{}.service", open.id);
        let asked = Command::new("systemctl").args(["is-active", &unit]).output().context("systemctl cannot be run")?;
        let is_over = ["inactive", "failed"].contains(&String::from_utf8_lossy(&asked.stdout).trim());
        let state = open.state.as_str();
        anyhow::ensure!(
            is_over,
            "switch {} goes on ({state}): wait for it, or end it with `systemctl stop {unit}`",
            open.id
        );
        // Nobody is left to say how it ended.
        let reason = Some(format!("its unit ended while {state}; a person went on"));
        let over = Record { state: State::Stuck, reason, ended_at: Some(msp_agent_switch::now()), ..open };
        record::put(places, &over).context("the record of the switch cannot be written")?;
    }
    let asked = Record::new(places, &id, Asked::Person {}, to);
    record::put(places, &asked).context("the record of the switch cannot be written")?;
    drop(turn);
    let unit = format!("msp-agent-switch@{id}.service");
    let started =
        Command::new("systemctl").args(["start", "--no-block", &unit]).output().context("systemctl cannot be run")?;
    if !started.status.success() {
        let reason = format!("{unit} cannot be started: {}", String::from_utf8_lossy(&started.stderr).trim());
        let over = Record { state: State::Failed, reason: Some(reason.clone()), ..asked };
        record::put(places, &over).context("the record of the switch cannot be written")?;
        anyhow::bail!(reason);
    }
    let ended = follow(places, &id)?;
    if json {
        print_json(out, &json!({ "switch": ended }))?;
    } else {
        let why = ended.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let restart = if ended.reboot_required { "; a restart is due" } else { "" };
        writeln!(out, "{}: {}{why}{restart}", ended.to, ended.state.as_str().replace('_', " "))?;
    }
    Ok(ExitCode::from(if ended.state == State::Confirmed { 0 } else { NO }))
}

/// The generation before the one that the machine starts with.
fn before(places: &Places) -> anyhow::Result<StorePath> {
    let all = known(places)?;
    let default = all.iter().find(|one| one.is_default).map_or(u64::MAX, |one| one.number);
    let found = all.into_iter().rfind(|one| one.number < default && !one.is_running);
    Ok(found.context("there is no generation before this one")?.store_path)
}

/// Tells each step on standard error until it is over.
fn follow(places: &Places, id: &str) -> anyhow::Result<Record> {
    let mut told = None;
    let mut waited = Duration::ZERO;
    loop {
        let record = record::get(places, id).context("the record of the switch cannot be read")?;
        let record = record.context("the record of the switch is gone")?;
        if !record.state.is_open() {
            return Ok(record);
        }
        if told != Some(record.state) {
            told = Some(record.state);
            // Progress only: a closed standard error takes nothing away.
            drop(writeln!(anstream::stderr(), "{}", record.state.as_str()));
        }
        anyhow::ensure!(waited < LONGEST, "the switch does not end: see journalctl -u msp-agent-switch@{id}");
        std::thread::sleep(STEP);
        waited += STEP;
    }
}
