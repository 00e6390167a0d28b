//! The file through which a running test says that it cannot run on this machine.
//!
//! The convention: `MSP_TEST_SKIP_LOG` names a file that exists; a test appends one line, its name, a tab and the
//! reason, and returns. `msp_suite::skip` does that. Each run has a file of its own, so that two runs do not mix.

use std::fs;
use std::path::{Path, PathBuf};

use super::tally::Skip;
use crate::stop::Stop;

/// Tells a test where the file is.
pub const VARIABLE: &str = "MSP_TEST_SKIP_LOG";

/// The file of one run.
pub struct SkipLog {
    path: PathBuf,
}

impl SkipLog {
    pub fn create(folder: &Path) -> Result<Self, Stop> {
        let path = folder.join(format!("skipped-tests-{}", std::process::id()));
        fs::write(&path, "").map_err(|source| Stop::io(format!("create {}", path.display()), source))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the tests wrote; the file is gone afterwards.
    pub fn take(self) -> Result<Vec<Skip>, Stop> {
        let doing = |what: &str| format!("{what} {}", self.path.display());
        let text = fs::read_to_string(&self.path).map_err(|source| Stop::io(doing("read"), source))?;
        fs::remove_file(&self.path).map_err(|source| Stop::io(doing("remove"), source))?;
        Ok(text.lines().map(parse).collect())
    }
}

fn parse(line: &str) -> Skip {
    let (name, reason) = line.split_once('\t').unwrap_or((line, "no reason given"));
    Skip { name: name.to_owned(), reason: reason.to_owned() }
}
