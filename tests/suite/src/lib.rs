//! Scenarios across crates, through the public doors: see tests/.
//!
//! The library holds what several scenarios need: [`skip`] to say that a test cannot run where it is,
//! [`central`] to be a Central Command that signs what a test wants, [`stand_in`] to stand in its place and misbehave,
//! [`relay`] to be slow, [`sensor`] to push drift, [`browser`] to look at a page, [`agent`] to ask the agent's command line,
//! [`machine`] to boot an appliance, [`nixos`] to give it generations, [`network`] to have several in one network,
//! [`python`] for programs of other people.

pub mod agent;
pub mod browser;
pub mod central;
pub mod machine;
pub mod network;
pub mod nixos;
pub mod python;
pub mod relay;
pub mod sensor;
pub mod stand_in;

use std::fs::OpenOptions;
use std::io::Write;

/// Says that the running test cannot run on this machine; the test returns right after. Call it once.
///
/// Prints `SKIPPED name: reason`, and appends the line `name<TAB>reason` to the file that `MSP_TEST_SKIP_LOG` names,
/// so that `cargo suite` counts the test as skipped instead of passed. `name` is the test function's own.
///
/// # Panics
/// When that file cannot be written: the test would be counted as passed.
#[allow(clippy::expect_used, clippy::print_stderr, reason = "called by tests only")]
pub fn skip(name: &str, reason: &str) {
    let reason = reason.replace('\n', " ");
    eprintln!("SKIPPED {name}: {reason}");
    let Some(log) = std::env::var_os("MSP_TEST_SKIP_LOG") else { return };
    let file = OpenOptions::new().append(true).open(log);
    // One write a line: lines of tests that run at the same time do not mix.
    file.and_then(|mut file| file.write_all(format!("{name}\t{reason}\n").as_bytes())).expect("MSP_TEST_SKIP_LOG");
}
