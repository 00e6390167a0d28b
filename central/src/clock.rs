//! The one reader of the system's time.
//!
//! Times are cut to microseconds, the precision the store keeps, so that what is answered now and
//! what is read back later are the same instant.

use jiff::{SignedDuration, Timestamp};
use msp_contracts::rehearsal::{RehearsedTime, VARIABLE};
use std::sync::LazyLock;

/// A debug build may be told to rehearse, together with an agent; a released program has no such ear.
static REHEARSED: LazyLock<Option<RehearsedTime>> = LazyLock::new(|| {
    let asked = if cfg!(debug_assertions) { std::env::var(VARIABLE).ok() } else { None };
    asked.and_then(|asked| asked.parse().ok())
});

/// Now, by this machine's clock.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Timestamp {
    let now = REHEARSED.map_or_else(Timestamp::now, |course| course.at(Timestamp::now()));
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
