//! Time, injected everywhere.
//!
//! The only reader of the system's time: everything else takes a [`Clock`], so that a test can jump it
//! and a wrong clock has one place to be noticed.

use jiff::Timestamp;
use std::time::{Duration, Instant};

/// Wall-clock time.
pub trait Clock: Send + Sync {
    /// The wall clock, in UTC. May jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment. Never jumps.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one reader of the system's time")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one reader of the system's time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
