//! Why a task ended before its work was done. A task whose work failed (a red test, a finding of clippy) is no
//! `Stop`: it has said so itself and returns its exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a task ended early.
#[derive(Debug)]
pub enum Stop {
    /// Typed wrongly. Exit code 2.
    Usage(String),
    /// Something could not be started, read or written. Exit code 1.
    Io {
        /// What was being done: "start cargo".
        doing: String,
        /// What the system answered.
        source: io::Error,
    },
}

impl Stop {
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    pub fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Io { .. } => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => to.write_str(text.trim_end()),
            Self::Io { doing, source } => write!(to, "cannot {doing}: {source}"),
        }
    }
}
