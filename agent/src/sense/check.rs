//! The seam of sensing: a check looks at one machine and says what it saw.
//!
//! To add a host check, write one file under `host/` with a type that implements [`Check`], and add it to
//! the list in `host.rs`. A check never fails: what it cannot tell is an observation of its own.

use crate::model::{CheckKind, Observation};
use std::future::Future;
use std::pin::Pin;

/// The future of an observation; boxed, so that checks of many kinds stand in one list.
pub type Observing<'a> = Pin<Box<dyn Future<Output = Observation> + Send + 'a>>;

/// One check of the machine the agent runs on.
pub trait Check: Send + Sync {
    /// What it checks.
    fn kind(&self) -> CheckKind;

    /// Looks, and changes nothing.
    fn observe(&self) -> Observing<'_>;
}
