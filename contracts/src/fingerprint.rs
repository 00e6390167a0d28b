//! The fingerprint of a certificate: SHA-256 of its DER, as an inventory pins it and as `openssl x509 -fingerprint
//! -sha256` prints it.

use crate::canonical::sha256_hex;
use std::fmt;
use std::str::FromStr;

/// A certificate's SHA-256, kept as 64 lower-case hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(String);

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no SHA-256 fingerprint, which is 64 hexadecimal characters (with or without colons between the bytes)"
)]
pub struct NoFingerprint {
    text: String,
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(sha256_hex(certificate))
    }

    /// The 64 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let pairs: Vec<&str> = text.trim().split(':').collect();
        let plain = pairs.len() == 1 && pairs[0].len() == 64;
        let with_colons = pairs.len() == 32 && pairs.iter().all(|pair| pair.len() == 2);
        let digits = pairs.concat();
        if !(plain || with_colons) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoFingerprint { text: text.chars().take(100).collect() });
        }
        Ok(Self(digits.to_ascii_lowercase()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_fingerprint_is_the_same_and_anything_else_is_none() {
        let plain = Fingerprint::of(b"certificate");
        let upper = plain.as_str().to_uppercase();
        let pairs: Vec<_> = (0..64).step_by(2).map(|at| &upper[at..at + 2]).collect();
        for spelled in [plain.as_str(), &upper, &pairs.join(":"), &format!(" {plain}\n")] {
            assert_eq!(spelled.parse(), Ok(plain.clone()), "{spelled}");
        }
        let (short, long) = (&upper[1..], format!("{upper}0"));
        for wrong in ["", "ab", short, &long, &"g".repeat(64), &pairs[1..].join(":"), &"é".repeat(32)] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
