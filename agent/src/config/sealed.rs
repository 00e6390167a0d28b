//! Credentials that travelled encrypted (age, X25519): this appliance's own key opens what Central Command sends for
//! it, and nothing else.
//!
//! The key's file has the form of `age-keygen`. What is opened exists in memory only, and is wiped from it. No error
//! says anything of what was inside.

use super::Config;
use super::credentials::Credentials;
use super::exposed::is_exposed;
use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use msp_contracts::logon::{NotForThis, TargetLogon};
use secrecy::SecretString;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest logon that is opened, in bytes: more is no logon.
const LONGEST: u64 = 16 * 1024;

/// Encrypted credentials that cannot be used, or the key that should open them.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    #[error("{}: the key that opens encrypted credentials cannot be read (encryption_key_file)", file.display())]
    NoKey {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: other users can read it (mode {mode:04o}): chmod 600 it", file.display())]
    Exposed { file: PathBuf, mode: u32 },
    #[error("{}: not a key in age's form: one line AGE-SECRET-KEY-1...", file.display())]
    Form { file: PathBuf },
    #[error(
        "the credentials for {hostname} are encrypted to another key than this appliance's: set them again with `msp-central targets credentials set`"
    )]
    OtherKey { hostname: String },
    #[error(
        "the credentials for {hostname} are damaged or were changed on the way: set them again with `msp-central targets credentials set`"
    )]
    Damaged { hostname: String },
    #[error("the credentials for {hostname} are refused: they were {source}")]
    NotForThis {
        hostname: String,
        #[source]
        source: NotForThis,
    },
}

/// This appliance's key for credentials.
pub struct Key(Identity);

/// A new key: the public half, and the text of its file.
pub fn new_key() -> (String, Zeroizing<String>) {
    let identity = Identity::generate();
    let public = identity.to_public().to_string();
    let secret = identity.to_string();
    let text = Zeroizing::new(format!("# public key: {public}\n{}\n", secret.expose_secret()));
    (public, text)
}

impl Key {
    /// Reads the key's file.
    ///
    /// # Errors
    /// When it cannot be read, others can read it too, or it is no key.
    pub fn read(file: &Path) -> Result<Self, SealedError> {
        let no_key = |source| SealedError::NoKey { file: file.to_owned(), source };
        let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(no_key)?;
        let data = std::fs::metadata(file).map_err(no_key)?;
        if is_exposed(file, &data) {
            let mode = data.permissions().mode() & 0o777;
            return Err(SealedError::Exposed { file: file.to_owned(), mode });
        }
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        match (lines.next().map(str::parse), lines.next()) {
            (Some(Ok(identity)), None) => Ok(Self(identity)),
            _ => Err(SealedError::Form { file: file.to_owned() }),
        }
    }

    /// The key that credentials are encrypted to: `age1...`.
    pub fn recipient(&self) -> Recipient {
        self.0.to_public()
    }

    /// Opens the credentials for one server.
    ///
    /// # Errors
    /// When they are for another key, appliance or server, or were changed.
    pub fn open(
        &self,
        ciphertext: &str,
        site_id: &str,
        appliance: &str,
        hostname: &str,
    ) -> Result<Credentials, SealedError> {
        let damaged = || SealedError::Damaged { hostname: hostname.to_owned() };
        let armored = age::armor::ArmoredReader::new(ciphertext.as_bytes());
        let decryptor = age::Decryptor::new_buffered(armored).map_err(|_| damaged())?;
        let opened = decryptor.decrypt(std::iter::once(&self.0 as &dyn age::Identity));
        let reader = opened.map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => SealedError::OtherKey { hostname: hostname.to_owned() },
            _ => damaged(),
        })?;
        // As long as it may become at once: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or_default()));
        reader.take(LONGEST).read_to_end(&mut text).map_err(|_| damaged())?;
        let mut logon: TargetLogon = serde_json::from_slice(&text).map_err(|_| damaged())?;
        logon
            .check(site_id, appliance, hostname)
            .map_err(|source| SealedError::NotForThis { hostname: hostname.to_owned(), source })?;
        let username = std::mem::take(&mut logon.username);
        Ok(Credentials { username, password: SecretString::from(std::mem::take(&mut logon.password)) })
    }
}

