//! `msp-agent check-config`: is the configuration sound?

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a configuration without running anything
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  msp-agent check-config /etc/msp/config.yaml && systemctl restart msp-agent\n\nExit code 0 when it can be \
                        used (warnings are printed), 2 when not: the message names line, column and cure."
)]
pub struct Args {
    /// The configuration, YAML or JSON
    #[arg(value_name = "FILE", default_value = super::CONFIG)]
    file: PathBuf,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let loaded = super::load(&args.file)?;
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let config = loaded.config;
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
