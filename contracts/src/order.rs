//! Orders: what Central Command may ask of one appliance, always signed.
//!
//! An order is bound to a site, an appliance, the state that appliance has now, a class, a span of time and a
//! sequence. Its time to live (`expires`) bounds *acceptance*; what was accepted in time may wait for its
//! maintenance window until `execute_by`. None can carry a command: a runbook is chosen, never written.

use crate::dsse::Signed;
use crate::ids::{ChainId, Counter, OrderId};
use crate::signed::{Stamp, StampError};
use crate::store_path::StorePath;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest envelope of an order that is read, in bytes; a larger one is refused unread.
pub const MAX_ORDER_BYTES: usize = 64 * 1024;

/// What an order asks for, and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "class", content = "parameters", rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderAction {
    /// Run a runbook on one machine, if its check sees drift there. The guard judges it as any other plan.
    RunRunbook {
        /// The runbook, one that the agent ships.
        runbook_id: String,
        /// The machine: the IP address or name of an inventory entry, matched exactly.
        host_id: String,
        /// The runbook's parameters, as its schema admits them; for a part of a check, that part.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    /// Make a check now instead of at its next turn. It only observes; drift is dealt with as always.
    RunCheck {
        /// The machine, as for a runbook, or the appliance's host id; every machine when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_id: Option<String>,
        /// The check; every check when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check_type: Option<String>,
    },
    /// Check in and fetch the rules now.
    SyncNow {},
    /// Only say what would be done, or do it again.
    SetDryRun {
        /// Whether the agent runs dry from now on.
        dry_run: bool,
    },
    /// Stop every change on every machine, or allow them again.
    KillSwitch {
        /// Whether the switch is engaged from now on.
        engaged: bool,
    },
    /// The keys to trust from now on, instead of all those trusted before.
    RotateKeys {
        /// 64 hexadecimal characters each; at least one.
        server_public_keys: Vec<String>,
    },
    /// Switch the appliance to another system of NixOS, which has to be signed by a key that its Nix trusts; back by
    /// itself unless the agent confirms it.
    SwitchGeneration {
        /// The system's path in the store, what `nix build` of a configuration's `system.build.toplevel` gives.
        store_path: StorePath,
    },
    /// Take back an order that was accepted and not begun.
    Revoke {
        /// The order to take back.
        order_id: OrderId,
    },
}

impl OrderAction {
    /// The class, as it is written on the wire.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::RunRunbook { .. } => "run_runbook",
            Self::RunCheck { .. } => "run_check",
            Self::SyncNow {} => "sync_now",
            Self::SetDryRun { .. } => "set_dry_run",
            Self::KillSwitch { .. } => "kill_switch",
            Self::RotateKeys { .. } => "rotate_keys",
            Self::SwitchGeneration { .. } => "switch_generation",
            Self::Revoke { .. } => "revoke",
        }
    }
}

/// One order, the payload of a signed envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Names it for acknowledgement and revocation.
    pub order_id: OrderId,
    /// Whom and when it is for.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// The appliance's state that it was made for: one whose state was lost has another, so that an old order
    /// cannot come back.
    pub chain: ChainId,
    /// Until when it may be carried out, once it was accepted.
    pub execute_by: Timestamp,
    /// What it asks for.
    #[serde(flatten)]
    pub action: OrderAction,
    /// Who asked for it, for evidence.
    pub issued_by: String,
    /// Why, for evidence.
    pub reason: String,
}

impl Signed for Order {
    const PAYLOAD_TYPE: &'static str = "application/vnd.msp.order.v1+json";
}

/// Why a correctly signed order is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Its stamp does not hold.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// Made for a state that this appliance no longer has.
    #[error("made for state {found}, this appliance's state is {expected}: it was made before the state was lost")]
    OtherState {
        /// The state it is for.
        found: ChainId,
        /// The state there is.
        expected: ChainId,
    },
    /// It could never be carried out.
    #[error("to be carried out by {execute_by}, it is {now}")]
    TooLate {
        /// Until when it could have been.
        execute_by: Timestamp,
        /// The reader's time.
        now: Timestamp,
    },
    /// Lives longer than this appliance allows.
    #[error("may be accepted for {found} s, this appliance allows {allowed} s (order_ttl)")]
    LivesTooLong {
        /// Its time to live, in seconds.
        found: i64,
        /// The longest allowed, in seconds.
        allowed: i64,
    },
}

impl Order {
    /// Whether `appliance` of `site`, whose state is `chain`, may accept it at `now`. `highest` is the highest
    /// sequence of an order accepted before, `ttl_seconds` the longest time to live that is allowed.
    ///
    /// # Errors
    /// The first reason against it, see [`OrderError`].
    pub fn check(
        &self,
        site: &str,
        appliance: &str,
        chain: &ChainId,
        now: Timestamp,
        highest: Option<Counter>,
        ttl_seconds: i64,
    ) -> Result<(), OrderError> {
        self.stamp.check(site, appliance, now, highest)?;
        if self.chain != *chain {
            return Err(OrderError::OtherState { found: self.chain.clone(), expected: chain.clone() });
        }
        let found = self.stamp.expires.duration_since(self.stamp.issued).as_secs();
        if found > ttl_seconds {
            return Err(OrderError::LivesTooLong { found, allowed: ttl_seconds });
        }
        if now >= self.execute_by {
            return Err(OrderError::TooLate { execute_by: self.execute_by, now });
        }
        Ok(())
    }
}
