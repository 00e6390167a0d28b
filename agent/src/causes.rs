//! An error with its causes, on one line, for logs, evidence and tickets.
//!
//! The last cause is usually the one that helps; a cause that its error has already quoted is not repeated.

use std::error::Error;

/// `error: cause: cause of the cause`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}
