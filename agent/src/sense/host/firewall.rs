//! Firewall: an incoming packet that no rule allows is denied, for IPv4 and for IPv6.
//!
//! Asks nftables first, whose listing holds what iptables-nft made as well; where `nft` is not installed, or it
//! lists no input chain and the older in-kernel iptables is in use, asks iptables-save. The hash of the rules
//! is in the details, so that a change that keeps the answer is seen too.

use super::Machine;
use crate::adapters::command::CommandError;
use crate::adapters::packet_filter::{Fate, Protocol, Ruleset, iptables, nft, reader};
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::{Platform, Severity};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The check.
pub struct Firewall {
    pub machine: Arc<Machine>,
    pub desired: baseline::Firewall,
}

struct Listing {
    ruleset: Ruleset,
    hash: String,
    source: &'static str,
}

impl Check for Firewall {
    fn kind(&self) -> CheckKind {
        CheckKind::Firewall
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl Firewall {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let desired = json!({"enabled": self.desired.enabled});
        let listing = match self.listing().await {
            Ok(listing) => listing,
            Err(reason) => {
                return Observation::unknown(kind, desired, reason).recommend(
                    "run it as root (reading the packet filter needs CAP_NET_ADMIN), with nftables installed",
                );
            }
        };
        let protocols: &[Protocol] =
            if self.has_ipv6() { &[Protocol::Ipv4, Protocol::Ipv6] } else { &[Protocol::Ipv4] };
        let fates: Vec<(&str, Fate)> =
            protocols.iter().map(|protocol| (protocol.name(), listing.ruleset.fate(*protocol))).collect();
        let words: Map<String, Value> = fates
            .iter()
            .map(|(name, fate)| {
                let words = match fate {
                    Fate::Accepted => "accepted".to_owned(),
                    Fate::DeniedBy(chain) => format!("denied by {chain}"),
                    Fate::Unclear(_) => "unknown".to_owned(),
                };
                ((*name).to_owned(), Value::from(words))
            })
            .collect();
        let open: Vec<&str> = fates.iter().filter(|(_, fate)| *fate == Fate::Accepted).map(|(name, _)| *name).collect();
        let unclear: Vec<String> = fates
            .iter()
            .filter_map(|(name, fate)| match fate {
                Fate::Unclear(why) => Some(format!("{name}: {why}")),
                _ => None,
            })
            .collect();
        let enabled = open.is_empty();
        let actual = json!({"enabled": enabled, "unsolicited": words});
        let observation = if enabled && !unclear.is_empty() {
            Observation::unknown(kind, desired, unclear.join("; "))
        } else if enabled == self.desired.enabled {
            Observation::compliant(kind, actual, desired)
        } else {
            let line = if self.desired.enabled {
                format!("unsolicited {} packets are accepted: no input chain denies them", open.join(" and "))
            } else {
                "unsolicited packets are denied, but the baseline wants no firewall".to_owned()
            };
            Observation::drift(kind, Severity::High, actual, desired, vec![line]).recommend(self.cure())
        };
        let told = unclear.is_empty() || !enabled;
        let observation = if told { observation.detail("firewall_enabled", enabled) } else { observation };
        observation.detail("rules_sha256", listing.hash).detail("source", listing.source)
    }

    fn cure(&self) -> &'static str {
        match self.machine.platform() {
            Platform::Nixos => {
                "set networking.firewall.enable = true and rebuild; was it stopped by hand: systemctl start firewall"
            }
            _ => {
                "load a ruleset whose input chain drops by default, e.g. systemctl enable --now nftables, or ufw enable"
            }
        }
    }

    /// A kernel without IPv6, or with it switched off, has no addresses of it.
    fn has_ipv6(&self) -> bool {
        match self.machine.files.read("/proc/net/if_inet6") {
            Ok(addresses) => !addresses.trim().is_empty(),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }

    async fn listing(&self) -> Result<Listing, String> {
        match self.nftables().await {
            Ok(listed) => {
                let (ruleset, hash) = nft::parse(&listed).map_err(|error| error.to_string())?;
                let hooked = ruleset.chains.values().any(|chain| chain.hook.as_deref() == Some("input"));
                if !hooked && self.legacy_tables() {
                    return self.saved(["iptables-legacy-save", "ip6tables-legacy-save"], "iptables-legacy").await;
                }
                Ok(Listing { ruleset, hash, source: "nftables" })
            }
            Err(CommandError::Missing { .. }) => self.saved(["iptables-save", "ip6tables-save"], "iptables").await,
            Err(error) => Err(error.to_string()),
        }
    }

    /// Through the reader where there is one: the daemon may not list them itself.
    async fn nftables(&self) -> Result<String, CommandError> {
        if let Ok(socket) = self.machine.files.resolve(reader::SOCKET)
            && socket.exists()
        {
            let listed = reader::read(&socket).await;
            return listed.map_err(|source| CommandError::Reader { source });
        }
        Ok(self.machine.commands.run("nft", &["-j", "list", "ruleset"]).await?.stdout)
    }

    /// Whether the older in-kernel iptables filters; the list is empty where its module is not loaded.
    fn legacy_tables(&self) -> bool {
        let tables = self.machine.files.read("/proc/net/ip_tables_names").unwrap_or_default();
        tables.lines().any(|table| table == "filter")
    }

    async fn saved(&self, programs: [&str; 2], source: &'static str) -> Result<Listing, String> {
        let mut ruleset = Ruleset::default();
        let mut hasher = Sha256::new();
        for (program, family) in programs.into_iter().zip(["ip", "ip6"]) {
            let output = match self.machine.commands.run(program, &[]).await {
                Ok(output) => output,
                Err(CommandError::Missing { .. }) => {
                    return Err(format!("neither `nft` nor `{program}` is installed"));
                }
                Err(error) => return Err(error.to_string()),
            };
            iptables::read_into(&mut ruleset, program, family, &output.stdout).map_err(|error| error.to_string())?;
            // Policies are followed by counters, comments hold the time.
            for line in output.stdout.lines().filter(|line| !line.starts_with('#')) {
                let stable = if line.starts_with(':') { line.split(" [").next().unwrap_or(line) } else { line };
                hasher.update(stable.as_bytes());
                hasher.update(b"\n");
            }
        }
        let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Listing { ruleset, hash, source })
    }
}

#[cfg(test)]
mod tests;
