//! What is encrypted to an appliance so that it can log on to one Windows server.
//!
//! The plaintext names whom it is for: age tells nobody who encrypted, so a ciphertext that was moved to another
//! server's entry, or made for another appliance, must give itself away. It exists in memory only.

use crate::SCHEMA_VERSION;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Logon and password for one Windows server, for one appliance. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct TargetLogon {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The site of the appliance.
    pub site_id: String,
    /// The appliance that may use it.
    pub appliance: String,
    /// The server it is for, as the inventory names it.
    pub hostname: String,
    /// The account.
    pub username: String,
    /// Its password.
    pub password: String,
}

/// A logon that is for somebody or something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("made for {what} {found:?}, this is {expected:?}")]
pub struct NotForThis {
    /// What differs.
    pub what: &'static str,
    /// What it says.
    pub found: String,
    /// What it should say.
    pub expected: String,
}

impl TargetLogon {
    /// Checks that it is for this server, this appliance and in a form that is understood.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn check(&self, site_id: &str, appliance: &str, hostname: &str) -> Result<(), NotForThis> {
        let (version, expected_version) = (self.schema_version.to_string(), SCHEMA_VERSION.to_string());
        let parts = [
            ("schema_version", version.as_str(), expected_version.as_str()),
            ("site", self.site_id.as_str(), site_id),
            ("appliance", self.appliance.as_str(), appliance),
            ("server", self.hostname.as_str(), hostname),
        ];
        match parts.into_iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => {
                Err(NotForThis { what, found: found.to_owned(), expected: expected.to_owned() })
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for TargetLogon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (appliance, hostname) = (&self.appliance, &self.hostname);
        f.debug_struct("TargetLogon").field("appliance", appliance).field("hostname", hostname).finish_non_exhaustive()
    }
}
