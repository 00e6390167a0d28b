//! Clock sanity: whether this machine's clock can be trusted with orders and with what disturbs people.
//!
//! Three things contradict a clock: this program was built later, something was stored later, Central Command's
//! clock differs. The newest stored time only grows, so that nobody wins time by setting the clock back; a clock
//! that was years ahead once would hold everything back for years, so Central Command's word, and nothing else, takes
//! the newest time back: it came through mutual TLS, signed, under a new sequence, while both clocks agreed.

use crate::store::{StoreError, facts};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

/// How far the clock may be behind the newest stored time, and off the server's either way.
pub const TOLERANCE: SignedDuration = msp_contracts::signed::CLOCK_TOLERANCE;

/// When the newest release was made; raised with each.
const RELEASED: i64 = 1_793_491_200; // 2026-11-01T00:00:00Z

/// Not before this program existed: the release, or SOURCE_DATE_EPOCH of the build when that is later. Never the
/// builder's clock, so that the same source gives the same program.
pub const BUILT: Timestamp = Timestamp::constant(built(option_env!("SOURCE_DATE_EPOCH")), 0);

/// 2200-01-01: a later SOURCE_DATE_EPOCH is a slip, and would make every clock insane.
const FAR: i64 = 7_258_118_400;

const fn built(epoch: Option<&str>) -> i64 {
    let Some(text) = epoch else { return RELEASED };
    let digits = text.as_bytes();
    let (mut seconds, mut at) = (0i64, 0);
    while at < digits.len() {
        if !digits[at].is_ascii_digit() || seconds > FAR {
            return RELEASED;
        }
        seconds = seconds * 10 + (digits[at] - b'0') as i64;
        at += 1;
    }
    if seconds > RELEASED && seconds < FAR { seconds } else { RELEASED }
}

/// Why the clock cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Insane {
    #[error("this machine's clock is wrong: it says {now:.0}, and this program was made {built:.0}")]
    BeforeBuild { now: Timestamp, built: Timestamp },
    #[error("this machine's clock is wrong: it says {now:.0}, and something was stored at {newest:.0} already")]
    BehindNewest { now: Timestamp, newest: Timestamp },
    #[error("this machine's clock is wrong: it was {} s {} Central Command's at the last check-in", seconds.unsigned_abs(), if *seconds > 0 { "ahead of" } else { "behind" })]
    OffServer { seconds: i64 },
}

/// Whether a clock that says `now` can be trusted.
pub fn judge(now: Timestamp, built: Timestamp, newest: Option<Timestamp>, ahead: Option<i64>) -> Result<(), Insane> {
    if now < built {
        return Err(Insane::BeforeBuild { now, built });
    }
    if let Some(newest) = newest.filter(|newest| newest.duration_since(now) > TOLERANCE) {
        return Err(Insane::BehindNewest { now, newest });
    }
    match ahead.filter(|seconds| SignedDuration::from_secs(*seconds).abs() > TOLERANCE) {
        Some(seconds) => Err(Insane::OffServer { seconds }),
        None => Ok(()),
    }
}

/// Whether this machine's clock, which says `now`, can be trusted. When not: no orders, nothing that disturbs people.
///
/// # Errors
/// When the store cannot be read.
pub fn of(db: &Connection, now: Timestamp) -> Result<Result<(), Insane>, StoreError> {
    let newest = facts::time(db, facts::NEWEST_TIME)?;
    let ahead = facts::get(db, facts::CLOCK_AHEAD_SECONDS)?
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| StoreError::Form { what: "the clock's offset", detail: facts::CLOCK_AHEAD_SECONDS.to_owned() })?;
    Ok(judge(now, BUILT, newest, ahead))
}

/// Something is stored with the time `at`: the newest time never goes back.
///
/// # Errors
/// When it cannot be stored.
pub fn stored(db: &Connection, at: Timestamp) -> Result<(), StoreError> {
    match facts::time(db, facts::NEWEST_TIME)? {
        Some(newest) if at <= newest => Ok(()),
        _ => facts::set(db, facts::NEWEST_TIME, &at.to_string()),
    }
}

