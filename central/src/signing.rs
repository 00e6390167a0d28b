//! What Central Command signs: stamps, rule sets, orders and receipts, each for one appliance.
//!
//! A sequence is stored before it comes here, so nothing that was signed can be signed again with the
//! same number. The private key is read once, and never printed.

use crate::clock;
use crate::directory::{self, Directory, DirectoryError};
use crate::fleet::Appliance;
use jiff::{SignedDuration, Timestamp};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::WindowsTarget;
use msp_contracts::canonical::{self, CanonicalError};
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::ids::Counter;
use msp_contracts::keys::{self, KeyError, SigningKey, VerifyingKey};
use msp_contracts::order::Order;
use msp_contracts::signed::{Freshness, HealingTier, Receipt, RuleSet, Stamp};
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// How long a freshness stamp is good for.
const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// How long a rule set is good for.
const RULES_GOOD: SignedDuration = SignedDuration::from_hours(24);

/// Signing failed, or cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    /// The key's file cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The key's file holds no key.
    #[error("{} holds no signing key (restore it from a copy, or init a new directory)", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        #[source]
        source: KeyError,
    },
    /// The payload cannot be written.
    #[error("cannot sign {what}")]
    Sign {
        /// What was to be signed, with its article.
        what: &'static str,
        #[source]
        source: DsseError,
    },
    /// The rules cannot be hashed.
    #[error("cannot tell the version of a rule set")]
    Version {
        #[source]
        source: CanonicalError,
    },
}

/// Central Command's signing key.
#[derive(Debug)]
pub(crate) struct Signer {
    key: SigningKey,
}

impl Signer {
    /// Reads the key that `init` made.
    pub(crate) fn load(directory: &Directory) -> Result<Self, SigningError> {
        let path = directory.signing_key();
        let key = keys::private_from_pem(&directory::read_text(&path)?);
        Ok(Self { key: key.map_err(|source| SigningError::Key { path, source })? })
    }

    /// The public key, as agents are told it: 64 hexadecimal characters.
    pub(crate) fn public_hex(&self) -> String {
        keys::public_to_hex(&self.key.verifying_key())
    }

    /// Signs a freshness stamp with the site's inventory.
    pub(crate) fn freshness(
        &self,
        who: &Appliance,
        sequence: Counter,
        targets: &[WindowsTarget],
        now: Timestamp,
    ) -> Result<Envelope, SigningError> {
        let stamp = stamp(who, sequence, now, FRESH);
        let stamp = Freshness { schema_version: SCHEMA_VERSION, stamp, windows_targets: targets.to_vec() };
        self.sign("a freshness stamp", &stamp)
    }

    /// Signs a rule set; answers the signed set too.
    pub(crate) fn rule_set(
        &self,
        who: &Appliance,
        sequence: Counter,
        now: Timestamp,
        (healing_tier, rules): (HealingTier, Vec<Value>),
    ) -> Result<(RuleSet, Envelope), SigningError> {
        let version = version(healing_tier, &rules)?;
        let stamp = stamp(who, sequence, now, RULES_GOOD);
        let set = RuleSet { schema_version: SCHEMA_VERSION, stamp, version, healing_tier, rules };
        let envelope = self.sign("a rule set", &set)?;
        Ok((set, envelope))
    }

    /// Signs an order.
    pub(crate) fn order(&self, order: &Order) -> Result<Envelope, SigningError> {
        self.sign("an order", order)
    }

    /// The public key that appliances verify with.
    pub(crate) fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs a receipt.
    pub(crate) fn receipt(&self, receipt: &Receipt) -> Result<Envelope, SigningError> {
        self.sign("a receipt", receipt)
    }

    fn sign<T: Signed>(&self, what: &'static str, payload: &T) -> Result<Envelope, SigningError> {
        payload.sign(&self.key).map_err(|source| SigningError::Sign { what, source })
    }
}

fn stamp(who: &Appliance, sequence: Counter, issued: Timestamp, good: SignedDuration) -> Stamp {
    let expires = clock::after(issued, good);
    Stamp { site_id: who.site.clone(), appliance: who.appliance.clone(), issued, expires, sequence }
}

/// SHA-256 of the canonical JSON of tier and rules.
fn version(healing_tier: HealingTier, rules: &[Value]) -> Result<String, SigningError> {
    #[derive(Serialize)]
    struct Versioned<'a> {
        healing_tier: HealingTier,
        rules: &'a [Value],
    }
    let bytes = canonical::to_bytes("a rule set", &Versioned { healing_tier, rules });
    Ok(canonical::sha256_hex(&bytes.map_err(|source| SigningError::Version { source })?))
}
