//! `msp-agent check-config`: is the configuration sound?

use crate::app::policy::Policy;
use crate::app::signing_key;
use crate::clock::{Clock, SystemClock};
use crate::config::sealed;
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
        if let Some(trouble) = Identity::load(&config)?.trouble(SystemClock::new().now()) {
            writeln!(out, "warning: {trouble}")?;
        }
        signing_key(&config)?;
        sealed::recipient(&config)?;
        Policy::load(&config)?;
    }
    writeln!(
        out,
        "{}: sound: site {}, host {}, {}",
        args.file.display(),
        config.site_id,
        config.host_id,
        config.mcp_url
    )?;
    Ok(ExitCode::SUCCESS)
}
