//! Active Directory on a domain controller: how replication from each partner fares, and what the diagnosis finds.

use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};
use crate::profiles::Profile;

/// How replication from a partner fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// The last attempt succeeded.
    Ok,
    /// The last attempts failed; the next one that somebody asks for succeeds.
    Failing,
    /// The partner cannot be reached, whoever asks.
    Offline,
}

impl Replication {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Offline => "offline",
        }
    }
}

/// A domain controller from which this one replicates.
#[derive(Debug, Clone, Serialize)]
pub struct Partner {
    /// Its NetBIOS name.
    pub name: String,
    /// Of all naming contexts from it.
    pub replication: Replication,
}

/// What a domain controller knows about its directory.
#[derive(Debug, Clone, Serialize)]
pub struct Directory {
    /// The partners; a lone domain controller has none.
    pub partners: Vec<Partner>,
    /// Tests of `dcdiag` that fail for reasons of their own.
    pub failing_tests: Vec<String>,
    /// A fault of the simulation: the directory does not say how replication fares.
    pub replication_query_fails: bool,
}

/// The tests that `dcdiag` runs by default on a domain controller, in its order.
pub(crate) const TESTS: [&str; 16] = [
    "Connectivity",
    "Advertising",
    "FrsEvent",
    "DFSREvent",
    "SysVolCheck",
    "KccEvent",
    "KnowsOfRoleHolders",
    "MachineAccount",
    "NCSecDesc",
    "NetLogons",
    "ObjectsReplicated",
    "Replications",
    "RidManager",
    "Services",
    "SystemLog",
    "VerifyReferences",
];

impl Directory {
    /// The directory of a healthy machine of this kind; none when it is no domain controller.
    #[must_use]
    pub fn of(profile: Profile) -> Option<Self> {
        let partner = |name: &str| Partner { name: name.to_owned(), replication: Replication::Ok };
        (profile == Profile::Dc).then(|| Self {
            partners: vec![partner("DC02"), partner("DC03")],
            failing_tests: Vec::new(),
            replication_query_fails: false,
        })
    }

    /// The naming contexts that every controller of this forest of one domain holds.
    pub(crate) fn contexts(domain: &str) -> [String; 5] {
        let root = domain.split('.').map(|part| format!("DC={part}")).collect::<Vec<_>>().join(",");
        [
            root.clone(),
            format!("CN=Configuration,{root}"),
            format!("CN=Schema,CN=Configuration,{root}"),
            format!("DC=DomainDnsZones,{root}"),
            format!("DC=ForestDnsZones,{root}"),
        ]
    }

    /// Sets how replication from a partner fares. The outer none: no such partner; the inner: it was so already.
    pub(crate) fn set_replication(&mut self, partner: &str, to: Replication) -> Option<Option<Change>> {
        let partner = self.partners.iter_mut().find(|p| p.name.eq_ignore_ascii_case(partner))?;
        let from = std::mem::replace(&mut partner.replication, to);
        let name = partner.name.clone();
        Some((from != to).then(|| change(&name, "replication", from.as_str(), to.as_str())))
    }

    /// Takes a partner out of the directory; none when there is no such partner.
    pub(crate) fn remove_partner(&mut self, partner: &str) -> Option<Change> {
        let at = self.partners.iter().position(|p| p.name.eq_ignore_ascii_case(partner))?;
        let gone = self.partners.remove(at);
        Some(change(&gone.name, "partner", "present", "removed"))
    }

    /// Replicates from every partner that can be reached; returns those that cannot, too.
    pub(crate) fn synchronise(&mut self) -> (Vec<Change>, Vec<String>) {
        let (mut changes, mut unreachable) = (Vec::new(), Vec::new());
        for partner in &mut self.partners {
            match partner.replication {
                Replication::Ok => {}
                Replication::Failing => {
                    partner.replication = Replication::Ok;
                    changes.push(change(&partner.name, "replication", "failing", "ok"));
                }
                Replication::Offline => unreachable.push(partner.name.clone()),
            }
        }
        (changes, unreachable)
    }

    /// Makes a test of `dcdiag` fail, or no longer. The outer none: no such test.
    pub(crate) fn set_test(&mut self, test: &str, fails: bool) -> Option<Option<Change>> {
        let name = TESTS.into_iter().find(|t| t.eq_ignore_ascii_case(test))?;
        let before = self.failing_tests.iter().any(|t| t == name);
        if before == fails {
            return Some(None);
        }
        self.failing_tests.retain(|t| t != name);
        if fails {
            self.failing_tests.push(name.to_owned());
        }
        Some(Some(change(name, "test_fails", &before.to_string(), &fails.to_string())))
    }

    pub(crate) fn set_query_fails(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.replication_query_fails, to);
        (from != to).then(|| change("replication", "query_fails", &from.to_string(), &to.to_string()))
    }
}

fn change(object: &str, property: &'static str, from: &str, to: &str) -> Change {
    Change {
        subsystem: Subsystem::Directory,
        object: object.to_owned(),
        property,
        from: from.to_owned(),
        to: to.to_owned(),
    }
}
