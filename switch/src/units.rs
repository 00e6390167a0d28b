//! Which units have failed: a switch is judged by those that failed newly.

use crate::command::{self, CommandError};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// The units in the state "failed".
pub(crate) fn failed() -> Result<BTreeSet<String>, CommandError> {
    let arguments = ["list-units", "--state=failed", "--all", "--full", "--plain", "--no-legend", "--no-pager"];
    let told = command::output("systemctl", &arguments.map(OsStr::new), LIMIT)?;
    Ok(told.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}
