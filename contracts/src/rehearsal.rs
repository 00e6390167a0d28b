//! A course of time for rehearsals: an hour without a network takes seconds, and both sides agree on what time it is.
//!
//! Plain arithmetic on times that somebody else read. Both programs take it from the variable [`VARIABLE`], in debug
//! builds only: a released program has no code that reads it.

use jiff::{SignedDuration, Timestamp};
use std::str::FromStr;
use std::time::Duration;

/// The environment variable: two times (RFC 3339) and a rate, for example
/// `2026-11-21T04:00:00Z 2026-11-21T05:00:00Z 240`. At the first time it is the second, and time passes so many times
/// as fast.
pub const VARIABLE: &str = "MSP_TEST_CLOCK";

/// Rates beyond this are no rehearsal of anything.
const FASTEST: f64 = 10_000.0;

/// How rehearsed time runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RehearsedTime {
    /// A real time,
    pub real: Timestamp,
    /// what time it was then in the rehearsal,
    pub rehearsed: Timestamp,
    /// and how many times as fast time has passed since; from 0.01 to 10,000.
    pub rate: f64,
}

/// The variable does not say a course of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE}={text:?}: expected a real time, a rehearsed time and a rate, for example \"2026-11-21T04:00:00Z 2026-11-21T05:00:00Z 240\""
)]
pub struct NoCourse {
    /// What it says.
    pub text: String,
}

impl RehearsedTime {
    /// What time it is in the rehearsal when it is really `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Timestamp {
        let gone = now.duration_since(self.real).as_secs_f64() * self.rate;
        let gone = SignedDuration::try_from_secs_f64(gone).unwrap_or(SignedDuration::ZERO);
        self.rehearsed.saturating_add(gone).unwrap_or(now)
    }

    /// How long `span` of the rehearsal takes.
    #[must_use]
    pub fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.rate)
    }
}

impl std::fmt::Display for RehearsedTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.real, self.rehearsed, self.rate)
    }
}

impl FromStr for RehearsedTime {
    type Err = NoCourse;

    fn from_str(text: &str) -> Result<Self, NoCourse> {
        let read = || {
            let mut words = text.split(' ');
            let (real, rehearsed) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let rate: f64 = words.next()?.parse().ok()?;
            ((0.01..=FASTEST).contains(&rate) && words.next().is_none()).then_some(Self { real, rehearsed, rate })
        };
        read().ok_or_else(|| NoCourse { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_passes_in_fifteen_seconds_and_what_is_written_is_read_back() {
        let course: RehearsedTime = "2026-11-21T04:00:00Z 2026-11-21T05:00:00Z 240".parse().unwrap();
        let later = course.at("2026-11-21T04:00:15Z".parse().unwrap());
        assert_eq!(later, "2026-11-21T06:00:00Z".parse().unwrap());
        assert_eq!(course.at("2026-11-21T03:59:45Z".parse().unwrap()), "2026-11-21T04:00:00Z".parse().unwrap());
        assert_eq!(course.real(Duration::from_secs(3600)), Duration::from_secs(15));
        assert_eq!(course.to_string().parse(), Ok(course));
        for odd in ["", "now then 1", "2026-11-21T04:00:00Z 2026-11-21T05:00:00Z 0", "2026-11-21T04:00:00Z 1"] {
            assert!(odd.parse::<RehearsedTime>().is_err(), "{odd}");
        }
    }
}
