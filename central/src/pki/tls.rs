//! TLS of the listeners, 1.2 or later: the agents' demands a client certificate of our authority; those of enrolment and of
//! people none, because who comes there has none.

use crate::directory::Directory;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::extensions::GeneralName;

/// TLS cannot be set up from the directory's files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// Not the PEM that was expected.
    #[error("{} holds no {expected} in PEM (restore it from a copy, or init a new directory)", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// rustls does not accept the authority.
    #[error("{} cannot act as the authority for client certificates", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// rustls does not accept the server's certificate and key.
    #[error("{} and {} do not make a TLS server (do they belong together?)", certificate.display(), key.display())]
    Server {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |source| TlsError::Pem { path: path.to_owned(), expected: "certificate", source };
    CertificateDer::pem_file_iter(path).map_err(bad)?.collect::<Result<_, _>>().map_err(bad)
}

/// The configuration of the agents' listener.
pub(crate) fn server_config(directory: &Directory) -> Result<ServerConfig, TlsError> {
    let ca = directory.ca();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&ca)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { path: ca.clone(), source: source.into() })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|source| TlsError::Authority { path: ca.clone(), source: source.into() })?;
    configured(&directory.server(), &directory.server_key(), clients)
}

/// The configuration of a listener for who has no certificate: the certificate and key of these files, no client certificate.
pub(crate) fn open_config(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    configured(certificate, key, WebPkiClientVerifier::no_client_auth())
}

fn configured(
    certificate: &Path,
    key_file: &Path,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, TlsError> {
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|source| TlsError::Pem {
        path: key_file.to_owned(),
        expected: "private key",
        source,
    })?;
    let server = |source| TlsError::Server { certificate: certificate.to_owned(), key: key_file.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(&server)?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates(certificate)?, key)
        .map_err(&server)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The first name in a server's certificate, as a URL writes it.
pub(crate) fn certified_name(certificate: &Path) -> Result<Option<String>, TlsError> {
    let certificates = certificates(certificate)?;
    let Some(first) = certificates.first() else { return Ok(None) };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(first) else { return Ok(None) };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    Ok(names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(Ipv4Addr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|sixteen| format!("[{}]", Ipv6Addr::from(sixteen))),
        },
        _ => None,
    }))
}
