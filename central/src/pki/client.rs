//! An appliance's certificate: who it names, how long it lives, and for which key it is.
//!
//! The names in a request (PKCS#10, RFC 2986) are ignored: its signature proves that the sender holds the private
//! key, and the key is all that is taken from it. Every certificate has a random serial, by which it is known to the
//! store and can be revoked.

use super::{Authority, PkiError, fill, make, moment, new_key};
use crate::fleet::Appliance;
use jiff::{SignedDuration, Timestamp};
use msp_contracts::canonical::{hex, sha256_hex};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
};

/// How far back validity begins at most, for clocks that are late.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// A certificate of an appliance, as it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct ClientCertificate {
    /// In PEM.
    pub(crate) pem: String,
    /// The serial, in hexadecimal.
    pub(crate) serial: String,
    /// From when on it is to be renewed: two thirds of its life.
    pub(crate) renew_after: Timestamp,
    /// From when on it is not valid any more.
    pub(crate) not_after: Timestamp,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), in hexadecimal.
    pub(crate) key_sha256: String,
}

/// A request whose sender holds the private key.
#[derive(Debug)]
pub(crate) struct Request {
    key: rcgen::PublicKey,
}

/// A request that is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// No PKCS#10 in PEM, or its signature does not hold.
    #[error("it is no certificate request (PKCS#10 in PEM) signed with its own key")]
    Unproved {
        #[source]
        source: rcgen::Error,
    },
    /// A key that is not taken.
    #[error("its key is none of ECDSA P-256, ECDSA P-384 and Ed25519")]
    Key,
}

impl Request {
    /// Reads a request and verifies that its sender holds the private key.
    pub(crate) fn read(pem: &str) -> Result<Self, RequestError> {
        let request =
            CertificateSigningRequestParams::from_pem(pem).map_err(|source| RequestError::Unproved { source })?;
        let key = request.public_key;
        let taken = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];
        if taken.contains(&key.algorithm()) { Ok(Self { key }) } else { Err(RequestError::Key) }
    }

    /// SHA-256 of the public key, in hexadecimal.
    pub(crate) fn key_sha256(&self) -> String {
        sha256_hex(&self.key.subject_public_key_info())
    }
}

impl Authority {
    /// Makes the certificate of `who` for the key of `request`.
    pub(crate) fn certify(
        &self,
        who: &Appliance,
        request: &Request,
        life: SignedDuration,
        now: Timestamp,
    ) -> Result<ClientCertificate, PkiError> {
        self.client(who, &request.key, life, now)
    }

    /// Makes a key, which is a secret, and the certificate of `who` for it.
    pub(crate) fn issue(
        &self,
        who: &Appliance,
        life: SignedDuration,
        now: Timestamp,
    ) -> Result<(ClientCertificate, String), PkiError> {
        let key = new_key("the appliance's key")?;
        Ok((self.client(who, &key, life, now)?, key.serialize_pem()))
    }

    fn client(
        &self,
        who: &Appliance,
        key: &impl PublicKeyData,
        life: SignedDuration,
        now: Timestamp,
    ) -> Result<ClientCertificate, PkiError> {
        let what = "the appliance's certificate";
        let mut serial = [0_u8; 16];
        fill(&mut serial)?;
        // Positive and without leading zeros, so that it has one spelling.
        serial[0] = serial[0] & 0x3f | 0x40;
        // A certificate that lives for seconds is not made an hour old.
        let not_before = crate::clock::after(now, -BACKDATED.min(life / 12));
        let not_after = crate::clock::after(now, life);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, who.appliance.as_str());
        params.not_before = moment(not_before);
        params.not_after = moment(not_after);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.subject_alt_names = vec![SanType::URI(who.urn().as_str().try_into().map_err(make(what))?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, self.issuer()).map_err(make(what))?;
        let third = not_after.duration_since(not_before) / 3;
        Ok(ClientCertificate {
            pem: certificate.pem(),
            serial: hex(&serial),
            renew_after: crate::clock::after(not_after, -third),
            not_after,
            key_sha256: sha256_hex(&key.subject_public_key_info()),
        })
    }
}
