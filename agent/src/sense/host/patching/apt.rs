//! What apt knows: when its lists were fetched, and what an upgrade would install.

use crate::adapters::command::Commands;
use crate::adapters::files::HostFiles;
use jiff::Timestamp;
use std::io;

const LISTS: &str = "/var/lib/apt/lists";

/// Updates that wait.
pub(super) struct Pending {
    /// Names of the packages with a security update, with the version.
    pub security: Vec<String>,
    /// How many packages an upgrade would change.
    pub all: usize,
}

/// When the lists were last fetched; none where there are no lists.
///
/// The stamp is written by the hook of update-notifier after a fetch that succeeded; the directory changes when a
/// new list replaced an old one. `partial` changes with fetches that failed, too, and the lists' own times are
/// those of the server: neither says anything here.
pub(super) fn lists_fetched(files: &HostFiles) -> io::Result<Option<Timestamp>> {
    let is_index =
        |name: &String| name.ends_with("_InRelease") || name.ends_with("_Release") || name.contains("_Packages");
    let names = match files.list(LISTS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names?,
    };
    if !names.iter().any(is_index) {
        return Ok(None);
    }
    let mut newest = None;
    for path in ["/var/lib/apt/periodic/update-success-stamp", LISTS] {
        match files.modified(path) {
            Ok(then) => newest = newest.max(Some(then)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(newest)
}

/// What `apt-get upgrade` would install, by simulating it.
pub(super) async fn pending(commands: &Commands) -> Result<Pending, String> {
    let args = ["--simulate", "-o", "Debug::NoLocking=true", "--with-new-pkgs", "upgrade"];
    let output = commands.run("apt-get", &args).await.map_err(|error| error.to_string())?;
    parse(&output.stdout).ok_or_else(|| "what `apt-get --simulate upgrade` printed has no summary".to_owned())
}

/// Lines `Inst NAME [OLD] (NEW ORIGIN [ARCH])`, and a summary line without which the listing is cut.
fn parse(text: &str) -> Option<Pending> {
    let mut pending = Pending { security: Vec::new(), all: 0 };
    let mut summary = false;
    for line in text.lines() {
        summary |= line.contains(" upgraded, ") && line.contains(" not upgraded");
        let Some(rest) = line.strip_prefix("Inst ") else { continue };
        pending.all += 1;
        let name = rest.split(' ').next().unwrap_or_default();
        let Some((version, origins)) = rest.split_once('(').and_then(|(_, new)| new.split_once(' ')) else { continue };
        // Debian-Security:12/stable-security, Ubuntu:24.04/noble-security, Debian:13/trixie-security
        if origins.to_ascii_lowercase().contains("-security") {
            pending.security.push(format!("{name} {version}"));
        }
    }
    summary.then_some(pending)
}
