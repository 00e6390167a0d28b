//! When a loop takes its next turn: after its interval, a tenth more or less, or at once when it is woken.
//!
//! The tenth keeps the appliances of a provider, all switched on together after a power cut, from asking Central
//! Command in the same second for ever.

use super::vigil::Watched;
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
        Self { watched, every, woken, was_woken: false }
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
        self.wait(jittered(self.every), stop).await
    }

    /// Waits for exactly `time`; false when the agent is to stop.
    pub async fn wait(&mut self, time: Duration, stop: &CancellationToken) -> bool {
        self.working(time);
        self.was_woken = false;
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(self.watched.real(time)) => true,
            // The sender lives as long as the agent.
            Ok(()) = self.woken.changed() => {
                self.was_woken = true;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_a_tenth_early_or_late_at_most_and_not_all_alike() {
        let turns: Vec<_> = (0..1000).map(|_| jittered(Duration::from_secs(60))).collect();
        assert!(turns.iter().all(|turn| (54.0..=66.0).contains(&turn.as_secs_f64())));
        let (early, late) = (Duration::from_secs(57), Duration::from_secs(63));
        assert!(turns.iter().any(|turn| *turn < early) && turns.iter().any(|turn| *turn > late));
    }
}
