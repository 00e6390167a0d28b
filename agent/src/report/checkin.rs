//! Check-in: says that the appliance is there, and learns which servers it looks after.
//!
//! The reply counts only with a freshness stamp that verifies; its sequence is stored before the reply is
//! used. The inventory is kept, so that checks go on without Central Command and after a restart.

use super::client::{CallError, Central};
use crate::causes::chain;
use crate::clock::Clock;
use crate::config::{Config, credentials, sealed};
use crate::guard::clock_sanity;
use crate::store::{Store, StoreError, facts};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{self, AgentReport, CheckinReply, CheckinRequest, WindowsTarget};
use msp_contracts::dsse::{DsseError, Signed};
use msp_contracts::keys::VerifyingKey;
use msp_contracts::signed::{Freshness, StampError};
use std::path::Path;

/// A check-in that did not count.
#[derive(Debug, thiserror::Error)]
pub enum CheckinError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the reply's freshness stamp does not hold: {}", chain(source))]
    Forged {
        #[source]
        source: DsseError,
    },
    #[error("the reply's freshness stamp is refused")]
    Refused {
        #[source]
        source: StampError,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The hardware address of the first network interface that has one, by name.
fn mac_address() -> String {
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else { return String::new() };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    names.sort();
    let addresses = names.iter().map(|path| read(&path.join("address").to_string_lossy()));
    addresses.into_iter().find(|address| !address.is_empty() && address != "00:00:00:00:00:00").unwrap_or_default()
}

/// The addresses of this machine, loopback left out, as the kernel's own tables list them.
fn ip_addresses() -> Vec<String> {
    let mut found = Vec::new();
    // fib_trie names a local address on the line before "/32 host LOCAL".
    let table = read("/proc/net/fib_trie");
    let lines: Vec<_> = table.lines().collect();
    for pair in lines.windows(2) {
        if let [address, kind] = pair
            && kind.contains("/32 host LOCAL")
            && let Some(address) = address.trim().strip_prefix("|-- ")
            && !address.starts_with("127.")
        {
            found.push(address.to_owned());
        }
    }
    for line in read("/proc/net/if_inet6").lines() {
        let digits = line.split_whitespace().next().and_then(|text| u128::from_str_radix(text, 16).ok());
        let address = digits.map(std::net::Ipv6Addr::from).filter(|address| !address.is_loopback());
        found.extend(address.map(|address| address.to_string()));
    }
    found.sort();
    found.dedup();
    found
}

fn nixos_version() -> Option<String> {
    let release = read("/etc/os-release");
    let value = |name: &str| {
        release.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_matches('"').to_owned())
    };
    (value("ID=").as_deref() == Some("nixos")).then(|| value("VERSION_ID=")).flatten()
}

/// Who checks in.
pub struct About<'a> {
    pub config: &'a Config,
    /// The key that signs the evidence, in hexadecimal.
    pub agent_public_key: &'a str,
    pub report: AgentReport,
}

/// What a check-in taught.
#[derive(Debug, Default)]
pub struct Learnt {
    /// The inventory, when it changed.
    pub inventory: Option<Vec<WindowsTarget>>,
    /// Why the kill switch is engaged, when this check-in engaged it.
    pub kill_switch: Option<String>,
}

fn request(about: About<'_>) -> CheckinRequest {
    let config = about.config;
    let uptime = read("/proc/uptime");
    let uptime_seconds = uptime.split(['.', ' ']).next().and_then(|text| text.parse().ok()).unwrap_or(0);
    CheckinRequest {
        schema_version: SCHEMA_VERSION,
        site_id: config.site_id.clone(),
        hostname: read("/proc/sys/kernel/hostname"),
        mac_address: mac_address(),
        ip_addresses: ip_addresses(),
        uptime_seconds,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        nixos_version: nixos_version(),
        has_local_credentials: credentials::any(Path::new(&config.windows_credentials_dir)),
        agent_public_key: about.agent_public_key.to_owned(),
        // A key that cannot be read is told when it is needed, and at the start.
        agent_encryption_key: sealed::recipient(config).ok().flatten(),
        agent: Some(about.report),
    }
}

/// Checks in once and stores what was learnt.
///
/// # Errors
/// When the server cannot be reached, refuses, or its answer is not to be believed.
pub async fn check_in(
    central: &Central,
    about: About<'_>,
    server_keys: &[VerifyingKey],
    store: &Store,
    clock: &dyn Clock,
) -> Result<Learnt, CheckinError> {
    let (site, host) = (about.config.site_id.clone(), about.config.host_id.clone());
    let reply: CheckinReply = central.send(api::CHECKIN, &request(about)).await?;
    let now = clock.now();
    // A word to stop is believed before anything else is looked at: to stop does no harm.
    let engaged = reply.kill_switch.then(|| stop_reason(reply.kill_switch_reason.as_deref()));
    let kill_switch = store.write(move |db| engage(db, engaged)).await?;
    let freshness =
        Freshness::verify(&reply.freshness, server_keys).map_err(|source| CheckinError::Forged { source })?;
    let targets = freshness.windows_targets.clone();
    let listed = serde_json::to_string(&targets)
        .map_err(|error| StoreError::Form { what: "the inventory", detail: error.to_string() })?;
    let changed = store
        .write(move |db| {
            let highest = facts::sequence(db, facts::FRESHNESS_SEQUENCE)?;
            // The stamp's own time is signed; the reply's plain field is not.
            let checked = freshness.stamp.check(&site, &host, now, highest);
            if matches!(checked, Ok(()) | Err(StampError::Expired { .. } | StampError::FromTheFuture { .. }))
                && highest.is_none_or(|highest| freshness.stamp.sequence > highest)
            {
                clock_sanity::server_said(db, now, freshness.stamp.issued)?;
            }
            if let Err(source) = checked {
                return Ok(Err(source));
            }
            facts::set(db, facts::FRESHNESS_SEQUENCE, &freshness.stamp.sequence.to_string())?;
            facts::set(db, facts::FRESH_UNTIL, &freshness.stamp.expires.to_string())?;
            facts::set(db, facts::LAST_CONTACT, &now.to_string())?;
            let changed = facts::get(db, facts::INVENTORY)?.as_deref() != Some(&listed);
            facts::set(db, facts::INVENTORY, &listed)?;
            Ok(Ok(changed))
        })
        .await?
        .map_err(|source| CheckinError::Refused { source })?;
    Ok(Learnt { inventory: changed.then_some(targets), kill_switch })
}

fn stop_reason(said: Option<&str>) -> String {
    let said = said.map(str::trim).filter(|said| !said.is_empty()).unwrap_or("no reason was given");
    said.chars().take(300).collect()
}

/// Engages the kill switch unless it is engaged. Returns the reason when this engaged it.
fn engage(db: &rusqlite::Connection, engaged: Option<String>) -> Result<Option<String>, StoreError> {
    let Some(reason) = engaged else { return Ok(None) };
    if facts::get(db, facts::KILL_SWITCH)?.is_some() {
        return Ok(None);
    }
    facts::set(db, facts::KILL_SWITCH, &reason)?;
    Ok(Some(reason))
}

/// The inventory as it was learnt last.
///
/// # Errors
/// When the store cannot be read.
pub fn inventory(db: &rusqlite::Connection) -> Result<Vec<WindowsTarget>, StoreError> {
    let Some(text) = facts::get(db, facts::INVENTORY)? else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|error| StoreError::Form { what: "the inventory", detail: error.to_string() })
}
