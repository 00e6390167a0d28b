//! Orders: fetched, judged, and seen through to their end.
//!
//! What an order asks of the agent itself is done in the transaction that accepts it. What it asks of a machine is
//! taken up by that machine's own task, as a plan like any other.

use super::Agent;
use crate::adapters::inventory;
use crate::causes::{self, chain};
use crate::guard::clock_sanity::{self, Insane};
use crate::model::{Asked, CheckKind, Guardrail, Observation, Plan};
use crate::orders::judge::{self, Judged, Scope};
use crate::orders::received::{Reader, Received};
use crate::prove;
use crate::prove::record::Recorder;
use crate::prove::record::orders::Over;
use crate::report::client::{CallError, Central};
use crate::sense::{host, windows};
use crate::store::orders::{self, State, Waiting};
use crate::store::server_keys::{self, ServerKeys};
use crate::store::{StoreError, facts, statuses};
use jiff::Timestamp;
use msp_contracts::api;
use msp_contracts::evidence::Target;
use msp_contracts::finding::{CheckStatus, Finding};
use msp_contracts::ids::IncidentId;
use msp_contracts::keys::VerifyingKey;
use msp_contracts::order::{Order, OrderAction};
use msp_contracts::outcome::{Detail, Level};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the server answers; each entry is read by itself, so that a damaged one hurts no other.
#[derive(Deserialize)]
struct PendingOrders {
    orders: Vec<Value>,
}

/// Orders were not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no order is taken: {0}")]
    Clock(Insane),
}

/// What the rest of the agent has to be told after an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tell {
    Nobody,
    /// Central Command's keys changed.
    Keys,
    /// A machine's task has something to do.
    Machines,
    /// Check in and sync now.
    Contact,
}

impl Agent {
    /// Fetches the orders that wait, and judges each. While the clock cannot be trusted, none is taken: they stay at
    /// the server.
    pub(super) async fn pull_orders(&self, central: &Central) -> Result<(), PullError> {
        let now = self.clock.now();
        if let Err(insane) = self.store.write(move |db| clock_sanity::of(db, now)).await? {
            return Err(PullError::Clock(insane));
        }
        let path = api::ORDERS_PENDING.replace("{site}", &self.config.site_id).replace("{id}", &self.config.host_id);
        let pending: PendingOrders = central.get(&path, &[]).await?;
        for entry in &pending.orders {
            self.take_order(Received::entry(entry)).await;
        }
        Ok(())
    }

    /// Judges one order and does what it asks of the agent itself.
    async fn take_order(&self, received: Received) {
        let id = received.claimed_id.clone();
        let policy = Arc::clone(&self.policy.borrow());
        let (servers, _) = inventory::read(&self.inventory.borrow());
        let reader = Reader {
            site_id: self.config.site_id.clone(),
            host_id: self.config.host_id.clone(),
            trusted: self.server_keys.borrow().trusted.clone(),
            ttl_seconds: self.config.order_ttl.try_into().unwrap_or(i64::MAX),
        };
        let (appliance, configured) = (self.appliance.clone(), self.configured_key);
        let max_waiting = self.config.max_queue_size;
        let done = self
            .record(move |recorder| {
                let scope = Scope {
                    catalogue: &policy.catalogue,
                    servers: &servers,
                    appliance: &appliance.host_id,
                    max_waiting,
                    mends: |runbook, parameters| {
                        windows::mends(runbook, parameters).or_else(|| host::mends(runbook))
                    },
                };
                let chain = prove::chain::chain(recorder.db)?;
                let (hash, text) = (received.hash.clone(), received.text.clone());
                match judge::judge(recorder.db, &reader, scope, &chain, received, recorder.now)? {
                    Judged::Known => Ok(Tell::Nobody),
                    Judged::Refused { order, reason } => {
                        let reason = causes::chain(&reason);
                        tracing::warn!(order_id = %id, %reason, "an order is refused");
                        recorder.order_refused(&appliance, &hash, &id, order.as_deref(), &reason)?;
                        Ok(Tell::Nobody)
                    }
                    Judged::Accepted { order, waits } => {
                        tracing::info!(order_id = %order.order_id, class = order.action.class(), "an order is accepted");
                        recorder.order_accepted((&hash, &text), &order, &waits)?;
                        at_once(recorder, &appliance, &order, configured)
                    }
                }
            })
            .await;
        match done {
            Ok(Tell::Nobody) => {}
            Ok(Tell::Machines) => self.look.send_replace(()),
            Ok(Tell::Contact) => self.contact.send_replace(()),
            Ok(Tell::Keys) => self.reload_keys().await,
            Err(error) => tracing::error!(error = %chain(&error), "an order could not be stored; it is fetched again"),
        }
    }

