//! What sensors asked for: the checks that are to be made at once, by machine.
//!
//! Each machine's own task takes what is for it, between its turns. A check that is asked for twice before it is made is
//! made once.

use crate::model::CheckKind;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The checks that are asked for.
#[derive(Debug, Default)]
pub struct Hints {
    asked: Mutex<HashMap<String, BTreeSet<CheckKind>>>,
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
    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<CheckKind>>> {
        // Sets of names are whole whoever panicked while holding them.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a check.
    pub fn ask(&self, host_id: &str, check: CheckKind) {
        self.lock().entry(host_id.to_owned()).or_default().insert(check);
        self.changed.send_replace(());
    }

    /// What is for this machine.
    pub fn of(self: &Arc<Self>, host_id: &str) -> Hinted {
        Hinted { hints: Arc::clone(self), changed: self.changed.subscribe(), host_id: host_id.to_owned() }
    }
}

impl Hinted {
    /// The checks that are asked for, as soon as there are any.
    pub async fn checks(&mut self) -> BTreeSet<CheckKind> {
        loop {
            self.changed.mark_unchanged();
            if let Some(mine) = self.hints.lock().remove(&self.host_id) {
                return mine;
            }
            // The sender lives as long as the hints, which are held here.
            let _ = self.changed.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_gets_what_is_for_it_once() {
        let hints = Arc::new(Hints::default());
        let (mut one, mut two) = (hints.of("one"), hints.of("two"));
        hints.ask("one", CheckKind::Disk);
        hints.ask("one", CheckKind::Firewall);
        hints.ask("one", CheckKind::Disk);
        assert_eq!(one.checks().await, BTreeSet::from([CheckKind::Disk, CheckKind::Firewall]));
        let nothing = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(nothing, one.checks()).await.is_err());
        assert!(tokio::time::timeout(nothing, two.checks()).await.is_err());
        let waits = tokio::spawn(async move { two.checks().await });
        hints.ask("two", CheckKind::Services);
        assert_eq!(waits.await.unwrap(), BTreeSet::from([CheckKind::Services]));
    }
}
