//! Whether others can read a file that holds a secret.
//!
//! What systemd hands over (`LoadCredential=`) is let to the service's user by an access list, whose mask shows as the
//! group's bits: 0440, though no group may read it. The folder is that user's alone and named by systemd itself.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The file's mode, when others than its owner can read it.
///
/// # Errors
/// When the file is not there or cannot be asked.
pub fn exposed(file: &Path) -> io::Result<Option<u32>> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    exposed_in(file, credentials.as_deref().map(Path::new))
}

fn exposed_in(file: &Path, credentials: Option<&Path>) -> io::Result<Option<u32>> {
    let mode = std::fs::metadata(file)?.permissions().mode() & 0o777;
    let handed_over = credentials.is_some_and(|folder| folder.is_absolute() && file.parent() == Some(folder));
    let others = if handed_over { 0o037 } else { 0o077 };
    Ok((mode & others != 0).then_some(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_systemds_access_list_is_no_group_but_anywhere_else_a_group_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing.pem");
        std::fs::write(&file, "").unwrap();
        let elsewhere = Some(Path::new("/run/credentials/other.service"));
        for (mode, handed_over, otherwise) in [
            (0o400, None, None),
            (0o440, None, Some(0o440)),
            (0o444, Some(0o444), Some(0o444)),
            (0o460, Some(0o460), Some(0o460)),
        ] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(exposed_in(&file, Some(folder.path())).unwrap(), handed_over, "{mode:o}");
            assert_eq!(exposed_in(&file, elsewhere).unwrap(), otherwise, "{mode:o}");
            assert_eq!(exposed_in(&file, None).unwrap(), otherwise, "{mode:o}");
        }
    }
}
