//! Generations of NixOS, seen from the agent: the order that waits, and the word that a switch waits for.

use super::Agent;
use crate::act::appliance::Ordered;
use crate::adapters::executor::{Executor, Operation};
use crate::causes::chain;
use crate::sense::host::Machine;
use crate::store::{not_stored, orders};
use msp_agent_switch::record::{self, Record, State};
use msp_contracts::order::OrderAction;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How soon a switch that goes on is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long the executor takes for a confirmation at most.
const CONFIRMING: Duration = Duration::from_secs(10);
/// How soon something is said again.
const AGAIN: Duration = Duration::from_secs(10);

/// Whether a switch goes on just now.
pub(super) fn goes_on(machine: &Machine) -> bool {
    open(machine).is_some()
}

fn open(machine: &Machine) -> Option<Record> {
    // Where there are no records, or none can be read, none goes on.
    record::open(&machine.places()).ok().flatten()
}

/// What was last said about which switch, and when: two loops may say it, and it is news only once in a while.
#[derive(Debug, Default)]
pub struct Word(Mutex<Option<(String, Duration)>>);

impl Word {
    /// Whether it has to be said of this switch, which the caller does then.
    fn is_due(&self, id: &str, now: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.as_ref().is_none_or(|(last, at)| last != id || now.saturating_sub(*at) >= AGAIN);
        if due {
            *last = Some((id.to_owned(), now));
        }
        due
    }
}

impl Agent {
    /// The order to switch that waits, the oldest one, with what was signed.
    pub(super) async fn ordered_switch(&self) -> Option<Ordered> {
        let found = self.store.write(|db| {
            let Some(waiting) = orders::accepted_of(db, "switch_generation")?.into_iter().next() else {
                return Ok(None);
            };
            let envelope = orders::envelope(db, waiting.order.order_id.as_str())?;
            Ok(envelope.map(|envelope| (waiting.order, envelope)))
        });
        match found.await {
            Ok(found) => {
                let (order, envelope) = found?;
                let OrderAction::SwitchGeneration { store_path } = order.action else { return None };
                Some(Ordered { order_id: order.order_id, store_path, envelope })
            }
            Err(error) => {
                not_stored(&error, "the orders to switch cannot be read");
                None
            }
        }
    }

    /// Confirms the switch that waits for it: this process runs under the new system and keeps its state there, and
    /// where Central Command was reachable before, a check-in succeeded that began at `contact_ms` of the boot's clock.
    pub(super) async fn confirm_switch(&self, machine: &Machine, contact_ms: Option<u64>) {
        let Some(record) = open(machine).filter(|record| record.state == State::Awaiting && record.confirm) else {
            return;
        };
        let since = record.activated_ms.unwrap_or(u64::MAX);
        if record.contact && contact_ms.is_none_or(|began| began < since) {
            // Only a check-in that began under the new system counts, and the next one may be far away.
            if self.nudge.is_due(&record.id, self.clock.monotonic()) {
                self.contact.send_replace(());
            }
            return;
        }
        if !self.word.is_due(&record.id, self.clock.monotonic()) {
            return;
        }
        let operation = Operation::ConfirmSwitch { id: record.id.clone() };
        if let Some(objection) = Executor::own().objection(&operation) {
            tracing::error!(switch = %record.id, reason = %objection, "the new generation cannot be confirmed");
            return;
        }
        match Executor::own().ask(operation, CONFIRMING).await {
            Ok(_) => tracing::info!(switch = %record.id, store_path = %record.to, "the new generation is confirmed"),
            // It is tried again until the switch has no more patience.
            Err(error) => {
                tracing::warn!(switch = %record.id, error = %chain(&error), "the new generation is not confirmed")
            }
        }
    }
}
