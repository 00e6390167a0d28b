//! The loops that talk with Central Command: check-in, rule sync, orders, what is owed. A dead line holds up none of
//! the work on the machines.

use super::Agent;
use super::pace::Pace;
use super::policy::Policy;
use crate::causes::chain;
use crate::report::checkin::{self, CheckinError, Learnt};
use crate::report::client::Central;
use crate::report::drain::Drain;
use crate::report::sync::{self, SyncError};
use crate::sense::host::Machine;
use crate::store::{facts, not_stored};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a call to Central Command takes at most, with what is stored afterwards.
const CALL: Duration = Duration::from_secs(60);

impl Agent {
    fn contact_pace(&self, name: &str) -> Pace {
        let every = Duration::from_secs(self.config.poll_interval);
        Pace::new(self.vigil.watch(name, CALL), every, self.contact.subscribe())
    }

    /// Delivers what is owed, from the first check-in on: it is the check-in that tells Central Command the key
    /// which signs the evidence, and a report that comes before it would be refused for good.
    pub(super) async fn deliver(self: Arc<Self>, drain: Drain, stop: CancellationToken) {
        let mut known = self.known.subscribe();
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = known.wait_for(|known| *known) => first.is_ok(),
        };
        if first {
            drain.run(stop).await;
        }
    }

    pub(super) async fn check_in(self: Arc<Self>, central: Central, machine: Arc<Machine>, stop: CancellationToken) {
        let mut pace = self.contact_pace("check-in");
        let mut reached = false;
        loop {
            pace.working(CALL);
            let began = msp_agent_switch::boot_time_ms();
            match self.check_in_once(&central).await {
                Ok(learnt) => {
                    if !reached {
                        tracing::info!(url = %self.config.mcp_url, "checked in with Central Command");
                        self.back.send_replace(());
                    }
                    reached = true;
                    self.known.send_replace(true);
                    self.take_over(learnt);
                    self.confirm_switch(&machine, Some(began)).await;
                }
                Err(CheckinError::Store(error)) => not_stored(&error, "what the check-in brought is not stored"),
                Err(error) => {
                    reached = false;
                    tracing::warn!(error = %chain(&error), "check-in failed; work goes on with what is known");
                }
            }
            self.reached.store(reached, Relaxed);
            if !pace.next(&stop).await {
                return;
            }
        }
    }

    async fn check_in_once(&self, central: &Central) -> Result<Learnt, CheckinError> {
        let report = self.own_report().await?;
        let keys = Arc::clone(&self.server_keys.borrow());
        let about = checkin::About { config: &self.config, agent_public_key: &self.public_key, report };
        checkin::check_in(central, about, &keys.trusted, &self.store, self.clock.as_ref()).await
    }

    fn take_over(&self, learnt: Learnt) {
        if let Some(targets) = learnt.inventory {
            tracing::info!(servers = targets.len(), "the inventory of Windows servers changed");
            self.inventory.send_replace(targets);
        }
        if let Some(reason) = learnt.kill_switch {
            tracing::warn!(%reason, "Central Command engages the kill switch: nothing is changed any more");
        }
    }

    pub(super) async fn sync_rules(self: Arc<Self>, central: Central, stop: CancellationToken) {
        let mut pace = self.contact_pace("rule sync");
        // Rules that are stored and not in force yet: kept until they are, whatever goes wrong in between.
        let mut stale = false;
        loop {
            pace.working(CALL);
            let began = self.clock.now();
            let keys = Arc::clone(&self.server_keys.borrow());
            let done = sync::sync(&central, &self.config, &keys.trusted, &self.store, self.clock.as_ref()).await;
            match &done {
                Ok(changed) => stale |= changed,
                Err(SyncError::Store(error)) => not_stored(error, "the synced rules are not stored"),
                Err(error) => tracing::warn!(error = %chain(error), "rule sync failed; the rules stay as they are"),
            }
            if stale {
                match self.reload_rules().await {
                    Ok(()) => stale = false,
                    Err(error) => tracing::error!(error = %format!("{error:#}"), "the new rules could not be loaded"),
                }
            }
            if done.is_ok()
                && !stale
                && let Err(error) = self.synced(began).await
            {
                tracing::error!(error = %chain(&error), "a rule sync could not be noted");
            }
            if !pace.next(&stop).await {
                return;
            }
        }
    }

    async fn reload_rules(&self) -> anyhow::Result<()> {
        let envelope = self.store.write(|db| facts::get(db, facts::RULES)).await?;
        let keys = Arc::clone(&self.server_keys.borrow());
        sync::lay_out(&self.config.state_dir, envelope.as_deref(), &keys.ever)?;
        self.policy.send_replace(Arc::new(Policy::load(&self.config)?));
        Ok(())
    }

    /// Fetches orders, from the first check-in on, and ends those whose time is over, contact or not.
    pub(super) async fn follow_orders(self: Arc<Self>, central: Central, stop: CancellationToken) {
        let mut pace = self.contact_pace("orders");
        let mut trouble = String::new();
        loop {
            pace.working(CALL);
            if *self.known.borrow() {
                let said = self.pull_orders(&central).await.err().map_or_else(String::new, |error| chain(&error));
                // Once for each trouble, not with every turn.
                if !said.is_empty() && said != trouble {
                    tracing::warn!(error = %said, "orders could not be fetched");
                }
                trouble = said;
            }
            if let Err(error) = self.end_overdue_orders().await {
                tracing::error!(error = %chain(&error), "orders that are too late could not be ended");
            }
            if !pace.next(&stop).await {
                return;
            }
        }
    }
}
