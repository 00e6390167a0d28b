//! The one place that reads the machine's own clocks.
//!
//! Everything else asks a [`Clock`], so that the simulated server's time can differ from the host's (a drifted clock is a
//! state of the simulated machine, see `windows::computer`) and no second source of time creeps in.

use std::time::Instant;

use jiff::Timestamp;

/// A source of wall time and of monotonic time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Wall time of the host, in UTC.
    #[allow(clippy::disallowed_methods)]
    #[must_use]
    pub fn now(self) -> Timestamp {
        Timestamp::now()
    }

    /// Monotonic time of the host, for deadlines.
    #[allow(clippy::disallowed_methods)]
    #[must_use]
    pub fn instant(self) -> Instant {
        Instant::now()
    }
}
