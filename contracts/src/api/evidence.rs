//! `POST /api/evidence/sites/{site}/submit`.

use crate::dsse::Envelope;
use crate::ids::BundleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bundle of evidence on its way to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceSubmission {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The signed [`crate::evidence::Bundle`].
    pub bundle: Envelope,
}

/// The server holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceReply {
    /// The bundle that was received.
    pub bundle_id: BundleId,
    /// Whether the server held it already.
    pub duplicate: bool,
    /// The signed [`crate::signed::Receipt`].
    pub receipt: Envelope,
}
