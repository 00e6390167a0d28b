//! Passwords: argon2id (RFC 9106, section 4, second recommended option: 3 passes over 64 MiB in 4 lanes, salt of 128
//! bits, tag of 256), made and checked off the async threads.
//!
//! A check takes its time and memory whether or not there is such a person: names cannot be told apart by it. At most
//! [`AT_ONCE`] hashes are made at the same time, so a flood of logins cannot take all memory.

use super::secret::{self, NoRandomness};
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// How many hashes are made at the same time: 64 MiB each.
const AT_ONCE: usize = 2;

/// What is checked against when there is nobody to check against: nothing is known to hash to it.
const NOBODY: &str =
    "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5bm9ib2R5bm9ibw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The shortest password, in characters (NIST SP 800-63B asks for 8, and for 15 where nothing else protects).
pub(crate) const SHORTEST: usize = 12;
/// The longest password, in bytes.
pub(crate) const LONGEST: usize = 512;

/// A password that cannot be set, or a hash that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("the password has {found} characters: give it at least {SHORTEST} (a few words are easy to remember)")]
    TooShort { found: usize },
    #[error("the password is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the password contains the name of its owner: choose one that cannot be guessed from it")]
    ContainsName,
    #[error("the password is one character over and over: choose another")]
    Monotonous,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error("argon2id cannot hash a password")]
    Hash {
        #[source]
        source: argon2::Error,
    },
    #[error("the hash of a password cannot be written")]
    Write {
        #[source]
        source: argon2::password_hash::Error,
    },
    #[error("the hash of a password was not finished")]
    Unfinished,
}

/// Whether `password` may be the password of `name`.
pub(crate) fn acceptable(name: &str, password: &str) -> Result<(), PasswordError> {
    let found = password.chars().count();
    if found < SHORTEST {
        return Err(PasswordError::TooShort { found });
    }
    if password.len() > LONGEST {
        return Err(PasswordError::TooLong);
    }
    if password.chars().next().is_some_and(|first| password.chars().all(|c| c == first)) {
        return Err(PasswordError::Monotonous);
    }
    if name.len() >= 3 && password.to_lowercase().contains(&name.to_lowercase()) {
        return Err(PasswordError::ContainsName);
    }
    Ok(())
}

fn argon2id() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(|source| PasswordError::Hash { source })?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes a password, in the PHC form that carries its parameters. Slow.
pub(crate) fn hash(password: &str) -> Result<String, PasswordError> {
    let salt = secret::random::<16>()?;
    let hash: PasswordHash = argon2id()?
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|source| PasswordError::Write { source })?;
    Ok(hash.to_string())
}

fn matches(password: &str, hash: &str) -> bool {
    // The hash names its own parameters; those of an older release still hold.
    let verifier = Argon2::default();
    PasswordHash::new(hash).is_ok_and(|hash| verifier.verify_password(password.as_bytes(), &hash).is_ok())
}

/// Makes and checks hashes, a few at a time.
#[derive(Debug)]
pub(crate) struct Hasher {
    places: Arc<Semaphore>,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| PasswordError::Unfinished)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Only now: the work goes on when its caller does not wait any more.
            drop(place);
            done
        });
        done.await.map_err(|_| PasswordError::Unfinished)
    }

    /// Hashes a password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.off_thread(move || hash(&password)).await?
    }

    /// Whether `password` is the one behind `hash`. Without a hash the answer is no, and takes as long.
    pub(crate) async fn matches(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        self.off_thread(move || matches(&password, hash.as_deref().unwrap_or(NOBODY)) && hash.is_some()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_carries_the_written_parameters_and_admits_its_password_only() {
        let hash = hash("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=65536,t=3,p=4$"), "{hash}");
        assert!(matches("correct horse battery", &hash));
        assert!(!matches("correct horse batterz", &hash));
        let begin = NOBODY.rfind('$').unwrap();
        assert!(NOBODY[..begin].starts_with("$argon2id$v=19$m=65536,t=3,p=4$"));
        PasswordHash::new(NOBODY).expect("a hash that takes the same work");
    }

    #[test]
    fn passwords_that_are_guessed_first_are_refused() {
        for bad in ["short", "aaaaaaaaaaaaaaaa", "ada.lovelace-1815", &"x".repeat(600)] {
            assert!(acceptable("ada", bad).is_err(), "{bad}");
        }
        acceptable("ada", "a few plain words").unwrap();
    }
}
