//! TLS of the agents' listener: 1.2 or later, a client certificate of our authority or no connection.

use crate::directory::Directory;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    #[error("server.pem and server-key.pem do not make a TLS server (do they belong together?)")]
    Server {
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let ca = directory.ca();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&ca)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { path: ca.clone(), source: source.into() })?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|source| TlsError::Authority { path: ca.clone(), source: source.into() })?;
    let key_file = directory.server_key();
    let key = PrivateKeyDer::from_pem_file(&key_file).map_err(|source| TlsError::Pem {
        path: key_file,
        expected: "private key",
        source,
    })?;
    let server = |source| TlsError::Server { source };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(server)?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates(&directory.server())?, key)
        .map_err(server)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
