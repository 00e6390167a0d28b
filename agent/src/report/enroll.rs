//! A certificate from Central Command: the first by a one-time token, later ones under mutual TLS.
//!
//! The private key is made here and never leaves. It is on the disk before the request is sent: should the answer get
//! lost, the same request is made again, and Central Command gives the same certificate again.
//!
//! An appliance without a certificate trusts nobody. It asks for the fleet's authority without trust, compares its
//! SHA-256 with the one that the token carries, and only then, trusting that authority alone, shows the token.

use super::client::{CallError, Central, SetupError, fetch_untrusted};
use super::identity::{Identity, IdentityError};
use crate::adapters::private_file::{self, PrivateFileError, Readers};
use crate::config::{Config, sealed};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{self, EnrollReply, EnrollRequest};
use msp_contracts::token::EnrollToken;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use zeroize::Zeroizing;

/// The key of a certificate that was asked for, and has not come yet; in the state folder.
const PENDING: &str = "identity.pending.pem";

/// No certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(
        "{server} is not the Central Command that made this token: its authority has the SHA-256 {found}, the token says \
         {expected}. Either the address is wrong, or somebody stands in between; the token was not shown to it"
    )]
    Impostor { server: String, found: String, expected: String },
    #[error("{server} answered no certificate of an authority: is it the port of `msp-central serve --enroll`?")]
    NoAuthority { server: String },
    #[error("Central Command answered with another authority than the one that the token names")]
    OtherAuthority,
    #[error("the key of the certificate cannot be made or used")]
    Key {
        #[source]
        source: rcgen::Error,
    },
    #[error("the certificate that Central Command sent cannot be used")]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    File(#[from] PrivateFileError),
}

/// The key that was made for a certificate which has not come yet; a new one when there is none.
///
/// # Errors
/// When it cannot be made or stored.
pub fn pending_key(file: &Path, present: Option<&Identity>) -> Result<KeyPair, EnrollError> {
    let kept = private_file::read(file).ok().and_then(|pem| KeyPair::from_pem(&pem).ok());
    // Left behind by a crash after its certificate had come: a renewal is for a new key.
    let kept = kept.filter(|key| present.is_none_or(|present| !present.is_for(key)));
    if let Some(key) = kept {
        return Ok(key);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|source| EnrollError::Key { source })?;
    private_file::replace(file, Zeroizing::new(key.serialize_pem()).as_bytes(), Readers::Owner)?;
    Ok(key)
}

fn request(
    key: &KeyPair,
    token: Option<String>,
    appliance: &str,
    public_key: &str,
    encryption_key: &str,
) -> Result<EnrollRequest, EnrollError> {
    let csr = CertificateParams::default().serialize_request(key).and_then(|request| request.pem());
    Ok(EnrollRequest {
        schema_version: SCHEMA_VERSION,
        token,
        csr: csr.map_err(|source| EnrollError::Key { source })?,
        appliance: appliance.to_owned(),
        agent_public_key: public_key.to_owned(),
        agent_encryption_key: encryption_key.to_owned(),
    })
}

/// Who asks for its first certificate.
pub struct Newcomer<'a> {
    /// Where Central Command enrols: `https://host:port`.
    pub server: &'a str,
    pub token: &'a EnrollToken,
    /// The name it is to go by; empty when the token names it.
    pub appliance: &'a str,
    pub key: &'a KeyPair,
    /// The key that signs its evidence, in hexadecimal.
    pub public_key: &'a str,
    /// The key that credentials are encrypted to.
    pub encryption_key: &'a str,
}

/// The first certificate, by a token.
///
/// # Errors
/// When the server is not the one that made the token, cannot be reached, or refuses.
pub async fn by_token(who: &Newcomer<'_>) -> Result<(EnrollReply, Identity), EnrollError> {
    let server = who.server.trim_end_matches('/');
    let no_authority = || EnrollError::NoAuthority { server: server.to_owned() };
    let pem = fetch_untrusted(&format!("{server}{}", api::ENROLL_CA)).await?;
    let authority = CertificateDer::from_pem_slice(&pem).map_err(|_| no_authority())?;
    if !who.token.is_of(&authority) {
        return Err(EnrollError::Impostor {
            server: server.to_owned(),
            found: msp_contracts::canonical::sha256_hex(&authority),
            expected: who.token.ca_sha256(),
        });
    }
    let central = Central::without_identity(server, &authority)?;
    let token = who.token.reveal().to_string();
    let request = request(who.key, Some(token), who.appliance, who.public_key, who.encryption_key)?;
    let reply: EnrollReply = central.send(api::ENROLL, &request).await?;
    let told = CertificateDer::from_pem_slice(reply.ca_certificate.as_bytes());
    if !told.is_ok_and(|told| told == authority) {
        return Err(EnrollError::OtherAuthority);
    }
    let identity = Identity::issued(&reply.certificate, who.key, &reply.site_id, &reply.appliance)?;
    Ok((reply, identity))
}

/// Renews the certificate and puts the new one in its place, on the disk; the caller lets `central` take it over.
///
/// # Errors
/// When Central Command cannot be reached or refuses, or nothing can be written.
pub async fn renew(
    central: &Central,
    config: &Config,
    public_key: &str,
    present: &Identity,
) -> Result<Identity, EnrollError> {
    let file = config.state_dir.join(PENDING);
    let key = pending_key(&file, Some(present))?;
    let encryption_key = sealed::recipient(config).ok().flatten().unwrap_or_default();
    let request = request(&key, None, &config.host_id, public_key, &encryption_key)?;
    let reply: EnrollReply = central.send(api::ENROLL, &request).await.inspect_err(|error| {
        // A key that was refused is not tried again.
        if !error.is_passing() {
            let _ = std::fs::remove_file(&file);
        }
    })?;
    let identity = Identity::issued(&reply.certificate, &key, &config.site_id, &config.host_id)?;
    let kept = identity.keep(config)?;
    tracing::debug!(file = %kept.display(), "the renewed certificate is stored");
    // When it stays behind, the next renewal sees that its certificate has come.
    let _ = std::fs::remove_file(&file);
    Ok(identity)
}
