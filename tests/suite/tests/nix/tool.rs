//! The nix that is there, if one is.

use super::root;
use std::env;
use std::process::{Command, Stdio};

/// `nix-instantiate`, or a skip that says how to get it.
pub fn parser(test: &str) -> Option<Command> {
    let probe = Command::new("nix-instantiate").arg("--version").stdout(Stdio::null()).status();
    if probe.is_ok_and(|status| status.success()) {
        return Some(Command::new("nix-instantiate"));
    }
    msp_suite::skip(test, "there is no nix-instantiate: tests/nix/debian-nix FOLDER makes one");
    None
}

/// `nix <words>` on this flake with the inputs of the environment, or a skip that says what is missing.
pub fn evaluator(test: &str, words: &[&str]) -> Option<Command> {
    let Some(nixpkgs) = env::var_os("MSP_TEST_NIXPKGS") else {
        msp_suite::skip(test, "MSP_TEST_NIXPKGS names no git repository that holds nixpkgs");
        return None;
    };
    parser(test)?;
    let mut nix = Command::new("nix");
    nix.current_dir(root()).args(["--extra-experimental-features", "nix-command flakes"]).args(words);
    nix.args(["--no-write-lock-file", "--override-input", "nixpkgs"]);
    nix.arg(format!("git+file://{}", nixpkgs.to_string_lossy()));
    if let Some(crane) = env::var_os("MSP_TEST_CRANE") {
        nix.args(["--override-input", "crane", &format!("git+file://{}", crane.to_string_lossy())]);
    }
    Some(nix)
}
