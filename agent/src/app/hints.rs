//! What sensors asked for: the checks that are to be made at once, by machine.
//!
//! Each machine's own task takes what is for it, between its turns. A check that is asked for twice before it is made is
//! made once. One that may not be made yet, because it was made a moment ago, waits here until it may.

use super::vigil::Watched;
use crate::model::CheckKind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Checks, and from when on each may be made, in the time of the clock that never jumps.
type Asked = BTreeMap<CheckKind, Duration>;

/// The checks that are asked for.
#[derive(Debug, Default)]
pub struct Hints {
    asked: Mutex<HashMap<String, Asked>>,
    changed: watch::Sender<()>,
}

/// What is for one machine.
#[derive(Debug)]
pub struct Hinted {
    hints: Arc<Hints>,
    changed: watch::Receiver<()>,
    host_id: String,
}

impl Hints {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
        // Sets of names are whole whoever panicked while holding them.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a check, to be made from `from` on, in the time of the clock that never jumps.
    pub fn ask(&self, host_id: &str, check: CheckKind, from: Duration) {
        let mut asked = self.lock();
        let earliest = asked.entry(host_id.to_owned()).or_default().entry(check).or_insert(from);
        *earliest = from.min(*earliest);
        drop(asked);
        self.changed.send_replace(());
    }

    /// What may be made of a machine by `now`, which is not asked for any more then; when there is nothing, the next time at
    /// which there is.
    fn due(&self, host_id: &str, now: Duration) -> Result<BTreeSet<CheckKind>, Option<Duration>> {
        let mut asked = self.lock();
        let Some(mine) = asked.get_mut(host_id) else { return Err(None) };
        let due: BTreeSet<_> = mine.iter().filter(|(_, from)| **from <= now).map(|(check, _)| *check).collect();
        mine.retain(|check, _| !due.contains(check));
        let next = mine.values().min().copied();
        if mine.is_empty() {
            asked.remove(host_id);
        }
        if due.is_empty() { Err(next) } else { Ok(due) }
    }

    /// What is for this machine.
    pub fn of(self: &Arc<Self>, host_id: &str) -> Hinted {
        Hinted { hints: Arc::clone(self), changed: self.changed.subscribe(), host_id: host_id.to_owned() }
    }
}

impl Hinted {
    /// The checks that are asked for, as soon as there are any.
    pub async fn checks(&mut self, watched: &Watched) -> BTreeSet<CheckKind> {
        loop {
            self.changed.mark_unchanged();
            let now = watched.monotonic();
            let next = match self.hints.due(&self.host_id, now) {
                Ok(mine) => return mine,
                Err(next) => next,
            };
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep(watched.real(next.saturating_sub(now))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives as long as the hints, which are held here.
                _ = self.changed.changed() => {}
                () = due => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vigil::Vigil;
    use super::*;
    use crate::clock::SystemClock;

    fn watched() -> Watched {
        Vigil::new(Arc::new(SystemClock::start())).watch("a machine", Duration::from_secs(60))
    }

    #[tokio::test]
    async fn a_machine_gets_what_is_for_it_once() {
        let hints = Arc::new(Hints::default());
        let watched = watched();
        let (mut one, mut two) = (hints.of("one"), hints.of("two"));
        hints.ask("one", CheckKind::Disk, Duration::ZERO);
        hints.ask("one", CheckKind::Firewall, Duration::ZERO);
        hints.ask("one", CheckKind::Disk, Duration::ZERO);
        assert_eq!(one.checks(&watched).await, BTreeSet::from([CheckKind::Disk, CheckKind::Firewall]));
        let nothing = Duration::from_millis(20);
        assert!(tokio::time::timeout(nothing, one.checks(&watched)).await.is_err());
        assert!(tokio::time::timeout(nothing, two.checks(&watched)).await.is_err());
        let waits = tokio::spawn(async move { two.checks(&watched).await });
        hints.ask("two", CheckKind::Services, Duration::ZERO);
        assert_eq!(waits.await.unwrap(), BTreeSet::from([CheckKind::Services]));
    }

    #[tokio::test]
    async fn a_check_that_may_not_be_made_yet_is_not_forgotten_and_holds_no_other_up() {
        let hints = Arc::new(Hints::default());
        let mut one = hints.of("one");
        let watched = watched();
        let began = watched.monotonic();
        let (soon, late) = (began + Duration::from_millis(300), began + Duration::from_secs(900));
        hints.ask("one", CheckKind::Patching, late);
        hints.ask("one", CheckKind::Disk, soon);
        hints.ask("one", CheckKind::Disk, late);
        hints.ask("one", CheckKind::Firewall, Duration::ZERO);
        assert_eq!(one.checks(&watched).await, BTreeSet::from([CheckKind::Firewall]));
        assert!(watched.monotonic() < soon);
        assert_eq!(one.checks(&watched).await, BTreeSet::from([CheckKind::Disk]));
        assert!(watched.monotonic() >= soon);
        // Asked for again, and at once this time.
        hints.ask("one", CheckKind::Patching, Duration::ZERO);
        assert_eq!(one.checks(&watched).await, BTreeSet::from([CheckKind::Patching]));
        assert!(hints.lock().is_empty());
    }
}
