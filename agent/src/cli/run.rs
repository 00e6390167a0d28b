//! `msp-agent run`: the daemon.

use super::{ConfigArg, log};
use crate::adapters::inherited;
use crate::app::{Agent, HOST_CHECK_LIMIT};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::sense::host::Machine;
use anyhow::Context;
use msp_contracts::evidence::Target;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long work in flight may go on after a signal; an intent that is not done by then stays open.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The file that a running agent holds locked, under `state_dir`.
pub(super) const LOCK: &str = "agent.lock";

/// Run the agent: check, heal, prove and report until SIGTERM or SIGINT
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  msp-agent run --config /etc/msp/config.yaml\n\nLogs go to stderr. One agent a state_dir: \
                        a second one refuses to start.\n\nSIGTERM and SIGINT end it within a second: work in flight gets \
                        half of one, what is not done by then is looked at after the next start.\nSIGHUP: check in, sync \
                        rules and fetch orders now."
)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Stop when standard input ends: for a parent that is no service manager
    #[arg(long)]
    exit_with_stdin: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Before there is a second thread.
    let inherited = inherited::take();
    let loaded = super::load(&args.config.file)?;
    let config = loaded.config;
    log::start(config.log_level.filter());
    for warning in loaded.warnings {
        tracing::warn!("{warning}");
    }
    // The state is for the agent alone; a folder that is there already keeps its owner's choice.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.state_dir)
        .with_context(|| format!("{}: the state folder cannot be made", config.state_dir.display()))?;
    let _lock = lock(&config.state_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime
        .block_on(async {
            let stop = CancellationToken::new();
            let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
            let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
            let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
            let clock = Arc::new(SystemClock::start());
            let machine = Arc::new(Machine::at(Path::new("/"), HOST_CHECK_LIMIT, clock.clone()));
            let appliance = appliance(&config, clock.clone());
            let agent = Arc::new(Agent::open(config, clock, appliance).await?);
            tracing::info!(version = env!("CARGO_PKG_VERSION"), host_id = %agent.config.host_id, "msp-agent works");
            let mut work = tokio::spawn(Arc::clone(&agent).run(machine, inherited, stop.clone()));
            loop {
                tokio::select! {
                    ended = &mut work => return ended.context("the agent ended early")?.map(|()| ExitCode::SUCCESS),
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hangup.recv() => {
                        tracing::info!("Central Command is asked at once (SIGHUP)");
                        agent.contact.send_replace(());
                    }
                    () = end_of_stdin(), if args.exit_with_stdin => break,
                }
            }
            tracing::info!("stopping");
            stop.cancel();
            match tokio::time::timeout(LAST_WORDS, work).await {
                Ok(ended) => ended.context("the agent ended early")??,
                Err(_) => tracing::info!("work in flight is left to the next start"),
            }
            Ok(ExitCode::SUCCESS)
        })
        .inspect(|_| runtime.shutdown_background())
}

/// The one right to write the state: held as long as the file is open.
///
/// # Errors
/// When an agent works on it.
pub(super) fn lock(state_dir: &Path) -> anyhow::Result<std::fs::File> {
    let file = state_dir.join(LOCK);
    let lock = std::fs::File::create(&file).with_context(|| format!("{}: cannot be made", file.display()))?;
    lock.try_lock().with_context(|| {
        format!("{}: another msp-agent works on this state_dir; stop it, or name another state_dir", file.display())
    })?;
    Ok(lock)
}

/// The appliance itself, as findings and evidence name it.
pub(super) fn appliance(config: &Config, clock: Arc<dyn Clock>) -> Target {
    let machine = Machine::at(Path::new("/"), HOST_CHECK_LIMIT, clock);
    Target { host_id: config.host_id.clone(), name: machine.host_name(), platform: machine.platform() }
}

async fn end_of_stdin() {
    let mut stdin = tokio::io::stdin();
    // Whatever is written there is read and forgotten; an error ends it as well.
    let _ = tokio::io::copy(&mut stdin, &mut tokio::io::sink()).await;
}
