//! The kernel's packet filter as chains of rules, and what becomes of a packet that no rule was written for.
//!
//! Read from `nft -j list ruleset` or, where only iptables is there, from `iptables-save`. The question a
//! firewall check has to answer is not "is there a chain called so", but "is a packet dropped that nothing
//! allows": the answer follows jumps through unconditional rules to a final verdict or the chain's policy,
//! as nft(8) and iptables-extensions(8) say the kernel does. It fits any generator: NixOS's nixos-fw with either
//! back end, ufw, firewalld, a ruleset by hand.

pub mod iptables;
pub mod nft;
pub mod reader;

use std::collections::BTreeMap;

/// The two protocols a packet can arrive by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Ipv4,
    Ipv6,
}

impl Protocol {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// Whether tables of this nftables family see it.
    fn is_seen_by(self, family: &str) -> bool {
        family == "inet" || family == if self == Self::Ipv4 { "ip" } else { "ip6" }
    }
}

/// What a rule does with a packet that reaches its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// Dropped or rejected.
    Deny,
    /// On with the chain of this name, then back.
    Jump(String),
    /// On with the chain of this name, not back.
    Goto(String),
    /// Back to the chain that jumped here.
    Return,
    /// Nothing final: a counter, a log line, a mark.
    Continue,
    /// It cannot be told (a queue to a program, an extension without a name).
    Unclear(String),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whether it looks at the packet; such a rule was written for something, and says nothing of the rest.
    pub conditional: bool,
    pub verdict: Verdict,
}

/// One chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// The hook of a base chain, `input` for packets that are meant for this machine.
    pub hook: Option<String>,
    /// Whether the policy of a base chain drops.
    pub policy_drops: bool,
    pub rules: Vec<Rule>,
}

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `ip`, `ip6`, `inet`, ...
    pub family: String,
    pub table: String,
    pub chain: String,
}

/// All chains of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub chains: BTreeMap<Place, Chain>,
}

/// What becomes of an incoming packet that no rule was written for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Accepted,
    /// The chain that denies it.
    DeniedBy(String),
    /// It cannot be told, and why.
    Unclear(String),
}

/// As the kernel: jumps nest no deeper (NFT_JUMP_STACK_SIZE).
const MAX_JUMPS: usize = 16;

enum Walk {
    Final(Fate),
    Back,
}

impl Ruleset {
    /// The fate of an incoming packet that no rule was written for. It passes every base chain at the input
    /// hook, and one denial is enough.
    pub fn fate(&self, protocol: Protocol) -> Fate {
        let mut fate = Fate::Accepted;
        for (place, chain) in &self.chains {
            if chain.hook.as_deref() != Some("input") || !protocol.is_seen_by(&place.family) {
                continue;
            }
            let here = match self.walk(place, chain, MAX_JUMPS) {
                Walk::Final(fate) => fate,
                Walk::Back if chain.policy_drops => denied(place),
                Walk::Back => Fate::Accepted,
            };
            match here {
                Fate::DeniedBy(_) => return here,
                Fate::Unclear(_) => fate = here,
                Fate::Accepted => {}
            }
        }
        fate
    }

    fn walk(&self, place: &Place, chain: &Chain, depth: usize) -> Walk {
        let unclear = |why: String| Walk::Final(Fate::Unclear(why));
        for rule in chain.rules.iter().filter(|rule| !rule.conditional) {
            let (target, back) = match &rule.verdict {
                Verdict::Continue => continue,
                Verdict::Accept => return Walk::Final(Fate::Accepted),
                Verdict::Deny => return Walk::Final(denied(place)),
                Verdict::Return => return Walk::Back,
                Verdict::Unclear(why) => return unclear(format!("chain {} has {why}", place.chain)),
                Verdict::Jump(target) => (target, true),
                Verdict::Goto(target) => (target, false),
            };
            let next = Place { chain: target.clone(), ..place.clone() };
            let Some(next_chain) = self.chains.get(&next) else {
                return unclear(format!("chain {} jumps to {target}, which is not listed", place.chain));
            };
            if depth == 0 {
                return unclear(format!("chain {} jumps deeper than the kernel allows", place.chain));
            }
            match self.walk(&next, next_chain, depth - 1) {
                Walk::Back if back => {}
                end => return end,
            }
        }
        Walk::Back
    }
}

fn denied(place: &Place) -> Fate {
    Fate::DeniedBy(format!("{} {} {}", place.family, place.table, place.chain))
}
