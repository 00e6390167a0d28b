//! restic: the newest snapshot, asked of restic where the password is at hand, else by the repository's files.
//!
//! A repository keeps one file a snapshot under `snapshots/` (restic's "Repository Format"), so that a local one
//! tells its newest backup without the password.

use super::{Newest, newest_file};
use crate::config::baseline;
use crate::sense::host::Machine;
use jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
struct Snapshot {
    time: Timestamp,
}

pub(super) async fn newest(machine: &Machine, restic: &baseline::Restic) -> Newest {
    match &restic.password_file {
        Some(file) => asked(machine, &restic.repository, &file.display().to_string()).await,
        None => by_files(machine, &restic.repository),
    }
}

async fn asked(machine: &Machine, repository: &str, password_file: &str) -> Newest {
    let args =
        ["snapshots", "--json", "--no-lock", "--no-cache", "--repo", repository, "--password-file", password_file];
    let output = match machine.commands.run("restic", &args).await {
        Ok(output) => output,
        Err(error) => return Newest::Unclear(error.to_string()),
    };
    match serde_json::from_str::<Option<Vec<Snapshot>>>(&output.stdout) {
        Ok(snapshots) => snapshots
            .into_iter()
            .flatten()
            .map(|snapshot| snapshot.time)
            .max()
            .map_or_else(|| Newest::None("the repository has no snapshot".to_owned()), Newest::At),
        Err(error) => Newest::Unclear(format!("what `restic snapshots --json` printed is not its format ({error})")),
    }
}

fn by_files(machine: &Machine, repository: &str) -> Newest {
    if !repository.starts_with('/') {
        return Newest::Unclear("a repository that is no local directory needs a password_file".to_owned());
    }
    // A snapshot's file is named by its SHA-256; a temporary one is not.
    let is_snapshot = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match newest_file(machine, &format!("{repository}/snapshots"), is_snapshot) {
        Ok(Some(then)) => Newest::At(then),
        Ok(None) => Newest::None("the repository has no snapshot".to_owned()),
        Err(error) => Newest::Unclear(format!("{repository}/snapshots could not be read ({error})")),
    }
}
