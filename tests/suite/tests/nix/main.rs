//! The flake and its modules: what can be held against the programs without a machine that builds NixOS.
//!
//! With a `nix` on the path every file is parsed. With `MSP_TEST_NIXPKGS` (and `MSP_TEST_CRANE`), a local git repository
//! that holds nixpkgs (crane), everything is evaluated, too; docs/nixos.md says how to get either.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kept;
mod options;
mod schema;
mod tool;

use std::path::{Path, PathBuf};

/// The checkout.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Every file below these names of the checkout, in order of its path.
fn files(names: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = names.iter().map(|name| root().join(name)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    found.sort();
    assert!(!found.is_empty() && found.iter().all(|file| root().join(file).is_file()), "{names:?}");
    found
}

#[test]
fn every_nix_file_parses() {
    let Some(mut parse) = tool::parser("every_nix_file_parses") else { return };
    let nix = files(&["flake.nix", "nix", "modules", "nixos-tests"]);
    let nix: Vec<_> = nix.iter().filter(|file| file.extension().is_some_and(|end| end == "nix")).collect();
    let done = parse.current_dir(root()).arg("--parse").args(nix).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_whole_flake_evaluates() {
    let Some(mut check) = tool::evaluator("the_whole_flake_evaluates", &["flake", "check"]) else { return };
    let done = check.arg("--no-build").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_scenario_for_a_virtual_machine_is_short() {
    for file in files(&["nixos-tests"]) {
        let lines = std::fs::read_to_string(root().join(&file)).unwrap().lines().count();
        assert!(lines <= 80, "{} has {lines} lines: a scenario has at most 80", file.display());
    }
}
