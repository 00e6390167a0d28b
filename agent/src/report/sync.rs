//! Rule sync: takes the site's signed rule set and lays its rules where the loader finds them.
//!
//! The agent acts on the signed payload alone. The envelope is stored with its sequence before its rules are
//! used; the folder `rules/synced` is made from the stored envelope, at the start and after every change, so
//! that what the server deleted is gone here too, and a file somebody put there does not stay.

use super::client::{CallError, Central};
use crate::causes::chain;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Store, StoreError, facts};
use msp_contracts::api::{self, RulesReply};
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::keys::VerifyingKey;
use msp_contracts::signed::{RuleSet, StampError};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};

/// Rules that were not taken over.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the rule set's signature does not hold: {}", chain(source))]
    Forged {
        #[source]
        source: DsseError,
    },
    #[error("the rule set is refused")]
    Refused {
        #[source]
        source: StampError,
    },
    #[error("{}: the synced rules could not be written", file.display())]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The folder of the synced rules.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("rules/synced")
}

/// Lays the rules of a stored envelope into the folder, and nothing else; without one, the folder is empty.
///
/// # Errors
/// When the stored envelope does not verify, or the folder cannot be written.
pub fn lay_out(state_dir: &Path, envelope: Option<&str>, server_keys: &[VerifyingKey]) -> Result<(), SyncError> {
    let folder = folder(state_dir);
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |source| SyncError::Write { file, source }
    };
    let rules = envelope
        .map(|text| {
            let envelope = Envelope::from_bytes(text.as_bytes())?;
            RuleSet::verify(&envelope, server_keys)
        })
        .transpose()
        .map_err(|source| SyncError::Forged { source })?;
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let (file, new) = (folder.join("central.json"), folder.join(".central.json.new"));
    for entry in std::fs::read_dir(&folder).map_err(failed(&folder))?.flatten() {
        let path = entry.path();
        if path != file {
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(failed(&path))?;
        }
    }
    let Some(rules) = rules else {
        return match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&file)(error)),
            _ => Ok(()),
        };
    };
    let text = json!({ "rules": rules.rules }).to_string();
    std::fs::write(&new, text).map_err(failed(&new))?;
    std::fs::rename(&new, &file).map_err(failed(&file))
}

/// Fetches the rule set once and stores it. Returns whether rules changed: then they must be laid out and loaded.
///
/// # Errors
/// When the server cannot be reached, refuses, or its rule set is not to be believed.
pub async fn sync(
    central: &Central,
    config: &Config,
    server_keys: &[VerifyingKey],
    store: &Store,
    clock: &dyn Clock,
) -> Result<bool, SyncError> {
    let reply: RulesReply = central.get(api::RULES, &[("site_id", &config.site_id)]).await?;
    let forged = |source| SyncError::Forged { source };
    let set = RuleSet::verify(&reply.signature, server_keys).map_err(forged)?;
    let envelope = reply.signature.to_bytes().map_err(forged)?;
    let envelope = String::from_utf8_lossy(&envelope).into_owned();
    let now = clock.now();
    let (site, host) = (config.site_id.clone(), config.host_id.clone());
    let keys = server_keys.to_vec();
    store
        .write(move |db| {
            let highest = facts::sequence(db, facts::RULES_SEQUENCE)?;
            if let Err(source) = set.stamp.check(&site, &host, now, highest) {
                return Ok(Err(source));
            }
            let before = facts::get(db, facts::RULES)?;
            let before = before.and_then(|text| {
                let envelope = Envelope::from_bytes(text.as_bytes()).ok()?;
                RuleSet::verify(&envelope, &keys).ok()
            });
            facts::set(db, facts::RULES_SEQUENCE, &set.stamp.sequence.to_string())?;
            facts::set(db, facts::RULES, &envelope)?;
            let tier = serde_json::to_value(set.healing_tier).unwrap_or_default();
            facts::set(db, facts::RULES_TIER, tier.as_str().unwrap_or_default())?;
            facts::set(db, facts::RULES_VERSION, &set.version)?;
            facts::set(db, facts::RULES_SYNCED_AT, &now.to_string())?;
            Ok(Ok(before.is_none_or(|before| before.rules != set.rules)))
        })
        .await?
        .map_err(|source| SyncError::Refused { source })
}
