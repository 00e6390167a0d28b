//! The texts that the repository keeps: docs/options.md, and the unit files that tests/machine boots.

use super::{files, root, tool};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

const UNITS: &str = "tests/machine/units";

/// The SHA-256 of what the texts are made from: paths and contents, in order.
fn hash() -> String {
    let mut hash = Sha256::new();
    for file in files(&["modules", "nix"]) {
        let content = fs::read(root().join(&file)).unwrap();
        hash.update(format!("{} {}\n", file.display(), content.len()));
        hash.update(content);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first line of a kept text.
fn head(file: &str) -> String {
    let words = format!("modules/ and nix/ with SHA-256 {}", hash());
    if file.ends_with(".md") { format!("<!-- Made from {words} -->\n") } else { format!("# Made from {words}\n") }
}

/// The kept files.
fn kept() -> Vec<String> {
    let units = files(&[UNITS]).into_iter().map(|file| file.display().to_string());
    units
        .filter(|file| file.ends_with(".service") || file.ends_with(".socket"))
        .chain(["docs/options.md".to_owned()])
        .collect()
}

#[test]
fn what_is_kept_was_made_from_these_modules() {
    for file in kept() {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        assert!(
            text.starts_with(&head(&file)),
            "{file} is older than modules/ or nix/: MSP_TEST_BLESS=1 MSP_TEST_NIXPKGS=... cargo suite what_is_kept \
             makes it anew (docs/nixos.md)"
        );
    }
}

#[test]
fn what_is_kept_is_what_the_modules_give() {
    let test = "what_is_kept_is_what_the_modules_give";
    let Some(mut eval) = tool::evaluator(test, &["eval", "--json"]) else { return };
    let done = eval.arg(".#golden").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let golden: Value = serde_json::from_slice(&done.stdout).unwrap();
    let units = golden["units"].as_object().unwrap().iter();
    let mut texts: Vec<(String, &Value)> = units.map(|(name, text)| (format!("{UNITS}/{name}"), text)).collect();
    texts.push(("docs/options.md".to_owned(), &golden["options"]));
    let mut made: Vec<String> = Vec::new();
    for (file, text) in texts {
        let text = head(&file) + text.as_str().unwrap();
        let path = root().join(&file);
        if std::env::var_os("MSP_TEST_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&path).unwrap_or_default(),
            text,
            "{file}: see docs/nixos.md for how to make it anew"
        );
        made.push(file);
    }
    made.sort();
    let mut kept = kept();
    kept.sort();
    assert_eq!(made.iter().map(PathBuf::from).collect::<Vec<_>>(), kept.iter().map(PathBuf::from).collect::<Vec<_>>());
}
