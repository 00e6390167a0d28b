//! What was refused, where the daemon can read it and report it: one line of JSON each, gone with the next boot.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use msp_agent_switch::now;
use serde::{Deserialize, Serialize};

/// Where the refusals of this boot are listed.
pub const FILE: &str = "/run/msp-agent-act/refused";
/// A stranger who goes on asking fills no memory.
const LONGEST: u64 = 64 * 1024;

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Seconds since 1970.
    pub at: u64,
    /// The user that asked.
    pub uid: u32,
    /// Why it was refused.
    pub reason: String,
}

/// Adds a line. That it cannot must not keep the refusal from being said.
pub(crate) fn add(file: &Path, uid: u32, reason: &str) -> std::io::Result<()> {
    let mut opened = OpenOptions::new().append(true).create(true).mode(0o644).open(file)?;
    if opened.metadata()?.len() > LONGEST {
        return Ok(());
    }
    let refusal =
        Refusal { at: u64::try_from(now().as_second()).unwrap_or(0), uid, reason: reason.chars().take(200).collect() };
    // One write a line: two executors at the same time do not mix theirs.
    opened.write_all(format!("{}\n", serde_json::to_string(&refusal)?).as_bytes())
}

/// The refusals in a file's text; a line that is none is passed over.
#[must_use]
pub fn read(text: &str) -> Vec<Refusal> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