/// Central Command said, believably and just now, that it is `server` there; it is `now` here. Keeps the difference,
/// and takes the newest time back where both clocks agree that it has not come yet.
///
/// # Errors
/// When it cannot be stored.
pub fn server_said(db: &Connection, now: Timestamp, server: Timestamp) -> Result<(), StoreError> {
    let ahead = now.duration_since(server);
    facts::set(db, facts::CLOCK_AHEAD_SECONDS, &ahead.as_secs().to_string())?;
    if ahead.abs() > TOLERANCE {
        return Ok(());
    }
    match facts::time(db, facts::NEWEST_TIME)? {
        Some(newest) if newest.duration_since(server.max(now)) > TOLERANCE => {
            facts::set(db, facts::NEWEST_TIME, &now.to_string())
        }
        _ => stored(db, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_contradiction_makes_the_clock_insane_and_five_minutes_do_not() {
        let built = at("2026-11-01T00:00:00Z");
        let now = at("2026-11-21T12:00:00Z");
        assert_eq!(judge(now, built, None, None), Ok(()));
        assert!(matches!(judge(at("2026-10-31T23:59:59Z"), built, None, None), Err(Insane::BeforeBuild { .. })));
        assert_eq!(judge(now, built, Some(at("2026-11-21T12:05:00Z")), None), Ok(()));
        assert!(matches!(judge(now, built, Some(at("2026-11-21T12:05:01Z")), None), Err(Insane::BehindNewest { .. })));
        for (seconds, sane) in
            [(300, true), (-300, true), (301, false), (-301, false), (i64::MAX, false), (i64::MIN + 1, false)]
        {
            assert_eq!(judge(now, built, None, Some(seconds)).is_ok(), sane, "{seconds}");
        }
        let said = Insane::OffServer { seconds: -301 }.to_string();
        assert!(said.contains("301 s behind Central Command's"), "{said}");
    }

    #[test]
    fn the_build_time_is_the_later_of_release_and_source_date_and_never_nonsense() {
        assert_eq!(built(None), RELEASED);
        assert_eq!(built(Some("315532800")), RELEASED, "1980 is what packagers set without knowing");
        assert_eq!(built(Some("1893456000")), 1_893_456_000);
        for nonsense in ["", "soon", "-5", "99999999999999999999999999", "18934560000"] {
            assert_eq!(built(Some(nonsense)), RELEASED, "{nonsense}");
        }
        assert!(BUILT.as_second() >= RELEASED);
    }

    #[tokio::test]
    async fn a_clock_that_was_years_ahead_is_forgiven_when_central_command_agrees_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let done = store.write(|db| {
            let (today, ahead) =
                (BUILT + SignedDuration::from_hours(24), BUILT + SignedDuration::from_hours(24 * 4000));
            stored(db, today)?;
            stored(db, ahead)?;
            stored(db, today)?;
            assert!(matches!(of(db, today)?, Err(Insane::BehindNewest { .. })), "the newest time does not go back");
            // The clock is still wrong: Central Command's word does not confirm it.
            server_said(db, ahead, today)?;
            assert!(matches!(of(db, ahead)?, Err(Insane::OffServer { .. })));
            assert!(of(db, today)?.is_err());
            // The clock is right again, and Central Command says so.
            server_said(db, today, today)?;
            assert_eq!(of(db, today)?, Ok(()));
            // From then on nobody wins time by setting it back.
            let later = today + SignedDuration::from_hours(2);
            stored(db, later)?;
            assert!(of(db, today)?.is_err());
            server_said(db, today, later)?;
            assert!(of(db, today)?.is_err(), "a clock that differs takes nothing back");
            Ok(())
        });
        done.await.unwrap();
    }
}
