//! `msp-agent check-config`: is the configuration sound?

use crate::adapters::sensor_keys;
use crate::app::policy::Policy;
use crate::app::signing_key;
use crate::clock::{Clock, SystemClock};
use crate::config::schema::DisruptiveFrom;
use crate::config::{Config, sealed};
use crate::report::client::Central;
use crate::report::identity::Identity;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a configuration without running anything
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  msp-agent check-config config.yaml                  where its files are not, as at build time\n  \
                        msp-agent check-config --files && systemctl restart msp-agent\n\n\
                        Exit code 0 when it can be used (warnings are printed), 2 when not: the message names line, column and cure."
)]
pub struct Args {
    /// The configuration, YAML or JSON
    #[arg(value_name = "FILE", default_value = super::CONFIG)]
    file: PathBuf,
    /// Also read every file it names: keys, certificates, baseline, rules
    #[arg(long)]
    files: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let loaded = super::load(&args.file)?;
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let config = loaded.config;
    if args.files {
        Central::new(&config)?;
        if let Some(trouble) = Identity::load(&config)?.trouble(SystemClock::start().now()) {
            writeln!(out, "warning: {trouble}")?;
        }
        signing_key(&config)?;
        sealed::recipient(&config)?;
        Policy::load(&config)?;
        if let Some(file) = &config.sensor_keys_file {
            sensor_keys::read(file)?;
        }
    }
    writeln!(
        out,
        "{}: sound: site {}, host {}, {}",
        args.file.display(),
        config.site_id,
        config.host_id,
        config.mcp_url
    )?;
    guardrails(&config, out)?;
    Ok(ExitCode::SUCCESS)
}

/// Says in words what holds heals back.
fn guardrails(config: &Config, out: &mut dyn Write) -> std::io::Result<()> {
    let now = SystemClock::start().now();
    match (config.healing_enabled, config.dry_run) {
        (false, _) => writeln!(out, "  healing: off (healing_enabled: false)")?,
        (true, true) => writeln!(out, "  healing: only said, not done (dry_run: true)")?,
        (true, false) => {}
    }
    let disruptive = match config.disruptive_from {
        DisruptiveFrom::Medium => "medium or high",
        DisruptiveFrom::High => "high",
    };
    match &config.window {
        Some(_) if config.allow_disruptive_outside_window => {
            writeln!(out, "  maintenance window: not kept (allow_disruptive_outside_window: true)")?;
        }
        Some(window) => {
            let opens = window.next_opening(now).map_or_else(|| "never".to_owned(), |at| window.local(at));
            let now = if window.closes(now).is_some() { "open now, " } else { "" };
            writeln!(out, "  maintenance window: {window}: {now}opens next {opens}")?;
            writeln!(out, "  wait for it: runbooks that disturb people ({disruptive})")?;
        }
        None => writeln!(out, "  maintenance window: not kept (maintenance_window_enabled: false)")?,
    }
    writeln!(
        out,
        "  limits: {} heals an hour on a machine, {} at the site; after {} heals of the same thing within {} h a person",
        config.heals_per_host_per_hour, config.heals_per_site_per_hour, config.flap_limit, config.flap_window_hours
    )?;
    writeln!(
        out,
        "  after {} failures in a row a machine is left alone for {} min",
        config.breaker_failures, config.breaker_pause_minutes
    )?;
    let allowed = match config.runbook_allowlist.as_slice() {
        [] => "every one of this version".to_owned(),
        some => some.join(", "),
    };
    writeln!(out, "  runbooks: {allowed}")
}
