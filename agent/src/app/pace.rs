//! When a loop takes its next turn: after its interval, a tenth more or less, or at once when it is woken.
//!
//! The tenth keeps the appliances of a provider, all switched on together after a power cut, from asking Central
//! Command in the same second for ever.
//!
//! A machine's loop takes a turn between, too, for the checks that a sensor asked for. Such a turn does not put the next
//! whole one off: whoever pushes all the time cannot keep the agent from looking at everything else.

use super::hints::Hinted;
use super::vigil::Watched;
use crate::model::CheckKind;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How much longer than its interval a loop may be silent before it counts as hanging: a busy machine is no hang.
const SLACK: Duration = Duration::from_secs(30);

/// A loop's pace.
pub struct Pace {
    watched: Watched,
    every: Duration,
    woken: watch::Receiver<()>,
    was_woken: bool,
    hinted: Option<Hinted>,
    /// The checks that this turn is for; none: for all of them.
    only: Option<BTreeSet<CheckKind>>,
    /// When the next whole turn is, where a turn came between. In the time of the clock that never jumps.
    due: Option<Duration>,
}

/// What is done in some turns only: when its interval is over, or when somebody asks.
pub struct Cadence {
    every: Duration,
    /// In the time of the clock that never jumps.
    next: Option<Duration>,
}

impl Cadence {
    pub fn new(every: Duration) -> Self {
        Self { every, next: None }
    }

    /// Whether it is done in this turn, which begins `now`.
    pub fn due(&mut self, now: Duration, asked: bool) -> bool {
        let due = asked || self.next.is_none_or(|next| now >= next);
        if due {
            self.next = Some(now.saturating_add(jittered(self.every)));
        }
        due
    }
}

/// `every`, a tenth more or less.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(0.9 + 0.2 * fastrand::f64())
}

impl Pace {
    pub fn new(watched: Watched, every: Duration, woken: watch::Receiver<()>) -> Self {
        Self { watched, every, woken, was_woken: false, hinted: None, only: None, due: None }
    }

    /// Takes turns for the checks that sensors ask for, too.
    pub fn with_hints(self, hinted: Hinted) -> Self {
        Self { hinted: Some(hinted), ..self }
    }

    /// The checks that this turn is for; none when it is for all of them.
    pub fn only(&self) -> Option<&BTreeSet<CheckKind>> {
        self.only.as_ref()
    }

    /// Whether this turn came because somebody asked for it.
    pub fn was_woken(&self) -> bool {
        self.was_woken
    }

    /// What follows takes no longer than `longest`.
    pub fn working(&self, longest: Duration) {
        self.watched.silent_for(longest.saturating_add(SLACK));
    }

    /// Waits for the next turn; false when the agent is to stop.
    pub async fn next(&mut self, stop: &CancellationToken) -> bool {
        self.due_in(jittered(self.every), stop).await
    }

    /// Waits for the next turn, where the next whole one is due in `time`, or when it was before a turn came between; false
    /// when the agent is to stop.
    pub async fn due_in(&mut self, time: Duration, stop: &CancellationToken) -> bool {
        self.working(time);
        (self.was_woken, self.only) = (false, None);
        let now = self.watched.monotonic();
        let due = self.due.take().unwrap_or_else(|| now.saturating_add(self.watched.real(time)));
        // A whole turn that is due comes before one for a few checks, which it makes as well. Not left to the `select!`: a sleep
        // of no time is not over when it is first asked, and a hint that waits would win every time.
        if due <= now {
            return !stop.is_cancelled();
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = tokio::time::sleep(due.saturating_sub(now)) => true,
            // The sender lives as long as the agent.
            Ok(()) = self.woken.changed() => {
                self.was_woken = true;
                true
            }
            checks = asked(&mut self.hinted, &self.watched) => {
                (self.only, self.due) = (Some(checks), Some(due));
                true
            }
        }
    }

    /// Waits for exactly `time` until a whole turn, and takes none between; false when the agent is to stop.
    pub async fn wait(&mut self, time: Duration, stop: &CancellationToken) -> bool {
        self.working(time);
        (self.was_woken, self.only, self.due) = (false, None, None);
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(self.watched.real(time)) => true,
            Ok(()) = self.woken.changed() => {
                self.was_woken = true;
                true
            }
        }
    }
}

/// The checks that sensors ask for; never, where nobody listens to them.
async fn asked(hinted: &mut Option<Hinted>, watched: &Watched) -> BTreeSet<CheckKind> {
    match hinted {
        Some(hinted) => hinted.checks(watched).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::hints::Hints;
    use super::super::vigil::Vigil;
    use super::*;
    use crate::clock::SystemClock;
    use std::sync::Arc;

    #[tokio::test]
    async fn turns_for_what_sensors_ask_for_do_not_put_the_whole_ones_off() {
        let (vigil, hints) = (Vigil::new(Arc::new(SystemClock::start())), Arc::new(Hints::default()));
        let (woken, every) = (watch::Sender::new(()), Duration::from_millis(300));
        let pace = Pace::new(vigil.watch("a machine", every), every, woken.subscribe());
        let (mut pace, stop) = (pace.with_hints(hints.of("a")), CancellationToken::new());
        let asking = tokio::spawn(async move {
            loop {
                hints.ask("a", CheckKind::Disk, Duration::ZERO);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let (mut whole, mut between) = (0, 0);
        while whole < 2 {
            assert!(pace.next(&stop).await);
            match pace.only() {
                None => whole += 1,
                Some(only) => {
                    assert_eq!(*only, BTreeSet::from([CheckKind::Disk]));
                    between += 1;
                }
            }
            assert!(between < 60, "no whole turn came");
        }
        assert!(between > 4, "only {between} turns between");
        // An exact wait takes none between, and keeps no earlier turn's time.
        for _ in 0..3 {
            assert!(pace.next(&stop).await);
            assert!(pace.wait(Duration::from_millis(30), &stop).await && pace.only().is_none());
        }
        asking.abort();
    }

    #[tokio::test]
    async fn a_turn_between_that_takes_longer_than_the_interval_is_followed_by_a_whole_one() {
        let (vigil, hints) = (Vigil::new(Arc::new(SystemClock::start())), Arc::new(Hints::default()));
        let (woken, every) = (watch::Sender::new(()), Duration::from_millis(50));
        let pace = Pace::new(vigil.watch("a machine", every), every, woken.subscribe());
        let (mut pace, stop) = (pace.with_hints(hints.of("a")), CancellationToken::new());
        for _ in 0..5 {
            hints.ask("a", CheckKind::Patching, Duration::ZERO);
            assert!(pace.next(&stop).await && pace.only().is_some());
            // While it works, the whole turn becomes overdue, and the sensor pushes once more.
            std::thread::sleep(every * 2);
            hints.ask("a", CheckKind::Patching, Duration::ZERO);
            assert!(pace.next(&stop).await);
            assert_eq!(pace.only(), None, "the whole turn starves");
            assert!(pace.next(&stop).await && pace.only().is_some(), "what was pushed is forgotten");
        }
        stop.cancel();
        assert!(!pace.due_in(Duration::ZERO, &stop).await);
    }

    #[test]
    fn turns_are_a_tenth_early_or_late_at_most_and_not_all_alike() {
        let turns: Vec<_> = (0..1000).map(|_| jittered(Duration::from_secs(60))).collect();
        assert!(turns.iter().all(|turn| (54.0..=66.0).contains(&turn.as_secs_f64())));
        let (early, late) = (Duration::from_secs(57), Duration::from_secs(63));
        assert!(turns.iter().any(|turn| *turn < early) && turns.iter().any(|turn| *turn > late));
    }
}
