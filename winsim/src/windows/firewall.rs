//! Windows Firewall: three profiles in several stores, and rules.
//!
//! The stores are what make a careless script wrong, so they are kept apart: the local one (`PersistentStore`), what Group
//! Policy sets (`RSOP`), and what results (`ActiveStore`, where policy wins). `Enabled` has three values, as the cmdlets
//! have it. Rules are also shown as the registry values in which the service keeps them ([MS-GPFAS] 2.2.2.19).

use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};

/// A firewall profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileName {
    /// Networks on which a domain controller answers.
    Domain,
    /// Networks marked private.
    Private,
    /// All other networks.
    Public,
}

impl ProfileName {
    /// All three, in the order in which the cmdlets list them.
    pub const ALL: [Self; 3] = [Self::Domain, Self::Private, Self::Public];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "Domain",
            Self::Private => "Private",
            Self::Public => "Public",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Domain => 0,
            Self::Private => 1,
            Self::Public => 2,
        }
    }
}

/// `GpoBoolean`: the type of a profile's `Enabled`, with the numbers PowerShell shows for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpoBoolean {
    /// Off.
    False = 0,
    /// On.
    True = 1,
    /// Not set in this store.
    NotConfigured = 2,
}

impl GpoBoolean {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::False => "False",
            Self::True => "True",
            Self::NotConfigured => "NotConfigured",
        }
    }
}

/// The stores of firewall policy that the simulation knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// Local settings, kept across restarts.
    Persistent,
    /// What is in force.
    Active,
    /// What Group Policy sets.
    Rsop,
}

/// Which way a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Towards this machine.
    Inbound,
    /// Away from it.
    Outbound,
}

/// One firewall rule with its port filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique name; the rule's port filter carries the same.
    pub instance_id: String,
    /// What a person sees.
    pub display_name: String,
    /// Whether the rule applies.
    pub enabled: bool,
    /// Which way it looks.
    pub direction: Direction,
    /// Whether it allows (or blocks).
    pub allow: bool,
    /// The profiles to which it belongs; empty means any.
    pub profiles: Vec<ProfileName>,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// Local ports, as the cmdlets show them.
    pub local_ports: Vec<String>,
}

/// The firewall's state.
#[derive(Debug, Clone, Serialize)]
pub struct Firewall {
    local: [GpoBoolean; 3],
    policy: [GpoBoolean; 3],
    /// The rules, all of the local store.
    pub rules: Vec<Rule>,
}

impl Firewall {
    pub(crate) fn healthy(rules: Vec<Rule>) -> Self {
        Self { local: [GpoBoolean::True; 3], policy: [GpoBoolean::NotConfigured; 3], rules }
    }

    /// `Enabled` of a profile as one store shows it. What nobody configures is on: that is Windows' default.
    pub(crate) fn enabled(&self, store: Store, profile: ProfileName) -> GpoBoolean {
        let i = profile.index();
        match store {
            Store::Persistent => self.local[i],
            Store::Rsop => self.policy[i],
            Store::Active => match (self.policy[i], self.local[i]) {
                (GpoBoolean::NotConfigured, GpoBoolean::NotConfigured) => GpoBoolean::True,
                (GpoBoolean::NotConfigured, local) => local,
                (policy, _) => policy,
            },
        }
    }

    /// Sets a profile in the local store; none when it was so already.
    pub(crate) fn set_local(&mut self, profile: ProfileName, to: GpoBoolean) -> Option<Change> {
        let slot = &mut self.local[profile.index()];
        let from = std::mem::replace(slot, to);
        (from != to).then(|| change(profile.as_str(), "enabled", from.as_str(), to.as_str()))
    }

    /// Sets what Group Policy says of a profile; none when it said so already.
    pub(crate) fn set_policy(&mut self, profile: ProfileName, to: GpoBoolean) -> Option<Change> {
        let slot = &mut self.policy[profile.index()];
        let from = std::mem::replace(slot, to);
        (from != to).then(|| change(profile.as_str(), "policy_enabled", from.as_str(), to.as_str()))
    }

    /// Enables or disables a rule. The outer none: no such rule; the inner: it was so already.
    pub(crate) fn set_rule(&mut self, instance_id: &str, enabled: bool) -> Option<Option<Change>> {
        let rule = self.rules.iter_mut().find(|r| r.instance_id.eq_ignore_ascii_case(instance_id))?;
        let from = std::mem::replace(&mut rule.enabled, enabled);
        let name = rule.instance_id.clone();
        Some((from != enabled).then(|| change(&name, "rule_enabled", truth(from), truth(enabled))))
    }

    /// Whether TCP to `port` gets through on a network of the profile `network`, the service running.
    pub(crate) fn admits(&self, network: ProfileName, port: &str) -> bool {
        self.enabled(Store::Active, network) == GpoBoolean::False
            || self.rules.iter().any(|r| {
                r.enabled
                    && r.allow
                    && r.direction == Direction::Inbound
                    && r.protocol == "TCP"
                    && (r.profiles.is_empty() || r.profiles.contains(&network))
                    && r.local_ports.iter().any(|p| p == port || p == "Any")
            })
    }

    /// The rules as registry values: name and data.
    pub(crate) fn registry_values(&self) -> Vec<(String, String)> {
        self.rules.iter().map(|r| (r.instance_id.clone(), registry_value(r))).collect()
    }
}

fn registry_value(rule: &Rule) -> String {
    let mut text = format!(
        "v2.31|Action={}|Active={}|Dir={}|Protocol={}|",
        if rule.allow { "Allow" } else { "Block" },
        if rule.enabled { "TRUE" } else { "FALSE" },
        match rule.direction {
            Direction::Inbound => "In",
            Direction::Outbound => "Out",
        },
        if rule.protocol == "UDP" { 17 } else { 6 },
    );
    for profile in &rule.profiles {
        text.push_str(&format!("Profile={}|", profile.as_str()));
    }
    for port in &rule.local_ports {
        text.push_str(&format!("LPort={port}|"));
    }
    text.push_str(&format!("App=System|Name={}|", rule.display_name));
    text
}

fn truth(b: bool) -> &'static str {
    if b { "True" } else { "False" }
}

fn change(object: &str, property: &'static str, from: &str, to: &str) -> Change {
    Change {
        subsystem: Subsystem::Firewall,
        object: object.to_owned(),
        property,
        from: from.to_owned(),
        to: to.to_owned(),
    }
}
