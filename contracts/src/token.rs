//! The one-time token by which an appliance joins the fleet.
//!
//! `mspenroll1_` and base64url of 68 bytes: a secret of 256 bits, the SHA-256 of the fleet's CA certificate
//! (DER), and a checksum. Knowing the hash, an appliance that trusts nobody yet can tell Central Command from
//! somebody in between (the discovery hash of kubeadm). The checksum is no protection: it tells a token that was
//! cut off or mistyped from one that was used.

use crate::canonical::sha256_hex;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// What every token begins with; the digit is the version of its form.
pub const PREFIX: &str = "mspenroll1_";
const SECRET: usize = 32;
const HASH: usize = 32;
const CHECKSUM: usize = 4;

/// A token. Its secret is wiped from memory when dropped and not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollToken {
    secret: Zeroizing<[u8; SECRET]>,
    ca_sha256: [u8; HASH],
}

/// Text that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It begins otherwise.
    #[error("this is no enrolment token: one begins with {PREFIX} (make one with `msp-central enroll-token`)")]
    NoToken,
    /// It has another length, other characters, or its checksum does not hold.
    #[error("the enrolment token is damaged ({reason}): copy all of it, in one line")]
    Damaged {
        /// What is wrong with it.
        reason: &'static str,
    },
}

fn checksum(secret: &[u8], ca_sha256: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = Sha256::new();
    hash.update(b"msp enrolment token checksum");
    hash.update(secret);
    hash.update(ca_sha256);
    let hash = hash.finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

impl EnrollToken {
    /// A token from 32 bytes of the operating system's randomness, for the fleet with this CA certificate.
    #[must_use]
    pub fn new(secret: [u8; SECRET], ca_der: &[u8]) -> Self {
        Self { secret: Zeroizing::new(secret), ca_sha256: Sha256::digest(ca_der).into() }
    }

    /// Under which a server keeps it: SHA-256 of the secret, in hexadecimal. With 256 random bits there is
    /// nothing to guess, so nothing slower is needed.
    #[must_use]
    pub fn secret_sha256(&self) -> String {
        sha256_hex(self.secret.as_slice())
    }

    /// Whether this is the CA certificate (DER) of the fleet that the token is for.
    #[must_use]
    pub fn is_of(&self, ca_der: &[u8]) -> bool {
        self.ca_sha256.as_slice() == Sha256::digest(ca_der).as_slice()
    }

    /// SHA-256 of the fleet's CA certificate, in hexadecimal.
    #[must_use]
    pub fn ca_sha256(&self) -> String {
        crate::canonical::hex(&self.ca_sha256)
    }

    /// The token as it is handed over: a secret, wiped from memory when dropped.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET + HASH + CHECKSUM));
        bytes.extend_from_slice(self.secret.as_slice());
        bytes.extend_from_slice(&self.ca_sha256);
        bytes.extend_from_slice(&checksum(self.secret.as_slice(), &self.ca_sha256));
        Zeroizing::new(format!("{PREFIX}{}", *Zeroizing::new(BASE64URL.encode(&*bytes))))
    }
}

impl fmt::Debug for EnrollToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollToken").field("ca_sha256", &self.ca_sha256()).finish_non_exhaustive()
    }
}

impl FromStr for EnrollToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let damaged = |reason| TokenError::Damaged { reason };
        let body = text.trim().strip_prefix(PREFIX).ok_or(TokenError::NoToken)?;
        let bytes = BASE64URL.decode(body).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| damaged("characters are missing, or are none of base64url"))?;
        if bytes.len() != SECRET + HASH + CHECKSUM {
            return Err(damaged("characters are missing or too many"));
        }
        let (mut secret, mut ca_sha256) = (Zeroizing::new([0; SECRET]), [0; HASH]);
        secret.copy_from_slice(&bytes[..SECRET]);
        ca_sha256.copy_from_slice(&bytes[SECRET..SECRET + HASH]);
        if bytes[SECRET + HASH..] != checksum(secret.as_slice(), &ca_sha256) {
            return Err(damaged("its checksum does not hold"));
        }
        Ok(Self { secret, ca_sha256 })
    }
}
