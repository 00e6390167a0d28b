//! The server's TLS identity: read from PEM files, or made on the spot with a small authority of its own.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::ntlm::ChannelBindings;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or holds no PEM of the right kind.
    #[error("reading the {what} from {path}: {source}; give a PEM file that this account can read", path = path.display())]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A file could not be written.
    #[error("writing {path}: {source}; give a --tls-dir that this account can write to", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("making a certificate for {name}: {source}; give a host name of letters, digits and hyphens")]
    Make {
        /// For whom.
        name: String,
        /// What went wrong.
        #[source]
        source: rcgen::Error,
    },
    /// Certificate and key do not go together, or TLS cannot use them.
    #[error("using the certificate and key: {source}; check that the key belongs to the certificate")]
    Use {
        /// What went wrong.
        #[source]
        source: rustls::Error,
    },
}

/// A TLS configuration for servers.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    /// What clients of this certificate bind themselves to.
    pub(crate) bindings: ChannelBindings,
}

impl Identity {
    /// From PEM files.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn from_pem(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let read_error = |what, path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Read { what, path, source }
        };
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(read_error("certificate", cert))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(read_error("private key", key))?;
        // An empty chain is refused below.
        let bindings = ChannelBindings::of(chain.first().map_or(&[], |leaf| leaf.as_ref()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|source| TlsError::Use { source })?;
        Ok(Self { config: Arc::new(config), bindings })
    }

    /// Makes an authority and a certificate for this address and name, and writes `ca.pem`, `cert.pem` and `key.pem` into
    /// the folder, which is created if need be. Files of an earlier run are replaced.
    ///
    /// # Errors
    /// A certificate cannot be made, or a file not written.
    pub fn create_in(dir: &Path, address: IpAddr, hostname: &str) -> Result<Self, TlsError> {
        let make = |source| TlsError::Make { name: hostname.to_owned(), source };
        let (ca_pem, cert_pem, key_pem) = certificates(address, hostname).map_err(make)?;
        std::fs::create_dir_all(dir).map_err(|source| TlsError::Write { path: dir.to_owned(), source })?;
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        write(&dir.join("ca.pem"), &ca_pem, 0o644)?;
        write(&cert, &cert_pem, 0o644)?;
        write(&key, &key_pem, 0o600)?;
        Self::from_pem(&cert, &key)
    }
}

/// PEM of the authority, the certificate and its key.
fn certificates(address: IpAddr, hostname: &str) -> Result<(String, String, String), rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "winsim authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_cert = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec![hostname.to_lowercase(), address.to_string()])?;
    leaf.distinguished_name.push(DnType::CommonName, hostname);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let cert = leaf.signed_by(&key, &issuer)?;
    Ok((ca_cert.pem(), cert.pem(), key.serialize_pem()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let result = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    result.map_err(|source| TlsError::Write { path: path.to_owned(), source })
}
