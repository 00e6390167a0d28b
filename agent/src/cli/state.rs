//! Which state a command reads: the running agent's, or a file that lies somewhere else.

use crate::config::Config;
use crate::store::{open_file_for_reading, open_for_reading};
use anyhow::Context;
use rusqlite::Connection;
use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Which state is read.
#[derive(clap::Args, Debug)]
pub struct StateArg {
    /// Read this file instead of the agent's own state: one that was set aside, or one that `sqlite3 FILE .recover` made of it. It is copied first and not touched
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// A state, open for reading; of another file, a copy of it that goes away with this.
pub struct Reading {
    db: Connection,
    _copy: Option<TempDir>,
}

impl Deref for Reading {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.db
    }
}

impl StateArg {
    /// Opens it.
    ///
    /// # Errors
    /// When there is none, or too little of it can be read.
    pub fn open(&self, config: &Config) -> anyhow::Result<Reading> {
        let Some(file) = &self.state else {
            return Ok(Reading { db: open_for_reading(&config.state_dir)?, _copy: None });
        };
        let name = file.file_name().with_context(|| format!("{}: names no file", file.display()))?;
        let folder = TempDir::new().context("making a folder for a copy")?;
        let copy = folder.path().join(name);
        // Opening a database may change it and its log: this one may be the only trace of something.
        std::fs::copy(file, &copy).with_context(|| format!("{}: cannot be read", file.display()))?;
        let log = with_log(file);
        if log.exists() {
            std::fs::copy(&log, with_log(&copy)).with_context(|| format!("{}: cannot be read", log.display()))?;
        }
        let db = open_file_for_reading(&copy).with_context(|| {
            format!(
                "{0}: too little of it can be read here; try `sqlite3 {0} .recover | sqlite3 recovered.db`, then --state recovered.db",
                file.display()
            )
        })?;
        Ok(Reading { db, _copy: Some(folder) })
    }
}

fn with_log(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push("-wal");
    name.into()
}