    async fn reload_keys(&self) {
        let configured = self.configured_key;
        match self.store.write(move |db| ServerKeys::of(db, configured)).await {
            Ok(keys) => {
                tracing::info!(keys = keys.trusted.len(), "Central Command's keys were rotated");
                self.server_keys.send_replace(Arc::new(keys));
            }
            Err(error) => tracing::error!(error = %chain(&error), "the new keys could not be read"),
        }
        self.contact.send_replace(());
    }

    /// Ends the orders whose time is over.
    pub(super) async fn end_overdue_orders(&self) -> Result<(), StoreError> {
        let appliance = self.appliance.clone();
        self.record(move |recorder| {
            for waiting in orders::overdue(recorder.db, recorder.now)? {
                let order = waiting.order;
                let why = waiting.reason.map_or_else(String::new, |reason| format!("; it waited: {reason}"));
                let error = format!("not carried out by {}{why}", order.execute_by);
                tracing::warn!(order_id = %order.order_id, reason = %error, "an order is too late");
                let over =
                    Over { state: State::Late, detail: Detail::Deferred, error: Some(&error), result: json!({}) };
                recorder.order_over(&appliance, &order, &over)?;
            }
            Ok(())
        })
        .await
    }

    /// A turn of checks of a machine is over, which began at `began`: orders to look at it are done, unless it was only for
    /// what a sensor asked for.
    pub(super) async fn looked(&self, target: &Target, began: Timestamp, only: Option<&BTreeSet<CheckKind>>) {
        if let Some(only) = only {
            let checks = only.iter().map(|check| check.as_str()).collect::<Vec<_>>().join(", ");
            tracing::info!(host_id = %target.host_id, checks, "looked, as a sensor asked");
            return;
        }
        let (target, appliance) = (target.clone(), self.appliance.clone());
        let done = self
            .record(move |recorder| {
                for waiting in orders::accepted_of(recorder.db, "run_check")? {
                    if waiting.received_at <= began && waiting.looks.contains(&target.host_id) {
                        look_done(recorder, &appliance, &target.host_id, waiting)?;
                    }
                }
                Ok(())
            })
            .await;
        if let Err(error) = done {
            tracing::error!(error = %chain(&error), "an order to look could not be completed");
        }
    }

    /// A rule sync that began at `began` has succeeded: orders to sync are done.
    pub(super) async fn synced(&self, began: Timestamp) -> Result<(), StoreError> {
        let appliance = self.appliance.clone();
        self.record(move |recorder| {
            let waiting = orders::accepted_of(recorder.db, "sync_now")?;
            for one in waiting.into_iter().filter(|one| one.received_at <= began) {
                recorder.order_over(&appliance, &one.order, &Over::done(json!({})))?;
            }
            Ok(())
        })
        .await
    }

    /// The order that waits for this part of this check.
    pub(super) async fn order_for(&self, finding: &Finding) -> Result<Option<Waiting>, StoreError> {
        let key = statuses::Key::of(finding);
        self.store.write(move |db| orders::accepted_for(db, &key.host_id, &key.check_type, &key.subject)).await
    }

