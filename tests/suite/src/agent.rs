//! The agent's command line, as a user types it.

use anyhow::Context;
use msp_lab::Progress;
use msp_lab::clinic::Clinic;
use msp_lab::drift::{Drift, Server};
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

/// A clinic whose agent has looked at both servers.
///
/// # Errors
/// When a program does not start, or patience ends.
pub async fn opened() -> anyhow::Result<Clinic> {
    let mut clinic = Clinic::prepare(None)?;
    clinic.open(Progress).await?;
    let looked = |known: &watch::Known| known.outbox.pending == 0 && !known.incidents.is_empty();
    wait(&mut clinic, "both servers were looked at", looked).await?;
    Ok(clinic)
}

/// Sets keys of the agent's configuration, one a line; a key that has a line already gets this one instead.
///
/// # Errors
/// When the file cannot be read or written.
pub fn set(clinic: &Clinic, lines: &str) -> anyhow::Result<()> {
    let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let new: Vec<String> = lines.lines().map(key).collect();
    let config = std::fs::read_to_string(clinic.config()).context("the agent's configuration")?;
    let kept = config.lines().filter(|line| !new.contains(&key(line)));
    let config: String = kept.chain(lines.lines()).flat_map(|line| [line, "\n"]).collect();
    std::fs::write(clinic.config(), config).context("the agent's configuration")
}

/// How often a script changed what this drift is about.
///
/// # Errors
/// When the server does not answer.
pub async fn changes(server: &Server, drift: Drift) -> anyhow::Result<usize> {
    Ok(server.ledger().await?.iter().filter(|change| drift.is_about(change)).count())
}

/// One bundle of evidence.
///
/// # Errors
/// When there is none of this id.
pub fn bundle(clinic: &Clinic, id: &str) -> anyhow::Result<Value> {
    let (code, bundle) = json(&["evidence", "show", id, "--config", &clinic.config()])?;
    anyhow::ensure!(code == Some(0), "evidence show {id}: {bundle}");
    Ok(bundle)
}

/// The first bundle of evidence about this check of this machine, as soon as there is one.
///
/// # Errors
/// When patience ends.
pub async fn first_evidence(clinic: &Clinic, host_id: &str, check: &str) -> anyhow::Result<Value> {
    let config = clinic.config();
    for _ in 0..PATIENCE.as_millis() / 200 {
        // Before the agent has made its database there is nothing to list.
        let listed = json(&["evidence", "list", "--json", "--config", &config]);
        let listed = listed.map_or(Value::Null, |(_, mut listed)| listed["evidence"].take());
        let mut about = listed.as_array().into_iter().flatten();
        let found = about.find(|one| one["target"]["host_id"] == host_id && one["check"] == check);
        if let Some(id) = found.and_then(|one| one["bundle_id"].as_str()) {
            return bundle(clinic, id);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("{host_id} was not looked at in {PATIENCE:?}\n{}", clinic.agent_log())
}
