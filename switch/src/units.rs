//! Which units have failed: a switch is judged by those that failed newly.

use crate::command::{self, CommandError};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// The units that failed, and those that fail and are started again and again, which never come to rest in "failed".
pub(crate) fn failed() -> Result<BTreeSet<String>, CommandError> {
    let arguments =
        ["list-units", "--state=failed,auto-restart", "--all", "--full", "--plain", "--no-legend", "--no-pager"];
    let told = command::output("systemctl", &arguments.map(OsStr::new), LIMIT)?;
    let mut found = BTreeSet::new();
    for line in told.lines() {
        let mut words = line.split_whitespace();
        // UNIT LOAD ACTIVE SUB
        let (Some(unit), Some(sub)) = (words.next(), words.nth(2)) else { continue };
        // One that ended well and is started again as it should be, has not failed.
        if sub != "auto-restart" || exit_status(unit)? != "0" {
            found.insert(unit.to_owned());
        }
    }
    Ok(found)
}

fn exit_status(unit: &str) -> Result<String, CommandError> {
    let arguments = ["show", "--property=ExecMainStatus", "--value", unit];
    Ok(command::output("systemctl", &arguments.map(OsStr::new), LIMIT)?.trim().to_owned())
}

/// Whether the machine is on its way down.
pub(crate) fn is_stopping() -> bool {
    // Its exit code tells the state as well, so it is no success that is wanted.
    let asked = std::process::Command::new("systemctl").arg("is-system-running").output();
    asked.is_ok_and(|told| told.stdout.starts_with(b"stopping"))
}
