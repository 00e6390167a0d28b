//! DSSE v1 envelopes (secure-systems-lab/dsse, protocol.md) with Ed25519.
//!
//! The signature covers the payload's exact bytes and its type; the payload is never re-serialised.
//! Verification is strict (`verify_strict`: no small-order keys, no malleable signatures) and returns
//! the bytes, so that a caller can only act on what was signed. An envelope has one spelling: its
//! canonical JSON. Any other byte sequence is refused, so a hash over it finds every changed byte.

use crate::canonical::{self, CanonicalError};
use crate::keys::{SigningKey, VerifyingKey, key_id};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::Signer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// Base64 (RFC 4648, padded) of the exact bytes that were signed.
    pub payload: String,
    /// The media type of the payload, covered by the signature.
    pub payload_type: String,
    /// One signature a key; a verifier needs one by a key it trusts.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// SHA-256 of the signer's raw public key, in hexadecimal: a hint, never proof.
    pub keyid: String,
    /// Base64 of the 64 signature bytes (RFC 8032).
    pub sig: String,
}

/// An envelope that must not be believed.
#[derive(Debug, thiserror::Error)]
pub enum DsseError {
    /// The payload could not be written.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The bytes are no envelope.
    #[error("not a DSSE envelope")]
    NotAnEnvelope {
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The bytes parse, but are not the one spelling the envelope has.
    #[error("the envelope is not in canonical form: its bytes were changed after it was written")]
    NotCanonical,
    /// The payload is no base64.
    #[error("the envelope's payload is not base64")]
    PayloadEncoding {
        /// What the decoder said.
        #[source]
        source: base64::DecodeError,
    },
    /// Signed as something else.
    #[error("the envelope carries {found:?}, expected {expected:?}")]
    WrongType {
        /// The type it carries.
        found: String,
        /// The type that was asked for.
        expected: &'static str,
    },
    /// No signature by a key that is trusted here.
    #[error("signed by {signers}, which is none of the {trusted} trusted keys")]
    UnknownSigner {
        /// The key ids found, shortened.
        signers: String,
        /// How many keys are trusted.
        trusted: usize,
    },
    /// The same key signed more than once: nothing honest does, and it must not count twice.
    #[error("key {keyid} signed more than once")]
    SignedTwice {
        /// The key id, shortened.
        keyid: String,
    },
    /// A trusted key's signature does not hold.
    #[error("the signature by key {keyid} does not match the payload")]
    BadSignature {
        /// The key id, shortened.
        keyid: String,
    },
    /// The signed bytes are no such payload.
    #[error("the signed payload is no valid {expected}")]
    BadPayload {
        /// The type that was asked for.
        expected: &'static str,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

/// The bytes that are signed: DSSE's pre-authentication encoding.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

fn short(keyid: &str) -> String {
    keyid.chars().take(12).collect()
}

impl Envelope {
    /// Signs `payload` as `payload_type` with `key`.
    #[must_use]
    pub fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Self {
        let signature = key.sign(&pre_authentication_encoding(payload_type, payload));
        Self {
            payload: BASE64.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![Signature {
                keyid: key_id(&key.verifying_key()),
                sig: BASE64.encode(signature.to_bytes()),
            }],
        }
    }

    /// Verifies type and signature and returns the signed bytes.
    ///
    /// Signatures by unknown keys are passed over (a server that rotates keys signs with both); at
    /// least one trusted key must have signed, no trusted key's signature may be wrong, and no key may sign twice.
    ///
    /// # Errors
    /// See [`DsseError`].
    pub fn verify(&self, expected: &'static str, trusted: &[VerifyingKey]) -> Result<Vec<u8>, DsseError> {
        if self.payload_type != expected {
            return Err(DsseError::WrongType { found: self.payload_type.chars().take(80).collect(), expected });
        }
        let payload = BASE64.decode(&self.payload).map_err(|source| DsseError::PayloadEncoding { source })?;
        let message = pre_authentication_encoding(&self.payload_type, &payload);
        let mut verified = false;
        for (place, signature) in self.signatures.iter().enumerate() {
            if self.signatures[..place].iter().any(|before| before.keyid == signature.keyid) {
                return Err(DsseError::SignedTwice { keyid: short(&signature.keyid) });
            }
            let Some(key) = trusted.iter().find(|key| key_id(key) == signature.keyid) else { continue };
            let bad = || DsseError::BadSignature { keyid: short(&signature.keyid) };
            let raw = BASE64.decode(&signature.sig).map_err(|_| bad())?;
            let parsed = ed25519_dalek::Signature::from_slice(&raw).map_err(|_| bad())?;
            key.verify_strict(&message, &parsed).map_err(|_| bad())?;
            verified = true;
        }
        if verified {
            return Ok(payload);
        }
        let signers: Vec<_> = self.signatures.iter().take(4).map(|s| short(&s.keyid)).collect();
        let signers = if signers.is_empty() { "nobody".to_owned() } else { signers.join(", ") };
        Err(DsseError::UnknownSigner { signers, trusted: trusted.len() })
    }

    /// The signed bytes *without* verifying anything: only for showing them to a person.
    ///
    /// # Errors
    /// When the payload is no base64.
    pub fn unverified_payload(&self) -> Result<Vec<u8>, DsseError> {
        BASE64.decode(&self.payload).map_err(|source| DsseError::PayloadEncoding { source })
    }

    /// The one byte sequence of this envelope: its canonical JSON. Hashes are taken over it.
    ///
    /// # Errors
    /// Never for an envelope; the serialiser's signature asks for it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DsseError> {
        Ok(canonical::to_bytes("a DSSE envelope", self)?)
    }

    /// Reads an envelope from bytes and refuses any spelling but the canonical one.
    ///
    /// # Errors
    /// When the bytes are no envelope, or not in canonical form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DsseError> {
        let envelope: Self = serde_json::from_slice(bytes).map_err(|source| DsseError::NotAnEnvelope { source })?;
        if envelope.to_bytes()? == bytes { Ok(envelope) } else { Err(DsseError::NotCanonical) }
    }
}

/// A payload that has one media type under which it is signed.
pub trait Signed: Serialize + for<'de> Deserialize<'de> {
    /// The media type, covered by the signature.
    const PAYLOAD_TYPE: &'static str;

    /// Signs the canonical JSON of this payload.
    ///
    /// # Errors
    /// When the payload cannot be written as canonical JSON.
    fn sign(&self, key: &SigningKey) -> Result<Envelope, DsseError> {
        let payload = canonical::to_bytes(Self::PAYLOAD_TYPE, self)?;
        Ok(Envelope::sign(Self::PAYLOAD_TYPE, &payload, key))
    }

    /// Verifies the envelope and reads the payload from the signed bytes.
    ///
    /// # Errors
    /// See [`DsseError`].
    fn verify(envelope: &Envelope, trusted: &[VerifyingKey]) -> Result<Self, DsseError> {
        let payload = envelope.verify(Self::PAYLOAD_TYPE, trusted)?;
        serde_json::from_slice(&payload)
            .map_err(|source| DsseError::BadPayload { expected: Self::PAYLOAD_TYPE, source })
    }
}
