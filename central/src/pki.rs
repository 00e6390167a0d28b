//! The certificates of Central Command and its appliances (RFC 5280, ECDSA P-256).
//!
//! Central Command is its own certificate authority: one root, one server certificate, and one client
//! certificate for each appliance, which names site and appliance as a URI. Server certificates cannot
//! act as clients nor the other way round (extended key usage).

mod authority;
mod caller;
mod client;
mod tls;

pub(crate) use authority::{Authority, AuthorityError, certificate_der};
pub(crate) use caller::{CallerError, ClientIdentity, caller};
pub(crate) use client::{ClientCertificate, Request, RequestError};
pub(crate) use tls::{certified_name, open_config, server_config};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;

/// How long the root is valid.
const CA_DAYS: i64 = 3650;
/// How long a server's certificate, and one from `issue`, is valid: what TLS clients accept at most.
pub(crate) const LEAF_DAYS: i64 = 825;
/// How far back validity begins, for clocks that are late.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// A certificate that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PkiError {
    /// A name that cannot stand in a certificate.
    #[error("{name:?} cannot stand in a server certificate: give a DNS name or an IP address")]
    Name {
        /// The name.
        name: String,
    },
    /// No names at all.
    #[error("a server certificate needs at least one --name (a DNS name or an IP address that agents connect to)")]
    NoNames,
    /// The authority's files do not fit together, or are none.
    #[error("ca.pem and ca-key.pem are no certificate authority (restore them from a copy, or init a new directory)")]
    Authority {
        #[source]
        source: rcgen::Error,
    },
    /// The authority's certificate is no PEM.
    #[error("ca.pem holds no certificate in PEM (restore it from a copy, or init a new directory)")]
    AuthorityPem {
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No random serial.
    #[error("the system gives no randomness: no certificate can be made")]
    Random,
    /// The encoder refused.
    #[error("cannot make {what}")]
    Make {
        /// What was being made.
        what: &'static str,
        #[source]
        source: rcgen::Error,
    },
}

/// A certificate with its private key, both PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: String,
    /// The private key, PKCS#8: a secret.
    pub(crate) key: String,
}

fn make(what: &'static str) -> impl Fn(rcgen::Error) -> PkiError {
    move |source| PkiError::Make { what, source }
}

fn moment(time: Timestamp) -> OffsetDateTime {
    // jiff and time cover the same seconds as far as certificates go.
    OffsetDateTime::from_unix_timestamp(time.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn params(common_name: &str, days: i64, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = moment(crate::clock::after(now, -BACKDATED));
    params.not_after = moment(crate::clock::after(now, SignedDuration::from_hours(24 * days)));
    params
}

fn new_key(what: &'static str) -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(make(what))
}

/// Makes a new root.
pub(crate) fn new_authority(now: Timestamp) -> Result<Issued, PkiError> {
    let what = "the certificate authority";
    let mut params = params("MSP Central Command CA", CA_DAYS, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = new_key(what)?;
    let certificate = params.self_signed(&key).map_err(make(what))?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), PkiError> {
    rustls::crypto::ring::default_provider().secure_random.fill(bytes).map_err(|_| PkiError::Random)
}

fn subject_alt_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    // The encoder takes any ASCII; a name with other characters than these would match nothing.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let dns = name.try_into().ok().filter(|_| !name.is_empty() && name.bytes().all(plain));
    dns.map(SanType::DnsName).ok_or_else(|| PkiError::Name { name: name.to_owned() })
}

/// Makes the server's certificate for the DNS names and IP addresses that agents connect to.
pub(crate) fn new_server(authority: &Issued, names: &[String], now: Timestamp) -> Result<Issued, PkiError> {
    let first = names.first().ok_or(PkiError::NoNames)?;
    let mut params = params(first, LEAF_DAYS, now);
    for name in names {
        params.subject_alt_names.push(subject_alt_name(name)?);
    }
    let what = "the server's certificate";
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    let authority = Authority::new(authority.clone())?;
    let key = new_key(what)?;
    let certificate = params.signed_by(&key, authority.issuer()).map_err(make(what))?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}
