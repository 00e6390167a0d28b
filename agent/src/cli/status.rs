//! `msp-agent status`: how the running agent stands, from the file it writes: nobody can ask it.

use super::{ConfigArg, print_json};
use crate::app::status::FILE;
use crate::clock::{Clock, SystemClock};
use crate::model::status::{SensorStatus, Status};
use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// A status older than this was left by an agent that hangs: it writes one every five seconds.
const STALE: SignedDuration = SignedDuration::from_secs(60);

/// How the agent stands: last contact, what is wrong, what waits, the kill switch
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  msp-agent status\n  msp-agent status --json | jq .status.queue\n\n\
                  Exit code 1 when the agent does not run, hangs, or the kill switch is engaged.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// One JSON document: {"running": ..., "status": {...}}
    #[arg(long)]
    json: bool,
}

/// The last status that an agent wrote into this state_dir.
pub(super) fn read(state_dir: &Path) -> anyhow::Result<Status> {
    let file = state_dir.join(FILE);
    let text = std::fs::read(&file).with_context(|| {
        format!("{}: cannot be read (has `msp-agent run` been started with this state_dir?)", file.display())
    })?;
    serde_json::from_slice(&text).with_context(|| format!("{}: no status of this version", file.display()))
}

/// Whether an agent works on this state_dir: then it holds the lock.
pub(super) fn is_running(state_dir: &Path) -> bool {
    let Ok(lock) = std::fs::File::open(state_dir.join(super::run::LOCK)) else { return false };
    matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

fn ago(time: Option<&str>, now: Timestamp) -> String {
    let Some(time) = time.and_then(|time| time.parse::<Timestamp>().ok()) else { return "never".to_owned() };
    let seconds = now.duration_since(time).as_secs();
    match seconds {
        ..0 => format!("{time} (ahead of this clock)"),
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago ({time})", seconds / 3600),
    }
}

fn counted(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// How it stands with the sensor listener, on one line.
fn sensors(status: &SensorStatus) -> String {
    if let Some(trouble) = &status.trouble {
        return format!("CLOSED: {trouble}");
    }
    format!(
        "{} may push to {}; since the start {} pushes taken, refused: {}",
        status.sensors,
        status.listening.join(", "),
        status.taken,
        counted(&status.refused)
    )
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let state_dir = args.config.load()?.state_dir;
    let status = read(&state_dir)?;
    let now = SystemClock::start().now();
    let running = is_running(&state_dir);
    let stale = status.written_at.parse::<Timestamp>().is_ok_and(|at| now.duration_since(at) > STALE);
    let well = running && !stale && status.overdue.is_empty() && status.kill_switch.is_none();
    if args.json {
        print_json(
            out,
            &json!({ "running": running, "hangs": running && (stale || !status.overdue.is_empty()), "status": status }),
        )?;
        return Ok(ExitCode::from(if well { 0 } else { super::NO }));
    }
    let line = |out: &mut dyn Write, name: &str, value: &str| writeln!(out, "{name:<16}{value}");
    let state = match (running, stale) {
        (false, _) => format!("does not run; it last wrote {}", ago(Some(&status.written_at), now)),
        (true, true) => format!("hangs: it last wrote {}", ago(Some(&status.written_at), now)),
        (true, false) => {
            format!("runs (pid {}, {}), started {}", status.pid, status.version, ago(Some(&status.started_at), now))
        }
    };
    line(out, "agent", &state)?;
    line(out, "site / host", &format!("{} / {}", status.site_id, status.host_id))?;
    line(out, "in short", &status.in_words())?;
    let contact = ago(status.central.last_contact.as_deref(), now);
    line(out, "last contact", &format!("{contact}, {}", status.central.url))?;
    line(out, "checks", &counted(&status.counts.checks))?;
    line(out, "incidents", &counted(&status.counts.incidents))?;
    line(out, "plans", &counted(&status.counts.outcomes))?;
    line(out, "evidence", &format!("{} bundles", status.counts.evidence))?;
    let queue = &status.queue;
    line(
        out,
        "queue",
        &format!("{} reports wait, {} refused; {} orders wait", queue.pending, queue.rejected, queue.orders_waiting),
    )?;
    let tier = status.rules.healing_tier.as_deref().unwrap_or("built-in only");
    let synced = ago(status.rules.synced_at.as_deref(), now);
    line(
        out,
        "rules",
        &format!(
            "{} in force, {} quarantined; tier {tier}, synced {synced}",
            status.rules.loaded, status.rules.quarantined
        ),
    )?;
    line(
        out,
        "kill switch",
        &status.kill_switch.as_ref().map_or_else(|| "off".to_owned(), |why| format!("ENGAGED: {why}")),
    )?;
    let healing = match (status.healing_enabled, status.dry_run) {
        (false, _) => "off (healing_enabled: false)",
        (true, true) => "dry run: nothing is changed",
        (true, false) => "on",
    };
    line(out, "healing", healing)?;
    if let Some(sensor) = &status.sensor {
        line(out, "sensors", &sensors(sensor))?;
    }
    Ok(ExitCode::from(if well { 0 } else { super::NO }))
}
