//! `POST /api/appliances/checkin`.

use super::orders::PendingOrder;
use crate::dsse::Envelope;
use crate::ids::ChainId;
use crate::signed::HealingTier;
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
    /// The key that credentials are encrypted to: an X25519 recipient in age's form (`age1...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_encryption_key: Option<String>,
    /// How the agent itself stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentReport>,
}

/// How an agent stands, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentReport {
    /// The state it has: orders are made for it.
    pub chain: ChainId,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether every change is stopped.
    pub kill_switch: bool,
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// The tier of the rules it got; absent before the first sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healing_tier: Option<HealingTier>,
    /// How many rules are in force.
    pub rules_loaded: u32,
    /// The rules that did not load, at most 50.
    pub quarantined: Vec<QuarantinedRule>,
    /// How many reports wait to be sent.
    pub outbox_pending: u64,
    /// How many reports the server refused for good.
    pub outbox_rejected: u64,
}

/// A rule that did not load, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantinedRule {
    /// Its id, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// Where it stands, as `file:line:column`.
    pub place: String,
    /// What is wrong, and the cure.
    pub reason: String,
}

/// How WinRM is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TLS, the certificate checked or pinned.
    #[default]
    Https,
    /// Plain HTTP: every body is sealed with the session key of NTLM, never sent in the clear.
    Http,
}

/// How the agent proves to a Windows server who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// NTLMv2: the password is not sent.
    #[default]
    Ntlm,
    /// The password is sent: over TLS only.
    Basic,
}

/// A Windows server that the site's appliance looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowsTarget {
    /// Its name, for people and for its credentials.
    pub hostname: String,
    /// Its address: the only thing it is routed by. An entry without one is refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// The port of WinRM: 5986 over HTTPS, usually 5985 over plain HTTP.
    #[serde(default = "winrm_https")]
    pub port: u16,
    /// How it is reached.
    #[serde(default)]
    pub transport: Transport,
    /// How the agent logs on.
    #[serde(default)]
    pub authentication: Authentication,
    /// SHA-256 of the server's certificate (DER), in hexadecimal: only this one is believed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
    /// Logon and password, encrypted to the appliance's own key (age, ASCII armour). Absent: they lie in a file there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
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
    /// The orders that wait; the agent fetches them by a call of their own.
    #[serde(default)]
    pub orders: Vec<PendingOrder>,
    /// Whether every change is to stop. Believed at once when true; released by a signed order only.
    #[serde(default)]
    pub kill_switch: bool,
    /// Why, when it is engaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_switch_reason: Option<String>,
    /// The server's clock.
    pub server_time: Timestamp,
    /// A signed [`crate::signed::Freshness`].
    pub freshness: Envelope,
}
