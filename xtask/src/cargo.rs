//! Starts cargo the way this workspace needs it: `--ignore-rust-version` always (see CONTRIBUTING.md), the same
//! cargo and the same target directory that started this program.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::stop::Stop;

/// A cargo command of this workspace: `cargo <words> --ignore-rust-version`.
pub fn cargo(words: &[&str]) -> Command {
    let mut command = plain_cargo();
    command.args(words).arg("--ignore-rust-version");
    command
}

/// Cargo for subcommands that resolve nothing and refuse the flag: fmt, deny, `--version`.
///
/// `cargo run` gives its child variables that describe xtask. A build script that watches one of them (ring's
/// watches `CARGO_MANIFEST_DIR`) would run again at each switch between `cargo lab` and a plain `cargo check`.
pub fn plain_cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Whether `cargo <name>` is installed.
pub fn installed(name: &str) -> bool {
    let probe = plain_cargo().args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

/// Builds every program of the workspace. What cargo says goes to stderr, so that stdout stays the program's own.
///
/// # Errors
/// When cargo cannot be started. A build that fails is an [`ExitStatus`].
pub fn build_programs() -> Result<ExitStatus, Stop> {
    let mut build = cargo(&["build", "--workspace", "--bins"]);
    build.stdout(to_stderr()?);
    status(&mut build, "start cargo build")
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started; `doing` says what that was.
pub fn status(command: &mut Command, doing: &str) -> Result<ExitStatus, Stop> {
    command.status().map_err(|source| Stop::io(doing, source))
}

/// A child's stdout that ends in this program's stderr.
///
/// # Errors
/// When this program's stderr is closed.
pub fn to_stderr() -> Result<Stdio, Stop> {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    stderr.map(Stdio::from).map_err(|source| Stop::io("hand stderr on", source))
}

/// The folder cargo puts programs into: this program came out of it, whatever `CARGO_TARGET_DIR` says.
///
/// # Errors
/// When the system does not tell where this program lies.
pub fn program_folder() -> Result<PathBuf, Stop> {
    let this = std::env::current_exe().map_err(|source| Stop::io("find the target directory", source))?;
    Ok(this.parent().map(Path::to_owned).unwrap_or_default())
}
