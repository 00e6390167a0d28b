//! What Central Command signs for an appliance: rule sets, freshness stamps, receipts.
//!
//! Each is bound to a site (and an appliance), to a span of time and to a sequence. [`Stamp::check`] is
//! the one judge of that binding; whoever accepts something signed stores its sequence before using it.

use crate::api::WindowsTarget;
use crate::dsse::Signed;
use crate::ids::{BundleId, ChainId, Counter};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far `issued` may lie in the reader's future before it is refused: clocks differ a little.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Whom and when something signed is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// The site it is for.
    pub site_id: String,
    /// The one appliance it is for.
    pub appliance: String,
    /// When it was made.
    pub issued: Timestamp,
    /// From when on it must not be accepted any more.
    pub expires: Timestamp,
    /// Counts up with each artifact of its kind for this appliance.
    pub sequence: Counter,
}

/// Why something correctly signed is not accepted all the same.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// Made for another site.
    #[error("made for site {found:?}, this is site {expected:?}")]
    OtherSite {
        /// Whom it is for.
        found: String,
        /// Who reads it.
        expected: String,
    },
    /// Made for another appliance.
    #[error("made for appliance {found:?}, this is appliance {expected:?}")]
    OtherAppliance {
        /// Whom it is for.
        found: String,
        /// Who reads it.
        expected: String,
    },
    /// Too old.
    #[error("expired at {expires}, it is {now}")]
    Expired {
        /// When it expired.
        expires: Timestamp,
        /// The reader's time.
        now: Timestamp,
    },
    /// From the future.
    #[error("issued at {issued}, which is in the future: it is {now} here (is this machine's clock right?)")]
    FromTheFuture {
        /// When it says it was made.
        issued: Timestamp,
        /// The reader's time.
        now: Timestamp,
    },
    /// Seen before, or older than what was seen.
    #[error("sequence {found} is a replay: {highest} was seen already")]
    Replayed {
        /// Its sequence.
        found: Counter,
        /// The highest sequence seen.
        highest: Counter,
    },
}

impl Stamp {
    /// Whether an artifact with this stamp may be accepted by `appliance` of `site` at `now`, when `highest`
    /// is the highest sequence of its kind that was accepted before.
    ///
    /// # Errors
    /// The first reason against it, see [`StampError`].
    pub fn check(
        &self,
        site: &str,
        appliance: &str,
        now: Timestamp,
        highest: Option<Counter>,
    ) -> Result<(), StampError> {
        if self.site_id != site {
            return Err(StampError::OtherSite { found: self.site_id.clone(), expected: site.to_owned() });
        }
        if self.appliance != appliance {
            return Err(StampError::OtherAppliance { found: self.appliance.clone(), expected: appliance.to_owned() });
        }
        if now >= self.expires {
            return Err(StampError::Expired { expires: self.expires, now });
        }
        if self.issued.duration_since(now) > CLOCK_TOLERANCE {
            return Err(StampError::FromTheFuture { issued: self.issued, now });
        }
        match highest {
            Some(highest) if self.sequence <= highest => Err(StampError::Replayed { found: self.sequence, highest }),
            _ => Ok(()),
        }
    }
}

/// Proof that the server speaks now: tells a quiet server from a silenced one.
///
/// It also carries the inventory: where an agent logs on is nothing to take from an unsigned field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Freshness {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whom and when it is for.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// The site's Windows servers.
    pub windows_targets: Vec<WindowsTarget>,
}

impl Signed for Freshness {
    const PAYLOAD_TYPE: &'static str = "application/vnd.msp.freshness.v1+json";
}

/// How much of the rule set a site gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealingTier {
    /// The rules every site gets.
    Standard,
    /// Every rule.
    FullCoverage,
}

/// The rules of a site, as the agent stores and loads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSet {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whom and when it is for.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// SHA-256 of the canonical JSON of `rules` and `healing_tier`: changes exactly when they do.
    pub version: String,
    /// How much of the rule set the site gets.
    pub healing_tier: HealingTier,
    /// Level 1 rules, in the shape of the rules' own documentation.
    pub rules: Vec<Value>,
}

impl Signed for RuleSet {
    const PAYLOAD_TYPE: &'static str = "application/vnd.msp.ruleset.v1+json";
}

/// Central Command's word that it holds a bundle, and up to where it holds the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The site the evidence is of.
    pub site_id: String,
    /// The appliance the evidence is of.
    pub host_id: String,
    /// The bundle that was received.
    pub bundle_id: BundleId,
    /// The chain it is of.
    pub chain: ChainId,
    /// Its place in the chain.
    pub sequence: Counter,
    /// SHA-256 of its envelope, in hexadecimal.
    pub hash: String,
    /// The highest place in this chain that the server holds.
    pub head: ChainHead,
    /// How many places before the head are missing at the server.
    pub gaps: Counter,
    /// When it was received, by the server's clock.
    pub received: Timestamp,
}

impl Signed for Receipt {
    const PAYLOAD_TYPE: &'static str = "application/vnd.msp.receipt.v1+json";
}

/// The end of an evidence chain. Signed by the agent in a row of its own, so that a cut tail is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainHead {
    /// The last bundle's place in the chain; the first is 1.
    pub sequence: Counter,
    /// SHA-256 of the last bundle's envelope, in hexadecimal.
    pub hash: String,
}

/// A [`ChainHead`] with its owner, as the agent signs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedHead {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The site the chain is of.
    pub site_id: String,
    /// The appliance the chain is of.
    pub host_id: String,
    /// The chain.
    pub chain: ChainId,
    /// Where the chain ends.
    #[serde(flatten)]
    pub head: ChainHead,
}

impl Signed for SignedHead {
    const PAYLOAD_TYPE: &'static str = "application/vnd.msp.chain-head.v1+json";
}
