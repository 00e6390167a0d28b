//! Judges an order inside the transaction that stores it: known, refused, or accepted and what it waits for.

use super::received::{Reader, Received, RefusalError};
use super::routing;
use crate::adapters::inventory::Server;
use crate::model::CheckKind;
use crate::store::orders::{self, WaitsFor};
use crate::store::server_keys;
use crate::store::{StoreError, facts};
use jiff::Timestamp;
use msp_contracts::ids::ChainId;
use msp_contracts::order::{Order, OrderAction};
use msp_rules::{APPLIANCE, Catalogue};
use std::collections::BTreeMap;

/// Which check, and which part of it, a runbook mends with these parameters.
pub type Mends = fn(&str, &BTreeMap<String, String>) -> Option<(CheckKind, Option<String>)>;

/// What there is to be asked of.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub catalogue: &'a Catalogue,
    pub servers: &'a [Server],
    /// The appliance's own host id.
    pub appliance: &'a str,
    /// How many orders may wait at once.
    pub max_waiting: u64,
    pub mends: Mends,
}

/// What is to be done about an order that came.
#[derive(Debug)]
pub enum Judged {
    /// These bytes were dealt with before.
    Known,
    Refused {
        /// The order, where it could be read.
        order: Option<Box<Order>>,
        reason: RefusalError,
    },
    Accepted {
        order: Box<Order>,
        waits: WaitsFor,
    },
}

/// Judges `received`.
///
/// # Errors
/// When the store cannot be read: then nothing is accepted.
pub fn judge(
    db: &rusqlite::Connection,
    reader: &Reader,
    scope: Scope<'_>,
    chain: &ChainId,
    received: Received,
    now: Timestamp,
) -> Result<Judged, StoreError> {
    if orders::known(db, &received.hash)? {
        return Ok(Judged::Known);
    }
    let order = match received.signed(&reader.trusted) {
        Ok(order) => Box::new(order),
        Err(reason) => return Ok(Judged::Refused { order: None, reason }),
    };
    let highest = facts::sequence(db, facts::ORDERS_SEQUENCE)?;
    let waiting = orders::unfinished(db)?;
    let refusal = if let Err(reason) = reader.admits(&order, chain, now, highest) {
        Some(reason)
    } else if orders::was_accepted(db, order.order_id.as_str())?.is_some() {
        Some(RefusalError::SameId)
    } else if waiting >= scope.max_waiting {
        Some(RefusalError::QueueFull { waiting })
    } else {
        None
    };
    if let Some(reason) = refusal {
        return Ok(Judged::Refused { order: Some(order), reason });
    }
    match waits_for(&order.action, scope) {
        Ok(waits) => Ok(Judged::Accepted { order, waits }),
        Err(reason) => Ok(Judged::Refused { order: Some(order), reason: RefusalError::Impossible { reason } }),
    }
}

/// What an order has to wait for; in words why it could never be carried out.
fn waits_for(action: &OrderAction, scope: Scope<'_>) -> Result<WaitsFor, String> {
    let machine = |name: &str| routing::find(scope.servers, name).map_err(|error| error.to_string());
    match action {
        OrderAction::RunRunbook { runbook_id, host_id, parameters } => {
            let runbook = scope.catalogue.admit(runbook_id, parameters).map_err(|error| error.to_string())?;
            let (host_id, platform) = if host_id.eq_ignore_ascii_case(scope.appliance) {
                (scope.appliance.to_owned(), APPLIANCE)
            } else {
                (machine(host_id)?.address.to_string(), "windows")
            };
            if runbook.platform != platform {
                return Err(format!("{runbook_id} is for {}, {host_id} is {platform}", runbook.platform));
            }
            let (check, subject) = (scope.mends)(runbook_id, parameters)
                .ok_or_else(|| format!("no check of this version says whether {runbook_id} is needed"))?;
            Ok(WaitsFor {
                host_id: Some(host_id),
                check_type: Some(check.as_str().to_owned()),
                subject,
                looks: Vec::new(),
            })
        }
        OrderAction::RunCheck { host_id, check_type } => {
            if let Some(name) = check_type.as_deref().filter(|name| CheckKind::named(name).is_none()) {
                return Err(format!("there is no check called {name:?}"));
            }
            let looks = match host_id.as_deref() {
                None => {
                    let servers = scope.servers.iter().map(|server| server.address.to_string());
                    servers.chain([scope.appliance.to_owned()]).collect()
                }
                Some(name) if name.eq_ignore_ascii_case(scope.appliance) => vec![scope.appliance.to_owned()],
                Some(name) => vec![machine(name)?.address.to_string()],
            };
            Ok(WaitsFor { host_id: host_id.clone(), check_type: check_type.clone(), subject: None, looks })
        }
        OrderAction::SwitchGeneration { .. } => Ok(WaitsFor {
            host_id: Some(scope.appliance.to_owned()),
            check_type: Some(CheckKind::Generation.as_str().to_owned()),
            ..WaitsFor::default()
        }),
        OrderAction::RotateKeys { server_public_keys } => {
            server_keys::named(server_public_keys)?;
            Ok(WaitsFor::default())
        }
        OrderAction::SyncNow {}
        | OrderAction::SetDryRun { .. }
        | OrderAction::KillSwitch { .. }
        | OrderAction::Revoke { .. } => Ok(WaitsFor::default()),
    }
}
