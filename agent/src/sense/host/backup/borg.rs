//! borg: the newest archive, asked of borg where the passphrase is at hand, else by the repository's files.
//!
//! borg 1 writes a new `index.N` with every transaction (its "Internals: Data structures"), so that a local
//! repository tells its last change without the passphrase. A prune or a compaction changes it too: the
//! passphrase makes the answer exact.

use super::{Newest, newest_file};
use crate::config::baseline;
use crate::sense::host::Machine;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

#[derive(Deserialize)]
struct Listing {
    archives: Vec<Archive>,
}

#[derive(Deserialize)]
struct Archive {
    time: String,
}

pub(super) async fn newest(machine: &Machine, borg: &baseline::Borg) -> Newest {
    match &borg.passphrase_file {
        Some(file) => asked(machine, &borg.repository, &file.display().to_string()).await,
        None => by_files(machine, &borg.repository),
    }
}

async fn asked(machine: &Machine, repository: &str, passphrase_file: &str) -> Newest {
    let quoted = passphrase_file.replace('\'', "'\\''");
    let command = format!("cat '{quoted}'");
    // borg takes no lock here, and what it remembers goes to a directory that is removed again.
    let base = match tempfile::tempdir() {
        Ok(base) => base,
        Err(error) => return Newest::Unclear(format!("a directory for borg's cache could not be made ({error})")),
    };
    let base_dir = base.path().to_string_lossy();
    let environment = [("BORG_PASSCOMMAND", command.as_str()), ("BORG_BASE_DIR", &base_dir)];
    let args = ["--bypass-lock", "list", "--json", "--last", "1", repository];
    let output = match machine.commands.run_with("borg", &args, &environment).await {
        Ok(output) => output,
        Err(error) => return Newest::Unclear(error.to_string()),
    };
    let listing: Listing = match serde_json::from_str(&output.stdout) {
        Ok(listing) => listing,
        Err(error) => return Newest::Unclear(format!("what `borg list --json` printed is not its format ({error})")),
    };
    let Some(archive) = listing.archives.last() else {
        return Newest::None("the repository has no archive".to_owned());
    };
    match time(&archive.time) {
        Some(then) => Newest::At(then),
        None => Newest::Unclear(format!("the newest archive has the time {:?}, which is none", archive.time)),
    }
}

/// borg 1 writes local time without a zone, and commands run here in UTC; borg 2 writes the zone.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp()))
}

fn by_files(machine: &Machine, repository: &str) -> Newest {
    if !repository.starts_with('/') {
        return Newest::Unclear("a repository that is no local directory needs a passphrase_file".to_owned());
    }
    let is_index = |name: &str| name.strip_prefix("index.").is_some_and(|rest| rest.parse::<u64>().is_ok());
    match newest_file(machine, repository, is_index) {
        Ok(Some(then)) => Newest::At(then),
        Ok(None) => Newest::None("the repository has no committed archive".to_owned()),
        Err(error) => Newest::Unclear(format!("{repository} could not be read ({error})")),
    }
}
