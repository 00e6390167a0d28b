//! A path in the Nix store: what an order to switch names, and the only kind of path that it can name.

use crate::ids::{IdError, bad};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Where the store lies on every NixOS.
pub const STORE: &str = "/nix/store/";
/// Characters of the hash.
const HASH: usize = 32;
/// The longest name that Nix takes (`checkName` in its sources).
const LONGEST_NAME: usize = 211;
const EXPECTED: &str = "store path (/nix/store/, 32 characters of a hash, - and a name)";

/// `/nix/store/<hash>-<name>`, of the alphabets that Nix uses and without anything behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^/nix/store/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+_?=-][0-9A-Za-z+._?=-]{0,210}$"))]
pub struct StorePath(String);

impl StorePath {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for StorePath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StorePath> for String {
    fn from(path: StorePath) -> Self {
        path.0
    }
}

impl TryFrom<String> for StorePath {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let hashed = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() && !b"eotu".contains(&byte);
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
        let sound = text.strip_prefix(STORE).and_then(|rest| rest.split_once('-')).is_some_and(|(hash, name)| {
            hash.len() == HASH
                && hash.bytes().all(hashed)
                && (1..=LONGEST_NAME).contains(&name.len())
                && !name.starts_with('.')
                && name.bytes().all(named)
        });
        if sound { Ok(Self(text)) } else { Err(bad(&text, EXPECTED)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_the_store_itself_is_one() {
        let hash = "0123456789abcdfghijklmnpqrsvwxyz";
        assert_eq!(hash.len(), HASH);
        let good = format!("/nix/store/{hash}-nixos-system-clinic-26.05.2026");
        assert_eq!(StorePath::try_from(good.clone()).unwrap().as_str(), good);
        for bad in [
            format!("{good}/bin/sh"),
            format!("/nix/store/{hash}"),
            format!("/nix/store/{hash}-"),
            format!("/nix/store/{hash}-."),
            format!("/nix/store/{hash}-..-x"),
            format!("/nix/store/{hash}-a b"),
            format!("/nix/store/{hash}-a\n"),
            format!("/nix/store/{hash}-{}", "a".repeat(212)),
            format!("/nix/store/../{hash}-a"),
            format!("/tmp/{hash}-a"),
            format!("/nix/store/e{}-a", &hash[1..]),
            format!("/nix/store/{}-a", &hash[1..]),
            format!("--option=/nix/store/{hash}-a"),
            String::new(),
        ] {
            assert!(StorePath::try_from(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