/// The key that credentials are encrypted to, when this appliance has one.
///
/// # Errors
/// When there is a file, and it cannot be used.
pub fn recipient(config: &Config) -> Result<Option<String>, SealedError> {
    match Key::read(&config.encryption_key()) {
        Ok(key) => Ok(Some(key.recipient().to_string())),
        Err(SealedError::NoKey { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use msp_contracts::SCHEMA_VERSION;

    fn sealed(recipient: &Recipient, plaintext: &[u8]) -> String {
        age::encrypt_and_armor(recipient, plaintext).unwrap()
    }

    fn logon() -> Vec<u8> {
        let logon = TargetLogon {
            schema_version: SCHEMA_VERSION,
            site_id: "clinic-a".into(),
            appliance: "apl-1".into(),
            hostname: "DC01".into(),
            username: "svc".into(),
            password: "hunter2".into(),
        };
        serde_json::to_vec(&logon).unwrap()
    }

    fn key(text: &str, mode: u32) -> Result<Key, SealedError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("encryption.key");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        Key::read(&file)
    }

    #[test]
    fn credentials_open_only_with_the_right_key_unchanged_and_for_this_server_and_appliance() {
        let (public, text) = new_key();
        let own = key(&text, 0o600).unwrap();
        assert_eq!(own.recipient().to_string(), public);
        let good = sealed(&own.recipient(), &logon());
        let opened = own.open(&good, "clinic-a", "apl-1", "DC01").unwrap();
        assert_eq!((opened.username.as_str(), opened.password.expose_secret()), ("svc", "hunter2"));

        let refused = |ciphertext: &str, site: &str, appliance: &str, hostname: &str| {
            let error = own.open(ciphertext, site, appliance, hostname).unwrap_err();
            let said = format!(
                "{:#} {error:?}",
                anyhow::Error::from(own.open(ciphertext, site, appliance, hostname).unwrap_err())
            );
            assert!(!said.contains("hunter2") && !said.contains("svc"), "{said}");
            error.to_string()
        };
        assert!(refused(&good, "clinic-b", "apl-1", "DC01").contains("site \"clinic-a\""));
        assert!(refused(&good, "clinic-a", "apl-2", "DC01").contains("appliance \"apl-1\""));
        assert!(refused(&good, "clinic-a", "apl-1", "FS01").contains("server \"DC01\""));
        let other = Identity::generate().to_public();
        assert!(refused(&sealed(&other, &logon()), "clinic-a", "apl-1", "DC01").contains("another key"));
        for garbage in ["", "hunter2", "-----BEGIN AGE ENCRYPTED FILE-----\n", &good[..good.len() / 2]] {
            assert!(refused(garbage, "clinic-a", "apl-1", "DC01").contains("damaged"), "{garbage}");
        }
        let inside = sealed(&own.recipient(), b"{\"username\": \"svc\", \"password\": \"hunter2\"}");
        assert!(refused(&inside, "clinic-a", "apl-1", "DC01").contains("damaged"));
        // Every changed character of the armour's body is noticed.
        let body: Vec<usize> =
            good.char_indices().filter(|(at, _)| (40..good.len() - 40).contains(at)).map(|(at, _)| at).collect();
        for at in body.into_iter().step_by(7) {
            let mut changed = good.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(own.open(&changed, "clinic-a", "apl-1", "DC01").is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_key_file_that_others_can_read_or_that_holds_no_key_is_refused() {
        let (_, text) = new_key();
        assert!(matches!(key(&text, 0o644), Err(SealedError::Exposed { .. })));
        for bad in ["", "# public key: age1\n", "AGE-SECRET-KEY-1QQQ", &format!("{}{}", *text, *text)] {
            assert!(matches!(key(bad, 0o600), Err(SealedError::Form { .. })), "{bad}");
        }
    }
}
