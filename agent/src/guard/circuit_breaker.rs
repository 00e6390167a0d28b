//! The circuit breaker of a machine: when heals fail one after the other, the machine is left alone for a while, and
//! then one heal decides.
//!
//! Closed: heals run. Open: none does, until the pause after the last failure is over. Half open: one trial; its
//! failure opens the breaker again, anything else closes it. It has no state of its own: how the last heals ended,
//! and when, says it all, so a restart changes nothing. A heal that a restart of the agent broke off counts as failed:
//! one that brings the agent down is not tried for ever.

use crate::model::Plan;
use crate::store::StoreError;
use crate::store::heals::{self, Ended};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::outcome::Detail;
use rusqlite::Connection;

/// After how many failures in a row a machine is left alone, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Breaker {
    pub failures: u32,
    pub pause: SignedDuration,
}

/// How the breaker of a machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Closed,
    Open { until: Timestamp },
    HalfOpen,
}

impl Breaker {
    /// How it stands at `now`, when the last heals ended like this, newest first.
    pub fn state(self, ended: &[Ended], now: Timestamp) -> State {
        let failures = usize::try_from(self.failures).unwrap_or(usize::MAX);
        let failed = |one: &Ended| one.detail == Detail::Failed.as_str() || one.detail == Detail::RolledBack.as_str();
        let last = ended.first().filter(|_| ended.len() >= failures && ended.iter().take(failures).all(failed));
        let Some(last) = last else { return State::Closed };
        match last.at.saturating_add(self.pause) {
            Ok(until) if now < until => State::Open { until },
            _ => State::HalfOpen,
        }
    }
}

/// Against a plan for a machine whose breaker is open, or whose trial is under way.
pub fn objection(db: &Connection, breaker: Breaker, plan: &Plan, now: Timestamp) -> Result<Option<String>, StoreError> {
    let host_id = &plan.target.host_id;
    let failures = breaker.failures;
    let ended = heals::ended(db, host_id, failures, now)?;
    Ok(match breaker.state(&ended, now) {
        State::Closed => None,
        State::Open { until } => Some(format!(
            "the last {failures} heals of this machine failed: it is left alone until {until:.0}, then one more is tried"
        )),
        State::HalfOpen if heals::any_running(db, host_id)? => Some(format!(
            "the last {failures} heals of this machine failed: one is being tried, and the others wait for it"
        )),
        State::HalfOpen => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_stands_as_a_breaker_that_remembers_would(
            failures in 1u32..5,
            pause in 1i64..120,
            heals in proptest::collection::vec((0i64..90, prop_oneof![
                Just(Detail::Failed), Just(Detail::RolledBack), Just(Detail::Fixed), Just(Detail::Unsupported)
            ]), 0..40),
        ) {
            let breaker = Breaker { failures, pause: SignedDuration::from_mins(pause) };
            let mut now = Timestamp::from_second(1_800_000_000).unwrap();
            // What a breaker with a memory of its own would hold: failures in a row, and until when it is open.
            let (mut row, mut open_until) = (0, None);
            let mut ended: Vec<Ended> = Vec::new();
            for (minutes, detail) in heals {
                now += SignedDuration::from_mins(minutes);
                let expected = match open_until {
                    None => State::Closed,
                    Some(until) if now < until => State::Open { until },
                    Some(_) => State::HalfOpen,
                };
                prop_assert_eq!(breaker.state(&ended, now), expected);
                if matches!(expected, State::Open { .. }) {
                    continue;
                }
                if matches!(detail, Detail::Failed | Detail::RolledBack) {
                    row += 1;
                    open_until = (row >= failures).then(|| now + SignedDuration::from_mins(pause));
                } else {
                    (row, open_until) = (0, None);
                }
                ended.insert(0, Ended { detail: detail.as_str().to_owned(), at: now });
            }
        }
    }
}
