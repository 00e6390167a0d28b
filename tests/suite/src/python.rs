//! A Python with the third-party programs of `tests/peers/requirements.txt`, in a virtual environment under the build's
//! own folder. It is made once for these requirements; tests that need it at the same time wait for the first.

use msp_lab::process::program;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the programs and their requirements lie.
#[must_use]
pub fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers")
}

/// The Python of the virtual environment; or in words what is missing here, for [`crate::skip`].
///
/// # Errors
/// When this machine has no Python with `venv`, or its packages cannot be installed.
pub fn interpreter() -> Result<PathBuf, String> {
    let folder = program("msp-winsim").map_err(|error| error.to_string())?;
    let folder = folder.parent().map(Path::to_owned).unwrap_or_default();
    let (place, done) = (folder.join("peers-venv"), folder.join("peers-venv/installed.txt"));
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let lock = File::create(folder.join("peers-venv.lock")).map_err(|error| failed("peers-venv.lock", error))?;
    lock.lock().map_err(|error| failed("waiting for peers-venv.lock", error))?;
    let requirements = peers().join("requirements.txt");
    let wanted =
        std::fs::read_to_string(&requirements).map_err(|error| failed("tests/peers/requirements.txt", error))?;
    let python = place.join("bin/python");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let venv = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place));
    venv.map_err(|said| format!("`python3 -m venv` fails (Debian: apt-get install python3-venv): {said}"))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"];
    let installed = run(Command::new(&python).args(pip).arg(&requirements));
    installed.map_err(|said| format!("pip cannot install tests/peers/requirements.txt: {said}"))?;
    File::create(&done)
        .and_then(|mut file| file.write_all(wanted.as_bytes()))
        .map_err(|error| failed("peers-venv", error))?;
    Ok(python)
}

/// Runs a command to its end; what it said last when it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot be started: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing was said");
    Err(last.trim().chars().take(300).collect())
}
