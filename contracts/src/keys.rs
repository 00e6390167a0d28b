//! Ed25519 keys (RFC 8032) as this product stores and names them.
//!
//! A private key is a PKCS#8 PEM file, a public key 64 hexadecimal characters (the configuration's
//! `mcp_public_key`, the check-in's `agent_public_key`). A key id is the SHA-256 of the raw public key.

use crate::canonical::{hex, sha256_hex};
use ed25519_dalek::pkcs8::spki::der::{pem::LineEnding, zeroize::Zeroizing};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
pub use ed25519_dalek::{SigningKey, VerifyingKey};

/// A key that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 64 hexadecimal characters.
    #[error("a public key is 64 hexadecimal characters (32 bytes, Ed25519), this has {length}: {reason}")]
    NotHex {
        /// How many characters there were.
        length: usize,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// 32 bytes that are no point of the curve.
    #[error("these 64 hexadecimal characters are no Ed25519 public key")]
    NotAPoint {
        /// What the curve said.
        #[source]
        source: ed25519_dalek::SignatureError,
    },
    /// Not a PKCS#8 PEM private key.
    #[error("not an Ed25519 private key in PKCS#8 PEM (make one with `msp-agent keygen --out FILE`)")]
    NotPkcs8 {
        /// What the parser said.
        #[source]
        source: ed25519_dalek::pkcs8::Error,
    },
}

/// Reads a public key from its 64 hexadecimal characters.
///
/// # Errors
/// When the text is not 64 hexadecimal characters, or names no point of the curve.
pub fn public_from_hex(text: &str) -> Result<VerifyingKey, KeyError> {
    let length = text.len();
    let not_hex = |reason| KeyError::NotHex { length, reason };
    if length != 64 {
        return Err(not_hex("wrong length"));
    }
    let mut raw = [0u8; 32];
    for (byte, pair) in raw.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => return Err(not_hex("a character is no hexadecimal digit")),
        };
    }
    VerifyingKey::from_bytes(&raw).map_err(|source| KeyError::NotAPoint { source })
}

/// The 64 hexadecimal characters of a public key.
#[must_use]
pub fn public_to_hex(key: &VerifyingKey) -> String {
    hex(key.as_bytes())
}

/// The name under which signatures refer to a key: SHA-256 of its 32 raw bytes, in hexadecimal.
#[must_use]
pub fn key_id(key: &VerifyingKey) -> String {
    sha256_hex(key.as_bytes())
}

/// A new private key from 32 bytes of the operating system's randomness, which the caller provides.
#[must_use]
pub fn from_seed(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_bytes(&seed)
}

/// Reads a private key from PKCS#8 PEM.
///
/// # Errors
/// When the text is no PKCS#8 PEM with an Ed25519 key.
pub fn private_from_pem(pem: &str) -> Result<SigningKey, KeyError> {
    SigningKey::from_pkcs8_pem(pem).map_err(|source| KeyError::NotPkcs8 { source })
}

/// Writes a private key as PKCS#8 PEM; the text is wiped from memory when dropped.
///
/// The public key is left out (RFC 5208 instead of RFC 5958): OpenSSL 3 reads only that form.
///
/// # Errors
/// When the encoder refuses, which valid keys never cause.
pub fn private_to_pem(key: &SigningKey) -> Result<impl AsRef<str> + use<>, KeyError> {
    struct Pem(Zeroizing<String>);
    impl AsRef<str> for Pem {
        fn as_ref(&self) -> &str {
            &self.0
        }
    }
    let bare = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    bare.to_pkcs8_pem(LineEnding::LF).map(Pem).map_err(|source| KeyError::NotPkcs8 { source })
}
