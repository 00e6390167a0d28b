//! Central Command in the hands of a test: it signs with the real key whatever the test wants, and keeps what it is
//! told. What the agent makes of a server that lies, withholds or repeats itself is asked through it.

use crate::stand_in::{Asked, StandIn, answer};
use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use msp_contracts::api::{CheckinReply, CheckinRequest, OrderCompletion, WindowsTarget};
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::ids::{ChainId, Counter, OrderId};
use msp_contracts::keys::{self, SigningKey};
use msp_contracts::order::{Order, OrderAction};
use msp_contracts::signed::{Freshness, Stamp};
use msp_lab::clinic::{Clinic, SITE};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lab's appliance.
pub const APPLIANCE: &str = "appliance-1";

/// What it answers next, and what it was told.
#[derive(Debug)]
pub struct Says {
    /// The entries of the list of pending orders, as they are sent.
    pub pending: Vec<Value>,
    /// Whether the check-in's reply engages the kill switch.
    pub kill_switch: bool,
    /// How long a freshness stamp is good for; `None` sends one that was sent before.
    pub fresh_for: Option<SignedDuration>,
    /// How far its clock is ahead of this machine's.
    pub ahead: SignedDuration,
    /// The inventory.
    pub targets: Vec<WindowsTarget>,
    /// The key it signs with.
    pub key: SigningKey,
    /// The agent's state, as its last check-in named it.
    pub chain: Option<ChainId>,
    /// The completions it was told, in order.
    pub completions: Vec<OrderCompletion>,
    /// The ids of the orders that were acknowledged.
    pub acknowledged: Vec<String>,
    sequence: u64,
}

/// Central Command in the hands of a test.
#[derive(Debug)]
pub struct Puppet {
    server: StandIn,
    says: Arc<Mutex<Says>>,
    orders: u64,
}

/// This machine's time.
#[allow(clippy::disallowed_methods, reason = "what a test signs has to be of now")]
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

impl Puppet {
    /// Stands in the place of the clinic's Central Command, which does not run, and signs with its key. The clinic has
    /// been founded.
    ///
    /// # Errors
    /// When its key or certificate cannot be read.
    pub async fn start(clinic: &Clinic, targets: Vec<WindowsTarget>) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(clinic.path().join("central/signing.pem")).context("the signing key")?;
        let says = Arc::new(Mutex::new(Says {
            pending: Vec::new(),
            kill_switch: false,
            fresh_for: Some(SignedDuration::from_mins(15)),
            ahead: SignedDuration::ZERO,
            targets,
            key: keys::private_from_pem(&pem)?,
            chain: None,
            completions: Vec::new(),
            acknowledged: Vec::new(),
            sequence: 0,
        }));
        let shared = Arc::clone(&says);
        let server = StandIn::start(&clinic.central_dir(), "127.0.0.1:0", move |asked, _| {
            let mut says = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match says.reply(asked) {
                Some(body) => answer("200 OK", "content-type: application/json\r\n", &body),
                None => answer("503 Service Unavailable", "", b""),
            }
        })
        .await?;
        Ok(Self { server, says, orders: 0 })
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> &str {
        self.server.address()
    }

    /// What it says, to be changed.
    pub fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An honest order: for this appliance, its state, 15 minutes from now, with the next sequence.
    ///
    /// # Panics
    /// Before the agent has checked in.
    #[allow(clippy::expect_used, reason = "called by tests only")]
    pub fn order(&mut self, action: OrderAction) -> Order {
        self.orders += 1;
        let issued = now();
        Order {
            schema_version: 1,
            order_id: OrderId::from_random([0, 0, 0, 0, 0, u8::try_from(self.orders).expect("few orders")]),
            stamp: Stamp {
                site_id: SITE.to_owned(),
                appliance: APPLIANCE.to_owned(),
                issued,
                expires: issued + SignedDuration::from_mins(15),
                sequence: Counter(self.orders),
            },
            chain: self.says().chain.clone().expect("the agent has checked in"),
            execute_by: issued + SignedDuration::from_hours(1),
            action,
            issued_by: "ada".to_owned(),
            reason: "a test".to_owned(),
        }
    }

    /// Signs an order.
    ///
    /// # Panics
    /// Never for an order.
    #[allow(clippy::expect_used, reason = "called by tests only")]
    #[must_use]
    pub fn sign(&self, order: &Order) -> Envelope {
        order.sign(&self.says().key).expect("an order can be signed")
    }

    /// Sends these bytes under the id of this order, with every pull from now on.
    pub fn send(&self, id: &OrderId, envelope: &impl serde::Serialize) {
        self.says().pending.push(json!({ "order_id": id, "envelope": envelope }));
    }

    /// Signs and sends an honest order.
    pub fn give(&mut self, action: OrderAction) -> Order {
        let order = self.order(action);
        self.send(&order.order_id, &self.sign(&order));
        order
    }

    /// How an order was completed, when it was.
    #[must_use]
    pub fn completion(&self, id: &OrderId) -> Option<OrderCompletion> {
        self.says().completions.iter().find(|one| one.order_id == *id).cloned()
    }
}

impl Says {
    fn reply(&mut self, asked: &Asked) -> Option<Vec<u8>> {
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        if asked.line.contains("/checkin") {
            let request: CheckinRequest = serde_json::from_value(body).ok()?;
            self.chain = request.agent.map(|agent| agent.chain);
            return serde_json::to_vec(&self.checkin()?).ok();
        }
        if asked.line.contains("/orders/pending") {
            return serde_json::to_vec(&json!({ "schema_version": 1, "orders": self.pending })).ok();
        }
        if asked.line.starts_with("POST /api/orders/") {
            let id = body["order_id"].as_str()?.to_owned();
            if asked.line.ends_with("/acknowledge") {
                self.acknowledged.push(id.clone());
            } else {
                self.completions.push(serde_json::from_value(body).ok()?);
            }
            return serde_json::to_vec(&json!({ "order_id": id, "duplicate": false })).ok();
        }
        None
    }

    fn checkin(&mut self) -> Option<CheckinReply> {
        let now = now() + self.ahead;
        if self.fresh_for.is_some() {
            self.sequence += 1;
        }
        let stamp = Stamp {
            site_id: SITE.to_owned(),
            appliance: APPLIANCE.to_owned(),
            issued: now,
            expires: now + self.fresh_for.unwrap_or(SignedDuration::from_mins(15)),
            sequence: Counter(self.sequence),
        };
        let targets = self.targets.clone();
        let freshness = Freshness { schema_version: 1, stamp, windows_targets: targets.clone() };
        Some(CheckinReply {
            schema_version: 1,
            windows_targets: targets,
            orders: vec![],
            kill_switch: self.kill_switch,
            kill_switch_reason: self.kill_switch.then(|| "a drill".to_owned()),
            server_time: now,
            freshness: freshness.sign(&self.key).ok()?,
        })
    }
}
