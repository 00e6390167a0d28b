//! `POST /api/appliances/checkin`.

use crate::dsse::Envelope;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An appliance says that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckinRequest {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The site it belongs to.
    pub site_id: String,
    /// Its host name.
    pub hostname: String,
    /// The hardware address of its first network interface; empty when there is none.
    pub mac_address: String,
    /// Its addresses, loopback left out.
    pub ip_addresses: Vec<String>,
    /// Seconds since it was started.
    pub uptime_seconds: u64,
    /// The agent's version, for example `0.1.0`.
    pub agent_version: String,
    /// The version of NixOS; absent on another Linux.
    #[serde(default)]
    pub nixos_version: Option<String>,
    /// Whether credentials for Windows targets lie on the appliance.
    pub has_local_credentials: bool,
    /// The key that signs its evidence: 64 hexadecimal characters.
    pub agent_public_key: String,
}

/// A Windows server that the site's appliance looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowsTarget {
    /// Its name, for people and for its credentials.
    pub hostname: String,
    /// Its address: the only thing it is routed by. An entry without one is refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// The port of WinRM over HTTPS.
    #[serde(default = "winrm_https")]
    pub port: u16,
}

fn winrm_https() -> u16 {
    5986
}

/// What the server answers. The plain fields are for old clients; an agent acts on the stamp's payload alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckinReply {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The site's Windows servers, as in the payload.
    pub windows_targets: Vec<WindowsTarget>,
    /// The server's clock.
    pub server_time: Timestamp,
    /// A signed [`crate::signed::Freshness`].
    pub freshness: Envelope,
}
