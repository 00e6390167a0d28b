//! Secrets that people carry: 256 random bits, shown once, stored only as their hash.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use msp_contracts::canonical::sha256_hex;
use subtle::ConstantTimeEq;

/// The system gives no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness: no secret can be made")]
pub(crate) struct NoRandomness;

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0_u8; N];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A session's token, a link's token, or the token of a form before there is a session.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        Ok(Self(BASE64.encode(random::<32>()?)))
    }

    /// What somebody sent, if it has the shape of a secret.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        (bytes.len() == 32).then(|| Self(text.to_owned()))
    }

    /// For its owner only: a cookie or a link.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// What the store knows it by.
    pub(crate) fn hash(&self) -> String {
        sha256_hex(self.0.as_bytes())
    }

    /// The token of forms under this secret. It tells nothing about the secret, and needs no storing.
    pub(crate) fn form_token(&self) -> String {
        sha256_hex(format!("msp-central form token\n{}", self.0).as_bytes())
    }

    /// Whether `token` is the token of forms under this secret, in a time that does not tell how much of it is.
    pub(crate) fn admits(&self, token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(token.as_bytes()).into()
    }
}
