//! Evidence, verified again: the signature over the stored bytes, and the links to the neighbours.
//!
//! Nothing is taken from the columns beside an envelope: they are held against what the envelope says.

use super::frame::Kind;
use super::words::count;
use crate::fleet::Appliance;
use crate::store::StoredBundle;
use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::evidence::{Bundle, GENESIS_HASH};
use msp_contracts::keys;

/// One thing that was checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) kind: Kind,
    pub(super) said: String,
}

fn check(what: &'static str, holds: bool, said: impl Into<String>) -> Check {
    Check { what, kind: if holds { Kind::Good } else { Kind::Bad }, said: said.into() }
}

/// The bundle in an envelope by the key in hexadecimal, or why it is not believed.
fn verified(bytes: &[u8], key: &str) -> Result<Bundle, String> {
    let envelope = Envelope::from_bytes(bytes).map_err(|error| error.to_string())?;
    let key = keys::public_from_hex(key).map_err(|error| error.to_string())?;
    let payload = envelope.verify(Bundle::PAYLOAD_TYPE, &[key]).map_err(|error| error.to_string())?;
    serde_json::from_slice(&payload).map_err(|error| format!("the signed payload is no bundle: {error}"))
}

/// Everything about one bundle. `before` and `after` are the neighbours that are held, `pinned` the key that is
/// pinned for the appliance today.
pub(super) fn bundle(
    who: &Appliance,
    link: &StoredBundle,
    before: Option<&StoredBundle>,
    after: Option<&StoredBundle>,
    pinned: Option<&str>,
) -> Vec<Check> {
    let row = &link.row;
    let mut checks = Vec::new();
    let hash = sha256_hex(&link.envelope);
    checks.push(check(
        "Bytes",
        hash == row.hash,
        format!("{} bytes hash (SHA-256) to {hash}; on arrival it was {}", link.envelope.len(), row.hash),
    ));
    let bundle = match verified(&link.envelope, &link.signer) {
        Ok(bundle) => {
            checks.push(check("Signature", true, format!("Ed25519, strictly, by the key {}", link.signer)));
            bundle
        }
        Err(error) => {
            checks.push(check("Signature", false, error));
            return checks;
        }
    };
    checks.push(match pinned {
        Some(key) if key == link.signer => check("Signer", true, "the key that is pinned for this appliance"),
        Some(key) => Check { what: "Signer", kind: Kind::Waiting, said: format!("the key that was pinned when it arrived; today {key} is pinned: the appliance was set up anew in between") },
        None => Check { what: "Signer", kind: Kind::Waiting, said: "the key that was pinned when it arrived; today none is".to_owned() },
    });
    let owner = bundle.site_id == who.site && bundle.host_id == who.appliance;
    let place = bundle.chain.as_str() == row.chain
        && i64::try_from(bundle.sequence.0) == Ok(row.sequence)
        && bundle.bundle_id.to_string() == row.bundle_id;
    checks.push(check(
        "Owner and place",
        owner && place,
        format!(
            "signed as {} of {}/{}, place {} of chain {}",
            bundle.bundle_id, bundle.site_id, bundle.host_id, bundle.sequence, bundle.chain
        ),
    ));
    checks.push(match before {
        Some(before) => {
            let found = sha256_hex(&before.envelope);
            check(
                "Link back",
                found == bundle.previous_hash,
                format!(
                    "names {}; the bundle at place {} hashes to {found}",
                    bundle.previous_hash, before.row.sequence
                ),
            )
        }
        None if bundle.sequence.0 == 1 => check(
            "Link back",
            bundle.previous_hash == GENESIS_HASH,
            "the first of its chain: it names the genesis hash",
        ),
        None => Check {
            what: "Link back",
            kind: Kind::Waiting,
            said: format!("place {} was not received, so there is nothing to hold it against", bundle.sequence.0 - 1),
        },
    });
    checks.push(match after.map(|after| (after, verified(&after.envelope, &after.signer))) {
        Some((after, Ok(next))) => check(
            "Link forward",
            next.previous_hash == hash,
            format!("the signed bundle at place {} names {}", after.row.sequence, next.previous_hash),
        ),
        Some((after, Err(error))) => {
            check("Link forward", false, format!("the bundle at place {} is not believed: {error}", after.row.sequence))
        }
        None => Check {
            what: "Link forward",
            kind: Kind::Idle,
            said: "the latest that was received, or the next is missing".to_owned(),
        },
    });
    checks
}

/// Whether all of it holds.
pub(super) fn holds(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.kind != Kind::Bad)
}

/// A whole chain, fed in order.
#[derive(Debug, Default)]
pub(super) struct ChainVerdict {
    /// How many bundles were verified.
    pub(super) bundles: i64,
    /// Places that are missing.
    pub(super) missing: i64,
    /// What does not hold, at most the first 50.
    pub(super) problems: Vec<(i64, String)>,
    last: Option<(i64, String)>,
}

impl ChainVerdict {
    /// Takes the next link.
    pub(super) fn take(&mut self, who: &Appliance, link: &StoredBundle) {
        let place = link.row.sequence;
        let hash = sha256_hex(&link.envelope);
        let expected = self.last.as_ref().map_or(1, |(last, _)| last.saturating_add(1));
        self.missing = self.missing.saturating_add(place.saturating_sub(expected));
        self.bundles += 1;
        let mut wrong = |text: String| {
            if self.problems.len() < 50 {
                self.problems.push((place, text));
            }
        };
        if hash != link.row.hash {
            wrong("its bytes are not those that were received".to_owned());
        }
        match verified(&link.envelope, &link.signer) {
            Err(error) => wrong(error),
            Ok(bundle) => {
                if bundle.site_id != who.site
                    || bundle.host_id != who.appliance
                    || i64::try_from(bundle.sequence.0) != Ok(place)
                    || bundle.chain.as_str() != link.row.chain
                {
                    wrong(format!("is signed as place {} of {}/{}", bundle.sequence, bundle.site_id, bundle.host_id));
                }
                let before = match &self.last {
                    Some((last, hash)) if last.checked_add(1) == Some(place) => Some(hash.as_str()),
                    None if place == 1 => Some(GENESIS_HASH),
                    _ => None,
                };
                if before.is_some_and(|before| before != bundle.previous_hash) {
                    wrong("does not name the hash of the bundle before it".to_owned());
                }
            }
        }
        self.last = Some((place, hash));
    }

    /// The verdict, in a sentence.
    pub(super) fn said(&self) -> (Kind, String) {
        let verified = format!("{} verified: signature, owner, place and link of each", count(self.bundles, "bundle"));
        match (self.problems.len(), self.missing) {
            (0, 0) => (Kind::Good, format!("The chain is whole. {verified}.")),
            (0, missing) => (Kind::Waiting, format!("What is here holds, {missing} missing. {verified}.")),
            (wrong, _) => (
                Kind::Bad,
                format!(
                    "The chain does not hold: {} below. {verified}.",
                    count(i64::try_from(wrong).unwrap_or(i64::MAX), "problem")
                ),
            ),
        }
    }
}
