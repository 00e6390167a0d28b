//! The agent's command line, as a user types it.

use anyhow::Context;
use msp_lab::clinic::Clinic;
use msp_lab::process::program;
use msp_lab::watch;
use serde_json::Value;
use std::process::{Command, Output};
use std::time::Duration;

/// How long anything in a clinic may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `msp-agent` with these arguments and no `MSP_*` environment.
///
/// # Errors
/// When it is not built.
pub fn run(args: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(program("msp-agent")?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MSP_") {
            command.env_remove(name);
        }
    }
    command.args(args).output().context("running msp-agent")
}

/// Runs `msp-agent` and reads the one JSON document it prints; the exit code beside it.
///
/// # Errors
/// When it prints no JSON.
pub fn json(args: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
    let done = run(args)?;
    let said = || format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    Ok((done.status.code(), serde_json::from_slice(&done.stdout).with_context(said)?))
}

/// Asks until `wanted` says yes of what the agent knows.
///
/// # Errors
/// When patience ends, or the agent has died; says what it knew last.
pub async fn wait(
    clinic: &mut Clinic,
    what: &str,
    wanted: impl Fn(&watch::Known) -> bool,
) -> anyhow::Result<watch::Known> {
    let mut last = None;
    for _ in 0..PATIENCE.as_millis() / 200 {
        if let Ok(known) = watch::incidents(clinic).await {
            if wanted(&known) {
                return Ok(known);
            }
            last = Some(known);
        }
        if let Some(dead) = clinic.dead() {
            anyhow::bail!("waiting until {what}: {dead}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("waited {PATIENCE:?} until {what}; the agent knew last: {last:#?}\n{}", clinic.last_words())
}

/// Whether the agent has healed this check (and part) of this machine.
#[must_use]
pub fn healed(known: &watch::Known, host_id: &str, check: &str, subject: Option<&str>) -> bool {
    known.incidents.iter().any(|one| {
        one.host_id == host_id
            && one.check == check
            && one.subject.as_deref() == subject
            && one.state == "resolved"
            && one.outcome.as_deref() == Some("fixed")
    })
}
