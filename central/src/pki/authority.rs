//! The fleet's authority, ready to sign. Its private key is read once, and never printed.

use super::{Issued, PkiError};
use crate::directory::{self, Directory, DirectoryError};
use rcgen::{Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// An authority that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A file cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The files are none.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// The authority with its private key.
pub(crate) struct Authority {
    certificate: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads certificate and private key.
    pub(crate) fn load(directory: &Directory) -> Result<Self, AuthorityError> {
        let certificate = directory::read_text(&directory.ca())?;
        let key = directory::read_text(&directory.ca_key())?;
        Ok(Self::new(Issued { certificate, key })?)
    }

    pub(super) fn new(files: Issued) -> Result<Self, PkiError> {
        let broken = |source| PkiError::Authority { source };
        let key = KeyPair::from_pem(&files.key).map_err(broken)?;
        let issuer = Issuer::from_ca_cert_pem(&files.certificate, key).map_err(broken)?;
        let der = certificate_der(&files.certificate)?;
        Ok(Self { certificate: files.certificate, der, issuer })
    }

    /// The certificate, in PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The certificate, in DER: what an enrolment token carries the hash of.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

/// The authority's certificate alone, in DER.
pub(crate) fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|source| PkiError::AuthorityPem { source })
}
