//! The rules of an evidence chain, without a database.
//!
//! An appliance has one chain for each state it began with, and each is judged by itself. A chain counts
//! from 1; each link names the hash of the one before, the first names the genesis hash.
//! Links may arrive in any order, so a new one is judged against whichever neighbours are held. What
//! contradicts a held link is never stored in its place: either the old or the new one is a lie.

use msp_contracts::evidence::GENESIS_HASH;
use msp_contracts::ids::ChainId;
use serde::Serialize;
use std::fmt;

/// One bundle's place in a chain.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// Which chain of its appliance.
    pub(crate) chain: ChainId,
    /// Its place; the first is 1.
    pub(crate) sequence: i64,
    /// The bundle's id.
    pub(crate) bundle_id: String,
    /// SHA-256 of its envelope.
    pub(crate) hash: String,
    /// The hash it names as the one before it.
    pub(crate) previous_hash: String,
}

/// What is held of the link's chain around it.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// The hash held at the same place.
    pub(super) same: Option<String>,
    /// The place at which the same bundle id is held.
    pub(super) bundle_held_at: Option<i64>,
    /// The hash held one place before.
    pub(super) before: Option<String>,
    /// The `previous_hash` held one place after.
    pub(super) after: Option<String>,
}

/// How a bundle contradicts the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Contradiction {
    /// Two different bundles claim the same place or the same id.
    ChainFork,
    /// Its hash link does not fit a neighbour.
    ChainBroken,
}

impl Contradiction {
    /// The word on the wire and in the store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ChainFork => "chain_fork",
            Self::ChainBroken => "chain_broken",
        }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to become of a link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It fits and is new.
    Fits,
    /// It is held already, byte for byte.
    Duplicate,
    /// It contradicts what is held; the text says how.
    Contradicts(Contradiction, String),
}

/// Judges `link` against what is held around it.
pub(super) fn judge(link: &Link, held: &Neighbours) -> Verdict {
    let fork = |text| Verdict::Contradicts(Contradiction::ChainFork, text);
    let broken = |text| Verdict::Contradicts(Contradiction::ChainBroken, text);
    let Link { sequence, bundle_id, hash, previous_hash, .. } = link;
    match &held.same {
        Some(same) if same == hash => return Verdict::Duplicate,
        Some(same) => {
            return fork(format!("sequence {sequence} is held with hash {same}, this bundle hashes to {hash}"));
        }
        None => {}
    }
    if let Some(place) = held.bundle_held_at {
        return fork(format!("{bundle_id} is held at sequence {place}, this bundle claims sequence {sequence}"));
    }
    if (*sequence == 1) != (previous_hash == GENESIS_HASH) {
        return broken(format!(
            "previous_hash is {previous_hash} at sequence {sequence}: the first bundle, and only the first, names {GENESIS_HASH}"
        ));
    }
    if let Some(before) = held.before.as_ref().filter(|before| *before != previous_hash) {
        let place = sequence - 1;
        return broken(format!(
            "previous_hash is {previous_hash}, the bundle held at sequence {place} hashes to {before}"
        ));
    }
    if let Some(after) = held.after.as_ref().filter(|after| *after != hash) {
        let place = sequence.saturating_add(1);
        return broken(format!(
            "this bundle hashes to {hash}, the bundle held at sequence {place} names {after} before it"
        ));
    }
    Verdict::Fits
}
