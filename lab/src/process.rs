//! A child process with its log file: started, waited for until it says that it is ready, stopped.
//!
//! Each child holds the reading end of a pipe whose writing end the lab keeps: when the lab dies, however it
//! dies, the children see the end of their standard input and stop.

use anyhow::{Context, bail};
use msp_contracts::rehearsal::{RehearsedTime, VARIABLE};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a process may take until it is ready.
const READY: Duration = Duration::from_secs(20);
/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_millis(1500);

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// Where its standard error goes.
    pub log: PathBuf,
}

/// The program beside this one; for a test, which lies one folder deeper, beside its folder.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding the folder of the programs")?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| {
        format!("{name} is not built beside {}: use `cargo lab` or `cargo suite`, which build it", own.display())
    })
}

/// A program without the `MSP_*` of whoever started the lab: they would configure its clinic.
fn command(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(program(name)?);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("MSP_") {
            command.env_remove(variable);
        }
    }
    Ok(command)
}

/// Runs a program to its end and returns what it printed.
pub async fn output(name: &str, args: &[&str]) -> anyhow::Result<(bool, Vec<u8>)> {
    let done = command(name)?.args(args).stdin(Stdio::null()).output().await;
    let done = done.with_context(|| format!("running {name}"))?;
    // Exit code 1 is an answer; 2 and signals are not.
    if !matches!(done.status.code(), Some(0 | 1)) {
        bail!("{name} {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok((done.status.success(), done.stdout))
}

/// Runs a program that has to succeed.
pub async fn succeed(name: &str, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let done = command(name)?.args(args).stdin(Stdio::null()).output().await;
    let done = done.with_context(|| format!("running {name}"))?;
    if !done.status.success() {
        bail!("{name} {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(done.stdout)
}

impl Process {
    /// Starts `program`; its standard error goes to `<logs>/<name>.log`.
    pub fn start(logs: &Path, name: &str, program_name: &str, args: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(logs, name, program_name, args, None)
    }

    /// Starts `program` in a rehearsed time.
    pub fn start_in(
        logs: &Path,
        name: &str,
        program_name: &str,
        args: &[&str],
        time: Option<RehearsedTime>,
    ) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("{}: cannot be written", log.display()))?;
        let child = command(program_name)?
            .args(args)
            .envs(time.map(|time| (VARIABLE, time.to_string())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {program_name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits for the one JSON line that says that it is ready.
    pub async fn ready<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let stdout = self.child.stdout.take().context("its output was read already")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY, lines.next_line()).await;
        let line =
            line.with_context(|| format!("{} was not ready in {READY:?}; see {}", self.name, self.log.display()))?;
        let Some(line) = line.context("reading its output")? else {
            bail!("{} ended at once: {}", self.name, self.last_words());
        };
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    /// Asks it to stop, and kills it when it does not.
    pub async fn stop(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Ends it at once, as a power cut would: it learns nothing of it.
    pub async fn kill(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill().await;
    }

    /// What it is called here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}
