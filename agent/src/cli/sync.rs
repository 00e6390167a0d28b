//! `msp-agent rules sync`: when the rules were last taken from Central Command, and to take them now.
//!
//! A running agent is asked by SIGHUP and does it itself; without one, this does.

use super::{ConfigArg, print_json, status};
use crate::app::policy::Policy;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::model::status::RulesStatus;
use crate::report::client::Central;
use crate::report::sync;
use crate::store::server_keys::ServerKeys;
use crate::store::{Store, facts, open_for_reading};
use anyhow::Context;
use msp_contracts::keys;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// How long a running agent may take to sync when it is asked to.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(200);

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Take the rules now, instead of only saying when they were taken last
    #[arg(long)]
    now: bool,
    /// One JSON document: {"rules": {...}}
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let rules = match (args.now, status::is_running(&config.state_dir)) {
        (false, _) => status::read(&config.state_dir)?.rules,
        (true, true) => ask_the_agent(&config)?,
        (true, false) => here(&config)?,
    };
    if args.json {
        print_json(out, &json!({ "rules": rules }))?;
    } else {
        let synced = rules.synced_at.as_deref().unwrap_or("never");
        let tier = rules.healing_tier.as_deref().unwrap_or("none");
        let version = rules.version.as_deref().map_or("none", |version| version.get(..12).unwrap_or(version));
        writeln!(
            out,
            "synced {synced}: tier {tier}, version {version}; {} rules in force, {} quarantined",
            rules.loaded, rules.quarantined
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn ask_the_agent(config: &Config) -> anyhow::Result<RulesStatus> {
    let before = status::read(&config.state_dir)?;
    let pid = i32::try_from(before.pid).ok().and_then(Pid::from_raw).context("the agent's process id")?;
    kill_process(pid, Signal::HUP).with_context(|| {
        format!("the running agent (pid {}) could not be asked: run this as the agent's user or as root", before.pid)
    })?;
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        std::thread::sleep(LOOK);
        let db = open_for_reading(&config.state_dir)?;
        let synced_at = facts::get(&db, facts::RULES_SYNCED_AT)?;
        if synced_at.is_some() && synced_at != before.rules.synced_at {
            return Ok(RulesStatus {
                synced_at,
                healing_tier: facts::get(&db, facts::RULES_TIER)?,
                version: facts::get(&db, facts::RULES_VERSION)?,
                ..Policy::load(config)?.counts()
            });
        }
    }
    anyhow::bail!("the running agent did not sync within {} s: its log says why", PATIENCE.as_secs())
}

fn here(config: &Config) -> anyhow::Result<RulesStatus> {
    // Says that there is no state instead of making one.
    drop(open_for_reading(&config.state_dir)?);
    let configured = keys::public_from_hex(&config.mcp_public_key).context("mcp_public_key")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&config.state_dir)?;
        let keys = store.write(move |db| ServerKeys::of(db, configured)).await?;
        sync::sync(&Central::new(config)?, config, &keys.trusted, &store, &SystemClock::start()).await?;
        let read = |db: &rusqlite::Connection| {
            let fact = |name| facts::get(db, name);
            Ok((
                fact(facts::RULES)?,
                fact(facts::RULES_SYNCED_AT)?,
                fact(facts::RULES_TIER)?,
                fact(facts::RULES_VERSION)?,
            ))
        };
        let (envelope, synced_at, healing_tier, version) = store.write(read).await?;
        sync::lay_out(&config.state_dir, envelope.as_deref(), &keys.ever)?;
        Ok(RulesStatus { synced_at, healing_tier, version, ..Policy::load(config)?.counts() })
    })
}
