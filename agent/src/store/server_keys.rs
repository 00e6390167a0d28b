//! The keys of Central Command that are believed: the configured one, or those that an order put in its place.

use super::{StoreError, facts};
use msp_contracts::keys::{KeyError, VerifyingKey, public_from_hex, public_to_hex};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// Stored when keys were rotated.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rotated {
    /// The configured key at that time: another one in the configuration since then is a person's word, and counts.
    configured: String,
    /// Believed now.
    keys: Vec<String>,
    /// Believed once: receipts they signed stay good.
    former: Vec<String>,
}

/// The keys of Central Command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerKeys {
    /// Believed now.
    pub trusted: Vec<VerifyingKey>,
    /// Believed now or once: for verifying what was received before.
    pub ever: Vec<VerifyingKey>,
}

fn rotated(db: &Connection, configured: &VerifyingKey) -> Result<Option<Rotated>, StoreError> {
    let Some(text) = facts::get(db, facts::SERVER_KEYS)? else { return Ok(None) };
    let rotated: Rotated = serde_json::from_str(&text)
        .map_err(|error| StoreError::Form { what: "Central Command's keys", detail: error.to_string() })?;
    Ok((rotated.configured == public_to_hex(configured)).then_some(rotated))
}

fn read(keys: &[String]) -> Result<Vec<VerifyingKey>, StoreError> {
    let read = |key: &String| public_from_hex(key);
    keys.iter()
        .map(read)
        .collect::<Result<_, KeyError>>()
        .map_err(|error| StoreError::Form { what: "Central Command's keys", detail: error.to_string() })
}

impl ServerKeys {
    /// Only the configured key.
    pub fn configured(key: VerifyingKey) -> Self {
        Self { trusted: vec![key], ever: vec![key] }
    }

    /// The keys in force.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(db: &Connection, configured: VerifyingKey) -> Result<Self, StoreError> {
        let Some(rotated) = rotated(db, &configured)? else { return Ok(Self::configured(configured)) };
        let trusted = read(&rotated.keys)?;
        let mut ever = trusted.clone();
        ever.extend(read(&rotated.former)?);
        Ok(Self { trusted, ever })
    }

    /// Puts `keys` in the place of those believed now.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn rotate(db: &Connection, configured: VerifyingKey, keys: &[VerifyingKey]) -> Result<(), StoreError> {
        let before = Self::of(db, configured)?;
        let hex = |keys: &[VerifyingKey]| keys.iter().map(public_to_hex).collect::<Vec<_>>();
        let former: Vec<_> = before.ever.into_iter().filter(|key| !keys.contains(key)).collect();
        let rotated = Rotated { configured: public_to_hex(&configured), keys: hex(keys), former: hex(&former) };
        let text = serde_json::to_string(&rotated)
            .map_err(|error| StoreError::Form { what: "Central Command's keys", detail: error.to_string() })?;
        facts::set(db, facts::SERVER_KEYS, &text)
    }
}

/// The keys that an order names: at least one, each a sound one.
///
/// # Errors
/// In words, for the refusal.
pub fn named(texts: &[String]) -> Result<Vec<VerifyingKey>, String> {
    if texts.is_empty() {
        return Err("it names no key: then nothing could ever be believed again".to_owned());
    }
    let sound = |text: &String| match public_from_hex(text) {
        Ok(key) if key.is_weak() => Err("it names a weak key".to_owned()),
        Ok(key) => Ok(key),
        Err(error) => Err(format!("it names a key that is none: {error}")),
    };
    texts.iter().map(sound).collect()
}
