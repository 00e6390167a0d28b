//! How the agent logs on to Windows servers: one file a server, `<hostname>.yaml`, under
//! `windows_credentials_dir`, readable by nobody else; or, where there is none, what Central Command sent encrypted.

use super::Config;
use super::exposed::is_exposed;
use super::sealed::{Key, SealedError};
use secrecy::SecretString;
use serde::Deserialize;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Name and password of an account on a Windows server. The password is wiped from memory when dropped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

/// Credentials that cannot be used; never says what stands in the file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error(
        "{}: no credentials for {hostname}: write `username:` and `password:` into this file, mode 0600, or send them with `msp-central targets credentials set`",
        file.display()
    )]
    Absent {
        hostname: String,
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}: other users can read it (mode {mode:04o}): chmod 600 it", file.display())]
    Readable { file: PathBuf, mode: u32 },
    #[error("{}: not credentials: it needs exactly `username:` and `password:`, both text", file.display())]
    Form { file: PathBuf },
    #[error(transparent)]
    Sealed(#[from] SealedError),
}

/// Where the credentials of one server lie.
pub fn file(folder: &Path, hostname: &str) -> PathBuf {
    folder.join(format!("{hostname}.yaml"))
}

/// The credentials of one server: from its file, if there is one, whatever is in it; else those that Central Command
/// sent, which only this appliance's key opens.
///
/// # Errors
/// When there are none, or they cannot be used.
pub fn find(config: &Config, hostname: &str, sealed: Option<&str>) -> Result<Credentials, CredentialsError> {
    match (read(&config.windows_credentials_dir, hostname), sealed) {
        (Err(CredentialsError::Absent { source, .. }), Some(sealed)) if source.kind() == ErrorKind::NotFound => {
            let key = Key::read(&config.encryption_key())?;
            Ok(key.open(sealed, &config.site_id, &config.host_id, hostname)?)
        }
        (found, _) => found,
    }
}

/// Reads the credentials of one server from its file.
///
/// # Errors
/// When there are none, others can read them, or they are no credentials.
pub fn read(folder: &Path, hostname: &str) -> Result<Credentials, CredentialsError> {
    let file = file(folder, hostname);
    let absent = |source| CredentialsError::Absent { hostname: hostname.to_owned(), file: file.clone(), source };
    let data = std::fs::metadata(&file).map_err(absent)?;
    if is_exposed(&file, &data) {
        let mode = data.permissions().mode() & 0o777;
        return Err(CredentialsError::Readable { file, mode });
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(&file).map_err(absent)?);
    // The parser's own message would quote the line: it is left out.
    serde_saphyr::from_str(&text).map_err(|_| CredentialsError::Form { file })
}

/// Whether any credentials lie there.
pub fn any(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "yaml")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, text: &str, mode: u32) {
        let path = folder.join("FS01.yaml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_password_is_read_from_a_private_file_only_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let absent = read(folder.path(), "FS01").unwrap_err().to_string();
        assert!(absent.contains("FS01.yaml") && absent.contains("0600"), "{absent}");

        file(folder.path(), "username: svc\npassword: 'hunter2: #x'\n", 0o600);
        let found = read(folder.path(), "FS01").unwrap();
        assert_eq!(found.username, "svc");
        assert_eq!(secrecy::ExposeSecret::expose_secret(&found.password), "hunter2: #x");
        assert!(!format!("{found:?}").contains("hunter2"));

        file(folder.path(), "username: svc\npassword: hunter2\n", 0o640);
        assert!(read(folder.path(), "FS01").unwrap_err().to_string().contains("chmod 600"));
        file(folder.path(), "username: svc\npasword: hunter2\n", 0o600);
        let said = format!("{:#}", anyhow::Error::from(read(folder.path(), "FS01").unwrap_err()));
        assert!(!said.contains("hunter2"), "{said}");
    }
}
