//! `POST /api/enroll`: the first certificate by a one-time token, later ones under mutual TLS.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An appliance asks for a certificate. Its private keys never leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollRequest {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The one-time token; absent when a certificate is renewed under mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A PKCS#10 request in PEM; only its key and its proof of possession count, not the names in it.
    pub csr: String,
    /// The name the appliance goes by at its site (host_id). Empty: the one that the token names. A renewal keeps
    /// the one of its certificate.
    pub appliance: String,
    /// The key that signs its evidence: 64 hexadecimal characters.
    pub agent_public_key: String,
    /// The key that credentials are encrypted to: an X25519 recipient in age's form (`age1...`). Empty, at a renewal
    /// only: it has none.
    pub agent_encryption_key: String,
}

/// What an appliance needs to be part of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollReply {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The site it belongs to, as the token said.
    pub site_id: String,
    /// Its name in the fleet.
    pub appliance: String,
    /// Its certificate, in PEM.
    pub certificate: String,
    /// The fleet's own authority, in PEM.
    pub ca_certificate: String,
    /// Where Central Command listens for agents.
    pub mcp_url: String,
    /// The keys that sign what Central Command sends: 64 hexadecimal characters each.
    pub mcp_public_keys: Vec<String>,
    /// From when on the certificate is to be renewed: two thirds of its life.
    pub renew_after: Timestamp,
}
