//! Whether others can read a file that holds a secret.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where systemd lays the credentials of a service (systemd.exec(5), "LoadCredential="), each service's in a folder that
/// nobody else can open.
const CREDENTIALS: &str = "/run/credentials";

/// Whether somebody other than its owner can read it. A credential of systemd's belongs to root, and an access list
/// lets the service's user in; that list shows as the group's right to read, which the group does not have.
pub fn is_exposed(file: &Path, data: &Metadata) -> bool {
    let granted_by_systemd = file.starts_with(CREDENTIALS) && data.uid() == 0;
    let others = if granted_by_systemd { 0o037 } else { 0o077 };
    data.mode() & others != 0
}