    /// What an order asks for where there is nothing to heal: it is over, or waits until it can be told.
    pub(super) async fn order_without_drift(
        &self,
        target: &Target,
        observation: &Observation,
        waiting: Waiting,
    ) -> Result<(), StoreError> {
        let (state, detail, error) = match observation.status {
            CheckStatus::Compliant => (State::Done, Detail::NoChange, None),
            CheckStatus::Drift if !is_about(&waiting, &observation.details) => (State::Done, Detail::NoChange, None),
            CheckStatus::Unsupported => (State::Failed, Detail::Unsupported, observation.reason.clone()),
            CheckStatus::Drift | CheckStatus::Unknown | CheckStatus::Pending => {
                let reason = observation.reason.clone().unwrap_or_else(|| "the check could not tell".to_owned());
                return self.order_waits(waiting, reason).await;
            }
        };
        let target = target.clone();
        let result = json!({ "actual": observation.actual });
        self.record(move |recorder| {
            recorder.order_over(&target, &waiting.order, &Over { state, detail, error: error.as_deref(), result })
        })
        .await
    }

    /// The guard holds an order's plan back: a dry run is its end, everything else may pass.
    pub(super) async fn order_refused_now(
        &self,
        target: &Target,
        waiting: Waiting,
        by: Guardrail,
        reason: String,
    ) -> Result<(), StoreError> {
        if by == Guardrail::DryRun {
            return self.order_ends(target, waiting, Detail::DryRun, reason).await;
        }
        self.order_waits(waiting, reason).await
    }

    /// No waiting helps an order's plan. The person who gave the order is told; nobody else is asked.
    pub(super) async fn order_failed(&self, target: &Target, order: Waiting, reason: String) -> Result<(), StoreError> {
        self.order_ends(target, order, Detail::Failed, reason).await
    }

    async fn order_ends(
        &self,
        target: &Target,
        waiting: Waiting,
        detail: Detail,
        reason: String,
    ) -> Result<(), StoreError> {
        let target = target.clone();
        self.record(move |recorder| {
            let over = Over { state: State::Failed, detail, error: Some(&reason), result: json!({}) };
            recorder.order_over(&target, &waiting.order, &over)
        })
        .await
    }

    async fn order_waits(&self, waiting: Waiting, reason: String) -> Result<(), StoreError> {
        if waiting.reason.as_deref() == Some(&reason) {
            return Ok(());
        }
        let id = waiting.order.order_id;
        tracing::info!(order_id = %id, %reason, "an order waits");
        self.store.write(move |db| orders::waits(db, id.as_str(), &reason)).await
    }
}

/// Whether the drift of a check is what an order to run a runbook names: of the appliance's units one check tells.
pub(super) fn is_about(waiting: &Waiting, details: &Map<String, Value>) -> bool {
    let OrderAction::RunRunbook { parameters, .. } = &waiting.order.action else { return true };
    let (Some(unit), Some(Value::Array(stopped))) = (parameters.get("service"), details.get("stopped_services")) else {
        return true;
    };
    stopped.iter().any(|one| one == unit || one.as_str().is_some_and(|one| one.strip_suffix(".service") == Some(unit)))
}

/// The plan that an order asks for.
pub(super) fn plan(waiting: &Waiting, incident_id: IncidentId, target: &Target, finding: &Finding) -> Option<Plan> {
    let order = &waiting.order;
    let (runbook_id, parameters) = match &order.action {
        OrderAction::RunRunbook { runbook_id, parameters, .. } => (runbook_id.clone(), parameters.clone()),
        OrderAction::SwitchGeneration { store_path } => {
            (host::SWITCH.to_owned(), BTreeMap::from([("store_path".to_owned(), store_path.to_string())]))
        }
        _ => return None,
    };
    Some(Plan {
        incident_id,
        target: target.clone(),
        finding: finding.clone(),
        rule_id: order.order_id.to_string(),
        runbook_id,
        parameters: parameters.into_iter().map(|(name, value)| (name, Value::String(value))).collect::<Map<_, _>>(),
        cooldown_seconds: 0,
        level: Level::L3,
        order: Some(Asked {
            order_id: order.order_id.clone(),
            issued_by: order.issued_by.clone(),
            reason: order.reason.clone(),
            execute_by: order.execute_by,
        }),
    })
}

