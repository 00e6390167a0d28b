//! `GET /agent/sync?site_id=`.

use crate::dsse::Envelope;
use crate::signed::HealingTier;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A site's rules. The plain fields are for old clients; an agent acts on the envelope's payload alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RulesReply {
    /// The rules, as in the payload.
    pub rules: Vec<Value>,
    /// How much of the rule set the site gets.
    pub healing_tier: HealingTier,
    /// Changes exactly when the rules or the tier do.
    pub version: String,
    /// From when on the set must not be accepted any more.
    pub expires: Timestamp,
    /// The signed [`crate::signed::RuleSet`].
    pub signature: Envelope,
}
