//! Time, injected everywhere.
//!
//! The only reader of the system's time: everything else takes a [`Clock`], so that a test can jump it
//! and a wrong clock has one place to be noticed. In debug builds the whole program can be put into a rehearsed
//! time; a released one cannot, and says that it was asked to.

use jiff::Timestamp;
use msp_contracts::rehearsal::{RehearsedTime, VARIABLE};
use std::time::{Duration, Instant};

/// Wall-clock time.
pub trait Clock: Send + Sync {
    /// The wall clock, in UTC. May jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment. Never jumps.
    fn monotonic(&self) -> Duration;

    /// How long a program must really wait until so much time of this clock has passed.
    fn real(&self, span: Duration) -> Duration {
        span
    }
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    rehearsed: Option<RehearsedTime>,
}

impl SystemClock {
    /// The clock, by which a debug build may be told to rehearse.
    #[allow(clippy::disallowed_methods, reason = "the one reader of the system's time")]
    pub fn start() -> Self {
        Self { started: Instant::now(), rehearsed: rehearsed() }
    }
}

fn rehearsed() -> Option<RehearsedTime> {
    let asked = std::env::var(VARIABLE).ok()?;
    if !cfg!(debug_assertions) {
        tracing::error!("{VARIABLE} is set and ignored: this program was released, it follows the machine's clock");
        return None;
    }
    match asked.parse::<RehearsedTime>() {
        Ok(course) => {
            tracing::warn!(%course, "THIS IS A REHEARSAL: the clock does not show the true time");
            Some(course)
        }
        Err(error) => {
            tracing::error!(%error, "the machine's clock is followed");
            None
        }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one reader of the system's time")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        self.rehearsed.map_or(now, |course| course.at(now))
    }

    fn real(&self, span: Duration) -> Duration {
        self.rehearsed.map_or(span, |course| course.real(span))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
