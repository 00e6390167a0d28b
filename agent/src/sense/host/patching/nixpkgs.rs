//! Which nixpkgs a NixOS system was built from, and when that was.
//!
//! A release's version ends in the date and revision of its commit, `26.05.20260101.abcdef0`; a flake built by
//! hand may carry only its revision, then the flake registry that the system pins tells `lastModified`.

use crate::adapters::files::HostFiles;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Where the system's packages come from.
pub(super) struct Source {
    /// The version or revision.
    pub named: String,
    /// When it was committed.
    pub built: Timestamp,
}

/// The source of the running system's packages, or why it cannot be told.
pub(super) fn source(files: &HostFiles) -> Result<Source, String> {
    let path = "/run/current-system/nixos-version";
    let version = files.read(path).map_err(|error| format!("{path} could not be read ({error})"))?;
    let version = version.trim();
    if let Some(built) = version.split('.').find_map(date) {
        return Ok(Source { named: version.to_owned(), built });
    }
    let registry = files.read("/etc/nix/registry.json").ok().and_then(|text| serde_json::from_str(&text).ok());
    match registry.as_ref().and_then(pinned) {
        Some(built) => Ok(Source { named: version.to_owned(), built }),
        None => {
            Err(format!("the version {version:?} carries no date, and /etc/nix/registry.json pins no nixpkgs with one"))
        }
    }
}

fn date(part: &str) -> Option<Timestamp> {
    let digits = part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_digit());
    let date = Date::strptime("%Y%m%d", part).ok().filter(|_| digits)?;
    date.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// `flakes[].to.lastModified` of the entry whose `from.id` is nixpkgs.
fn pinned(registry: &Value) -> Option<Timestamp> {
    let flakes = registry.get("flakes")?.as_array()?;
    let nixpkgs = flakes.iter().find(|flake| flake.pointer("/from/id").is_some_and(|id| id == "nixpkgs"))?;
    Timestamp::from_second(nixpkgs.pointer("/to/lastModified")?.as_i64()?).ok().filter(|at| at.as_second() > 0)
}
