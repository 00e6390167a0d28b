//! How a script stops: errors as PowerShell records them, the ways control leaves a block, and the limits of the simulator.

use std::rc::Rc;

use super::ast::Pos;
use super::value::Value;

/// PowerShell's categories of errors, those in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    NotSpecified,
    ObjectNotFound,
    InvalidArgument,
    InvalidOperation,
    OpenError,
    CloseError,
    OperationStopped,
}

impl Category {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotSpecified => "NotSpecified",
            Self::ObjectNotFound => "ObjectNotFound",
            Self::InvalidArgument => "InvalidArgument",
            Self::InvalidOperation => "InvalidOperation",
            Self::OpenError => "OpenError",
            Self::CloseError => "CloseError",
            Self::OperationStopped => "OperationStopped",
        }
    }
}

/// One error, as `$_` shows it in a catch block.
#[derive(Debug, Clone)]
pub(crate) struct ErrorRecord {
    /// Full .NET name of the exception.
    pub(crate) exception: &'static str,
    pub(crate) message: String,
    /// `FullyQualifiedErrorId`.
    pub(crate) id: String,
    pub(crate) category: Category,
    /// What the error is about, as the category line shows it, and the type of that.
    pub(crate) target: String,
    pub(crate) target_type: &'static str,
    /// The short name of the exception in the category line.
    pub(crate) reason: String,
    /// The command that failed; none for errors of the language.
    pub(crate) command: Option<String>,
    pub(crate) pos: Pos,
    /// What was thrown, when a script threw something other than text.
    pub(crate) thrown: Option<Value>,
    /// `Exception.HResult`
    pub(crate) hresult: i32,
}

/// `COR_E_SYSTEM`, which an exception has that sets no other.
const PLAIN_EXCEPTION: i32 = 0x8013_1501_u32.cast_signed();

impl ErrorRecord {
    pub(crate) fn new(exception: &'static str, id: &str, message: impl Into<String>) -> Self {
        let reason = exception.rsplit('.').next().unwrap_or(exception).to_owned();
        Self {
            exception,
            message: message.into(),
            id: id.to_owned(),
            category: Category::NotSpecified,
            target: String::new(),
            target_type: "",
            reason,
            command: None,
            pos: Pos::default(),
            thrown: None,
            hresult: PLAIN_EXCEPTION,
        }
    }

    /// An error of the language at run time.
    pub(crate) fn runtime(id: &str, message: impl Into<String>) -> Self {
        Self::new("System.Management.Automation.RuntimeException", id, message).category(Category::InvalidOperation)
    }

    pub(crate) fn category(mut self, category: Category) -> Self {
        self.category = category;
        self
    }

    pub(crate) fn target(mut self, target: impl Into<String>, target_type: &'static str) -> Self {
        self.target = target.into();
        self.target_type = target_type;
        self
    }

    pub(crate) fn command(mut self, command: &str) -> Self {
        self.command = Some(command.to_owned());
        self
    }
}

/// The ways control leaves a statement before its end.
#[derive(Debug)]
pub(crate) enum Signal {
    /// An error. One that stops the script was thrown, or met `ErrorAction Stop`; the other kind ends its statement only.
    Error {
        record: Rc<ErrorRecord>,
        stops_script: bool,
    },
    Break,
    Continue,
    Return,
    Exit(i32),
    /// The simulator gives up: a limit was passed, or something outside the subset was met. No script can catch this.
    Abort(Abort),
}

/// Why the simulator gave up on a script.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Abort {
    #[error("{what} is not in the subset of PowerShell that this simulated server runs (see winsim/SUBSET.md).")]
    Unsupported { what: String, pos: Pos },
    /// A text that the script made a script block of has syntax outside the subset.
    #[error("{message}")]
    UnsupportedSyntax { message: String, pos: Pos },
    #[error("The script passed this simulated server's limit of {limit}: {count}.")]
    Limit { limit: &'static str, count: u64 },
    #[error("The command was terminated.")]
    Cancelled,
}

impl Signal {
    /// An error that ends its statement only.
    pub(crate) fn error(record: ErrorRecord) -> Self {
        Self::Error { record: Rc::new(record), stops_script: false }
    }

    pub(crate) fn unsupported(what: impl Into<String>, pos: Pos) -> Self {
        Self::Abort(Abort::Unsupported { what: what.into(), pos })
    }
}

/// The result of running something.
pub(crate) type Run<T> = Result<T, Signal>;
