//! The watch over the agent's own loops: each says for how long it may be silent next, and one that is silent for
//! longer hangs.
//!
//! The service manager's watchdog is fed only while no loop is overdue, so that a hang in one of them ends in a
//! restart instead of an agent that looks alive. A loop that works on something long says so first.

use crate::clock::Clock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// All loops, and until when each has to be heard of again.
pub struct Vigil {
    clock: Arc<dyn Clock>,
    loops: Mutex<BTreeMap<String, Duration>>,
}

/// One loop's place in the vigil; the loop is over when it is dropped.
pub struct Watched {
    vigil: Arc<Vigil>,
    name: String,
}

impl Vigil {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, loops: Mutex::default() })
    }

    /// A loop begins; it is heard of again within `longest`.
    pub fn watch(self: &Arc<Self>, name: impl Into<String>, longest: Duration) -> Watched {
        let watched = Watched { vigil: Arc::clone(self), name: name.into() };
        watched.silent_for(longest);
        watched
    }

    /// The loops that were silent for longer than they said, and by how much.
    pub fn overdue(&self) -> Vec<(String, Duration)> {
        let now = self.clock.monotonic();
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let late = |(name, due): (&String, &Duration)| (now > *due).then(|| (name.clone(), now.saturating_sub(*due)));
        loops.iter().filter_map(late).collect()
    }
}

impl Watched {
    /// The loop lives, and is heard of again within `longest`.
    pub fn silent_for(&self, longest: Duration) {
        let due = self.vigil.clock.monotonic().saturating_add(longest);
        self.vigil.loops.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name.clone(), due);
    }

    /// The time that never jumps.
    pub fn monotonic(&self) -> Duration {
        self.vigil.clock.monotonic()
    }

    /// How long the program must really wait until so much time of its clock has passed.
    pub fn real(&self, span: Duration) -> Duration {
        self.vigil.clock.real(span)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.vigil.loops.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[derive(Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Relaxed))
        }
    }

    #[test]
    fn a_loop_that_is_silent_for_longer_than_it_said_is_overdue_until_it_is_heard_of_or_ends() {
        let clock = Arc::new(Hands::default());
        let vigil = Vigil::new(clock.clone());
        let (slow, quick) =
            (vigil.watch("slow", Duration::from_secs(600)), vigil.watch("quick", Duration::from_secs(60)));
        clock.0.store(60, Relaxed);
        assert!(vigil.overdue().is_empty());
        clock.0.store(61, Relaxed);
        assert_eq!(vigil.overdue(), [("quick".to_owned(), Duration::from_secs(1))]);
        quick.silent_for(Duration::from_secs(60));
        assert!(vigil.overdue().is_empty());
        clock.0.store(601, Relaxed);
        assert_eq!(vigil.overdue().len(), 2);
        drop((slow, quick));
        assert!(vigil.overdue().is_empty());
    }
}
