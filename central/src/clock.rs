//! The one reader of the system's time.
//!
//! Times are cut to microseconds, the precision the store keeps, so that what is answered now and
//! what is read back later are the same instant.

use jiff::{SignedDuration, Timestamp};

/// Now, by this machine's clock.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// `span` after `start`; the end of time when that is later than can be told.
pub(crate) fn after(start: Timestamp, span: SignedDuration) -> Timestamp {
    start.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// Where a span begins that is measured, not told: it never runs backwards.
#[allow(clippy::disallowed_methods)]
pub(crate) fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
