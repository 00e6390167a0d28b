//! RFC 8785 (JSON Canonicalization Scheme): one byte sequence for one JSON value.
//!
//! Everything that is hashed or signed is serialised here and nowhere else, so that field order and
//! number formatting never decide whether a signature holds. JCS numbers are IEEE doubles: 64-bit
//! counters travel as strings ([`crate::ids::Counter`]).

use serde::Serialize;
use sha2::{Digest, Sha256};

/// A value could not be written as canonical JSON.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be written as canonical JSON (RFC 8785)")]
pub struct CanonicalError {
    /// What was being serialised, for the message.
    pub what: &'static str,
    #[source]
    source: serde_json::Error,
}

/// The canonical bytes of `value`; `what` names it in the error.
///
/// # Errors
/// When the value holds a non-finite number or a map key that is no string.
pub fn to_bytes<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, CanonicalError> {
    serde_json_canonicalizer::to_vec(value).map_err(|source| CanonicalError { what, source })
}

/// Lowercase hexadecimal SHA-256 (FIPS 180-4) of `bytes`: 64 characters.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lowercase hexadecimal of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
