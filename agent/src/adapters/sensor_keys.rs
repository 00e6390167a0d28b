//! The keys of the sensors that may push: one file, a name and a key each, readable by nobody else.
//!
//! A key is one of the Standard Webhooks (https://www.standardwebhooks.com, "Signature scheme"): `whsec_` and 24 to 64
//! bytes in base64. No error says anything of what a key is.

use super::private_file::{self, PrivateFileError, Readers};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PREFIX: &str = "whsec_";
/// How many bytes a key has at least and at most.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How many sensors may have a key: each push is held against every one.
const MOST: usize = 64;

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SensorKeysError {
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("{}: not a file of sensors: it has to be {{\"NAME\": \"whsec_...\"}}, each name once", file.display())]
    Form { file: PathBuf },
    #[error("{}: {name:?} is no name of a sensor: letters, digits, . _ -, at most 64", file.display())]
    Name { file: PathBuf, name: String },
    #[error(
        "{}: the key of {name} is none: whsec_ and {} to {} bytes in base64, as `msp-agent sensor add` makes them",
        file.display(), BYTES.start(), BYTES.end()
    )]
    Key { file: PathBuf, name: String },
    #[error("{}: {count} sensors are too many: at most {MOST}", file.display())]
    TooMany { file: PathBuf, count: usize },
    #[error("{}: {name} and {other} have the same key, so nobody could tell them apart", file.display())]
    SameKey { file: PathBuf, name: String, other: String },
    #[error("no random bytes for a key")]
    NoRandom {
        #[source]
        source: io::Error,
    },
}

/// A key as text; wiped from memory when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct KeyText(pub String);

/// One sensor's key.
pub struct SensorKey {
    pub name: String,
    pub key: Zeroizing<Vec<u8>>,
}

/// The file as it is written.
pub type Entries = BTreeMap<String, KeyText>;

/// Whether a sensor may be called so.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let key = STANDARD.decode(text.strip_prefix(PREFIX)?).map(Zeroizing::new).ok()?;
    BYTES.contains(&key.len()).then_some(key)
}

/// A new key.
///
/// # Errors
/// When the machine gives no random bytes.
pub fn new_key() -> Result<KeyText, SensorKeysError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(bytes.as_mut_slice()))
        .map_err(|source| SensorKeysError::NoRandom { source })?;
    Ok(KeyText(format!("{PREFIX}{}", STANDARD.encode(bytes.as_slice()))))
}

/// The file's entries as they are written. An empty file has none.
///
/// # Errors
/// When it cannot be read, others can read it too, or it is no such file.
pub fn entries(file: &Path) -> Result<Entries, SensorKeysError> {
    let text = private_file::read(file)?;
    // The parser's own message would quote the line: it is left out.
    let entries: Option<Entries> =
        serde_saphyr::from_str(&text).map_err(|_| SensorKeysError::Form { file: file.to_owned() })?;
    Ok(entries.unwrap_or_default())
}

/// Replaces the file.
///
/// # Errors
/// When it cannot be written.
pub fn write(file: &Path, entries: &Entries) -> Result<(), SensorKeysError> {
    let text = serde_json::to_vec_pretty(entries).map(Zeroizing::new);
    let mut text = text.map_err(|_| SensorKeysError::Form { file: file.to_owned() })?;
    text.push(b'\n');
    Ok(private_file::replace(file, &text, Readers::Owner)?)
}

/// The keys of the file.
///
/// # Errors
/// When it cannot be used; the message names the sensor and nothing of its key.
pub fn read(file: &Path) -> Result<Vec<SensorKey>, SensorKeysError> {
    checked(file, &entries(file)?)
}

/// The keys in these entries of the file.
///
/// # Errors
/// When it could not be used; the message names the sensor and nothing of its key.
pub fn checked(file: &Path, entries: &Entries) -> Result<Vec<SensorKey>, SensorKeysError> {
    if entries.len() > MOST {
        return Err(SensorKeysError::TooMany { file: file.to_owned(), count: entries.len() });
    }
    let mut keys: Vec<SensorKey> = Vec::new();
    for (name, text) in entries {
        let name = name.clone();
        if !is_name(&name) {
            return Err(SensorKeysError::Name { file: file.to_owned(), name });
        }
        let Some(key) = decoded(&text.0) else {
            return Err(SensorKeysError::Key { file: file.to_owned(), name });
        };
        if let Some(other) = keys.iter().find(|other| other.key == key) {
            let other = other.name.clone();
            return Err(SensorKeysError::SameKey { file: file.to_owned(), name, other });
        }
        keys.push(SensorKey { name, key });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_a_file_that_is_none_is_refused_without_a_word_of_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sensors.json");
        let key = new_key().unwrap();
        write(&file, &Entries::from([("0042".to_owned(), key.clone())])).unwrap();
        let held = read(&file).unwrap();
        assert_eq!((held.len(), held[0].name.as_str(), held[0].key.len()), (1, "0042", 32));

        let put = |text: &str| private_file::replace(&file, text.as_bytes(), Readers::Owner).unwrap();
        for none in ["", "{}", "# nobody yet\n"] {
            put(none);
            assert!(read(&file).unwrap().is_empty(), "{none:?}");
        }
        let KeyText(text) = &key;
        for (wrong, said) in [
            (format!("{{\"a b\": \"{text}\"}}"), "no name of a sensor"),
            (format!("{{\"a\": \"{}\"}}", &text[6..]), "the key of a is none"),
            ("{\"a\": \"whsec_c2hvcnQ=\"}".to_owned(), "the key of a is none"),
            (format!("{{\"a\": \"{text}\", \"b\": \"{text}\"}}"), "b and a have the same key"),
            (format!("{{\"a\": \"{text}\", \"a\": \"{text}\"}}"), "each name once"),
            (format!("[\"{text}\"]"), "not a file of sensors"),
        ] {
            put(&wrong);
            let error = format!("{:#}", anyhow::Error::from(read(&file).err().unwrap()));
            assert!(error.contains(said) && !error.contains(&text[6..]), "{error}");
        }
    }
}
