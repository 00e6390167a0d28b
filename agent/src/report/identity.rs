//! The appliance's certificate with its private key: which one counts, how long it lives, and how a renewed one takes
//! its place.
//!
//! A renewed certificate and its key are one file, replaced in one step, so that they never mismatch. It is the
//! configured file itself where that already holds both and can be written, else `identity.pem` in the state. Of the
//! configured certificate and a renewed one, the one that was issued last counts.

use crate::adapters::private_file::{self, PrivateFileError, Readers};
use crate::config::Config;
use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

/// Where a renewed certificate lies, in the state folder.
const RENEWED: &str = "identity.pem";

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{}: cannot be read ({key})", file.display())]
    Unreadable {
        key: &'static str,
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}: no certificate in PEM: enrol the appliance (`msp-agent enroll`), or use the file from `msp-central issue`", file.display())]
    NoCertificate { file: PathBuf },
    #[error("the certificate is of {found}, this is {expected}: is it another appliance's?")]
    OtherAppliance { found: String, expected: String },
    #[error("the certificate is for another key than the one that was made for it")]
    OtherKey,
    #[error(transparent)]
    File(#[from] PrivateFileError),
}

/// A certificate with its private key. Wiped from memory when dropped.
pub struct Identity {
    /// Both, in PEM.
    pub pem: Zeroizing<Vec<u8>>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The public key (SubjectPublicKeyInfo, DER).
    public_key: Vec<u8>,
    /// The appliances it names, as URIs.
    names: Vec<String>,
}

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// It should have been renewed by now.
    Ending,
    Over,
}

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

impl Identity {
    /// Reads certificate and private key from PEM; `file` is for the message.
    fn read(pem: Zeroizing<Vec<u8>>, file: &Path) -> Result<Self, IdentityError> {
        let none = || IdentityError::NoCertificate { file: file.to_owned() };
        let der = CertificateDer::from_pem_slice(&pem).map_err(|_| none())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| none())?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let uri = |name: &GeneralName<'_>| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        };
        let (not_before, not_after) =
            (second(parsed.validity().not_before.timestamp()), second(parsed.validity().not_after.timestamp()));
        let (public_key, names) = (parsed.public_key().raw.to_vec(), names.iter().filter_map(uri).collect());
        Ok(Self { pem, not_before, not_after, public_key, names })
    }

    /// A certificate that was just issued, with the key that was made for it.
    ///
    /// # Errors
    /// When it is for another key or another appliance.
    pub fn issued(certificate: &str, key: &KeyPair, site_id: &str, host_id: &str) -> Result<Self, IdentityError> {
        let secret = Zeroizing::new(key.serialize_pem());
        let pem = Zeroizing::new([certificate.trim().as_bytes(), b"\n", secret.as_bytes()].concat());
        let identity = Self::read(pem, Path::new("the answer of Central Command"))?;
        if !identity.is_for(key) {
            return Err(IdentityError::OtherKey);
        }
        identity.must_name(site_id, host_id)?;
        Ok(identity)
    }

    /// The certificate that counts: the configured one, or a renewed one that was issued later.
    ///
    /// # Errors
    /// When the configured one cannot be used.
    pub fn load(config: &Config) -> Result<Self, IdentityError> {
        let configured = Self::configured(config)?;
        let file = config.state_dir.join(RENEWED);
        if !file.exists() {
            return Ok(configured);
        }
        let renewed = private_file::read(&file).map_err(IdentityError::from).and_then(|text| {
            let renewed = Self::read(Zeroizing::new(text.as_bytes().to_vec()), &file)?;
            renewed.must_name(&config.site_id, &config.host_id).map(|()| renewed)
        });
        match renewed {
            Ok(renewed) if renewed.not_before >= configured.not_before => Ok(renewed),
            Ok(_) => Ok(configured),
            Err(error) => {
                let error = crate::causes::chain(&error);
                tracing::warn!(file = %file.display(), %error, "the renewed certificate is not used");
                Ok(configured)
            }
        }
    }

    fn configured(config: &Config) -> Result<Self, IdentityError> {
        let read = |key, file: &Path| {
            let unreadable = |source| IdentityError::Unreadable { key, file: file.to_owned(), source };
            std::fs::read(file).map(Zeroizing::new).map_err(unreadable)
        };
        let mut pem = read("client_cert_file", &config.client_cert_file)?;
        if config.client_key_file != config.client_cert_file {
            let key = read("client_key_file", &config.client_key_file)?;
            pem = Zeroizing::new([pem.as_slice(), b"\n", key.as_slice()].concat());
        }
        Self::read(pem, &config.client_cert_file)
    }

    fn must_name(&self, site_id: &str, host_id: &str) -> Result<(), IdentityError> {
        let expected = format!("urn:msp:{site_id}:{host_id}");
        if self.names == [expected.as_str()] {
            return Ok(());
        }
        let found = if self.names.is_empty() { "nobody".to_owned() } else { self.names.join(", ") };
        Err(IdentityError::OtherAppliance { found, expected })
    }

    /// Whether the certificate is for this key.
    pub fn is_for(&self, key: &KeyPair) -> bool {
        self.public_key == key.subject_public_key_info()
    }

    /// How long the certificate lives, all in all.
    pub fn life(&self) -> SignedDuration {
        self.not_after.duration_since(self.not_before)
    }

    /// From when on it is to be renewed: two thirds of its life.
    pub fn renew_after(&self) -> Timestamp {
        self.not_before.saturating_add(self.life() / 3 * 2).unwrap_or(self.not_after)
    }

    /// How it stands: near its end is when half of the time for renewing it has passed in vain.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let ending = self.not_after.saturating_sub(self.life() / 6).unwrap_or(self.not_after);
        match now {
            now if now >= self.not_after => Standing::Over,
            now if now >= ending => Standing::Ending,
            _ => Standing::Good,
        }
    }

    /// What a person should know about it, if anything.
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        let end = self.not_after;
        match self.standing(now) {
            Standing::Good => None,
            Standing::Ending => Some(format!(
                "the certificate of this appliance ends at {end}, and should have been renewed since {}: does Central \
                 Command renew (see the log)? After its end only a new enrolment helps",
                self.renew_after()
            )),
            Standing::Over => Some(format!(
                "the certificate of this appliance ended at {end}: enrol it anew, with a token made by \
                 `msp-central enroll-token --appliance NAME`, and `msp-agent enroll` (is this machine's clock right?)"
            )),
        }
    }

    /// Puts the certificate in the place of the one before. The configured file is replaced where it holds both and
    /// can be written; else the state keeps it.
    ///
    /// # Errors
    /// When the state cannot be written either.
    pub fn keep(&self, config: &Config) -> Result<PathBuf, IdentityError> {
        let state = config.state_dir.join(RENEWED);
        if config.client_cert_file == config.client_key_file
            && private_file::replace(&config.client_cert_file, &self.pem, Readers::Owner).is_ok()
        {
            // What the state may hold is older; when it cannot be removed, it is also not used.
            let _ = std::fs::remove_file(state);
            return Ok(config.client_cert_file.clone());
        }
        private_file::replace(&state, &self.pem, Readers::Owner)?;
        Ok(state)
    }
}

/// Forgets a certificate that was renewed before the appliance was enrolled anew.
pub fn forget_renewed(state_dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(state_dir.join(RENEWED)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
