//! Room in /boot, made before anything is activated: a boot loader that finds none in the middle of its work leaves a
//! machine that may not start.

use crate::command::{self, CommandError};
use crate::places::Places;
use crate::profile::{self, Generation};
use msp_contracts::store_path::StorePath;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// What the boot loader writes beside kernel and initial RAM disk, with a little room to spare.
const MARGIN: u64 = 4 * 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(300);
const PARTS: [&str; 2] = ["kernel", "initrd"];

/// There is too little room, and none can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootSpaceError {
    /// How much there is cannot be told.
    #[error("how much room is left in /boot cannot be told ({source})")]
    Unknown { source: std::io::Error },
    /// Old generations could not be removed.
    #[error("old generations could not be removed from /boot: {source}")]
    NotRemoved {
        #[from]
        source: CommandError,
    },
    /// What has to stay fills it.
    #[error("/boot has {} MiB left and {} MiB are needed, although old generations were removed", free / 1024 / 1024, needed / 1024 / 1024)]
    TooLittle { free: u64, needed: u64 },
}

fn parts(places: &Places, system: &StorePath) -> Vec<PathBuf> {
    PARTS.iter().filter_map(|part| std::fs::read_link(places.inside(system).join(part)).ok()).collect()
}

/// What the boot loader has to copy for this system: its parts that no generation has brought there yet.
fn needed(places: &Places, to: &StorePath, known: &[Generation]) -> u64 {
    let there: Vec<_> = known.iter().flat_map(|generation| parts(places, &generation.store_path)).collect();
    let new = parts(places, to).into_iter().filter(|part| !there.contains(part));
    new.map(|part| std::fs::metadata(places.inside(part)).map_or(0, |data| data.len())).sum::<u64>() + MARGIN
}

fn free(places: &Places) -> Result<u64, BootSpaceError> {
    let told = rustix::fs::statvfs(places.boot()).map_err(|error| BootSpaceError::Unknown { source: error.into() })?;
    Ok(told.f_bavail * told.f_frsize)
}

/// Makes room for the boot loader's part of `to`; answers the numbers of the generations that were removed for it.
///
/// Kept are the generation that the machine starts with, the ones that run, that it was started with and that are
/// declared, and the newest one beside them, to go back to.
pub(crate) fn make(places: &Places, to: &StorePath, declared: Option<&StorePath>) -> Result<Vec<u64>, BootSpaceError> {
    // A container has none.
    if !places.boot().is_dir() {
        return Ok(Vec::new());
    }
    let known = profile::generations(places).map_err(|source| BootSpaceError::Unknown { source })?;
    let needed = needed(places, to, &known);
    if free(places)? >= needed {
        return Ok(Vec::new());
    }
    let stays = |one: &Generation| {
        one.is_default || one.is_running || one.is_booted || one.store_path == *to || Some(&one.store_path) == declared
    };
    let mut old: Vec<u64> = known.iter().filter(|one| !stays(one)).map(|one| one.number).collect();
    old.pop();
    if !old.is_empty() {
        let profile = places.profile();
        let numbers: Vec<OsString> = old.iter().map(|number| number.to_string().into()).collect();
        let mut arguments: Vec<&OsStr> =
            vec!["--profile".as_ref(), profile.as_os_str(), "--delete-generations".as_ref()];
        arguments.extend(numbers.iter().map(OsString::as_os_str));
        command::run("nix-env", &arguments, LIMIT)?;
        // The boot loader's own program removes what belongs to no generation any more.
        let install = places.profile().join("bin/switch-to-configuration");
        command::run(&install.to_string_lossy(), &["boot".as_ref()], LIMIT)?;
    }
    let free = free(places)?;
    if free >= needed { Ok(old) } else { Err(BootSpaceError::TooLittle { free, needed }) }
}