/// Does what an accepted order asks of the agent itself, in the transaction that accepts it.
fn at_once(
    recorder: &Recorder<'_>,
    appliance: &Target,
    order: &Order,
    configured: VerifyingKey,
) -> Result<Tell, StoreError> {
    let db = recorder.db;
    let tell = match &order.action {
        OrderAction::RunRunbook { .. } | OrderAction::SwitchGeneration { .. } | OrderAction::RunCheck { .. } => {
            return Ok(Tell::Machines);
        }
        OrderAction::SyncNow {} => return Ok(Tell::Contact),
        OrderAction::Revoke { order_id } => return revoke(recorder, appliance, order, order_id.as_str()),
        OrderAction::SetDryRun { dry_run } => {
            facts::set(db, facts::DRY_RUN, &dry_run.to_string())?;
            Tell::Machines
        }
        OrderAction::KillSwitch { engaged: true } => {
            facts::set(db, facts::KILL_SWITCH, &order.reason)?;
            tracing::warn!(by = %order.issued_by, reason = %order.reason, "the kill switch is engaged: nothing is changed any more");
            Tell::Nobody
        }
        OrderAction::KillSwitch { engaged: false } => {
            facts::unset(db, facts::KILL_SWITCH)?;
            tracing::warn!(by = %order.issued_by, reason = %order.reason, "the kill switch is released");
            Tell::Machines
        }
        OrderAction::RotateKeys { server_public_keys } => match server_keys::named(server_public_keys) {
            Ok(named) => {
                ServerKeys::rotate(db, configured, &named)?;
                Tell::Keys
            }
            Err(reason) => {
                let over =
                    Over { state: State::Failed, detail: Detail::Failed, error: Some(&reason), result: json!({}) };
                recorder.order_over(appliance, order, &over)?;
                return Ok(Tell::Nobody);
            }
        },
    };
    recorder.order_over(appliance, order, &Over::done(json!({})))?;
    Ok(tell)
}

fn revoke(recorder: &Recorder<'_>, appliance: &Target, order: &Order, revoked: &str) -> Result<Tell, StoreError> {
    let found = orders::was_accepted(recorder.db, revoked)?;
    let error = match &found {
        Some((State::Accepted, other)) => {
            let error = format!("taken back by order {}: {}", order.order_id, order.reason);
            let over = Over { state: State::Revoked, detail: Detail::Deferred, error: Some(&error), result: json!({}) };
            recorder.order_over(appliance, other, &over)?;
            None
        }
        Some((state, _)) => Some(format!("order {revoked} cannot be taken back any more: it is {}", state.as_str())),
        None => Some(format!("order {revoked} was never accepted here")),
    };
    let over = match &error {
        None => Over::done(json!({})),
        Some(error) => Over { state: State::Failed, detail: Detail::Failed, error: Some(error), result: json!({}) },
    };
    recorder.order_over(appliance, order, &over)?;
    Ok(Tell::Nobody)
}

/// One of the machines that an order to look waits for was looked at.
fn look_done(recorder: &Recorder<'_>, appliance: &Target, host_id: &str, waiting: Waiting) -> Result<(), StoreError> {
    let left: Vec<_> = waiting.looks.iter().filter(|host| *host != host_id).cloned().collect();
    if !left.is_empty() {
        return orders::looks(recorder.db, waiting.order.order_id.as_str(), &left);
    }
    let check = waiting.check_type.as_deref();
    let OrderAction::RunCheck { host_id: named, .. } = &waiting.order.action else { return Ok(()) };
    let checks = match named {
        Some(_) => statuses::on(recorder.db, Some(host_id), check)?,
        None => statuses::on(recorder.db, None, check)?,
    };
    recorder.order_over(appliance, &waiting.order, &Over::done(json!({ "checks": checks })))
}
