//! What happens to an order, each in the transaction of what it changes: refused, accepted, over.

use super::Recorder;
use crate::model::Plan;
use crate::prove::bundle::Draft;
use crate::redact;
use crate::store::orders::{self, State, WaitsFor};
use crate::store::{StoreError, facts, outbox};
use jiff::SignedDuration;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api;
use msp_contracts::evidence::Target;
use msp_contracts::ids::OrderId;
use msp_contracts::order::Order;
use msp_contracts::outcome::Detail;
use serde_json::{Value, json};

/// This many refused orders an hour leave evidence; what comes beyond is only logged, so that a flood of forged orders
/// does not drown the chain.
const REFUSALS_PROVED_AN_HOUR: u64 = 30;

/// How an order ended.
pub struct Over<'a> {
    pub state: State,
    pub detail: Detail,
    pub error: Option<&'a str>,
    /// What came of it, for whoever gave it.
    pub result: Value,
}

impl Over<'_> {
    /// It was done, and nothing on a machine had to be changed for it.
    pub fn done(result: Value) -> Self {
        Self { state: State::Done, detail: Detail::NoChange, error: None, result }
    }
}

impl Recorder<'_> {
    /// An order was refused. Returns whether it left evidence.
    pub fn order_refused(
        &self,
        appliance: &Target,
        hash: &str,
        claimed_id: &str,
        order: Option<&Order>,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let hour_ago = self.now - SignedDuration::from_hours(1);
        let proved = orders::refused_since(self.db, hour_ago, self.now)? < REFUSALS_PROVED_AN_HOUR;
        let id = order.map_or(claimed_id, |order| order.order_id.as_str());
        orders::refused(self.db, hash, id, order.map(|order| order.action.class()), reason, self.now)?;
        if proved {
            let over = Over { state: State::Refused, detail: Detail::Failed, error: Some(reason), result: Value::Null };
            let asked = order.map_or_else(|| json!({ "order_id": claimed_id, "envelope_sha256": hash }), |o| json!(o));
            self.prove(Draft::order(appliance, asked, order, &over, self.now))?;
        }
        // What never had a sound id cannot be reported under one.
        if let Ok(id) = OrderId::try_from(id.to_owned()) {
            self.owe_completion(
                &id,
                &format!("{id}/refused/{}", hash.get(..16).unwrap_or(hash)),
                false,
                &Value::Null,
                Some(reason),
            )?;
        }
        Ok(proved)
    }

    /// An order was accepted: its sequence and itself are stored before anything is done about it.
    pub fn order_accepted(&self, came: (&str, &str), order: &Order, waits: &WaitsFor) -> Result<(), StoreError> {
        facts::set(self.db, facts::ORDERS_SEQUENCE, &order.stamp.sequence.to_string())?;
        orders::accepted(self.db, came, order, waits, self.now)?;
        let id = &order.order_id;
        let body = api::OrderAcknowledgement { schema_version: SCHEMA_VERSION, order_id: id.clone() };
        let path = api::ORDER_ACKNOWLEDGE.replace("{id}", id.as_str());
        outbox::owe(self.db, outbox::Kind::Order, &format!("{id}/acknowledge"), &path, &body, self.now)
    }

    /// An accepted order is over, one way or the other.
    pub fn order_over(&self, about: &Target, order: &Order, over: &Over<'_>) -> Result<(), StoreError> {
        let id = &order.order_id;
        orders::moved(self.db, id.as_str(), over.state, over.error, self.now)?;
        let evidence_id = self.prove(Draft::order(about, json!(order), Some(order), over, self.now))?;
        let mut result = over.result.clone();
        if let Value::Object(result) = &mut result {
            result.insert("outcome".to_owned(), over.detail.as_str().into());
            result.insert("order_evidence_id".to_owned(), evidence_id.to_string().into());
        }
        self.owe_completion(id, &format!("{id}/complete"), over.state == State::Done, &result, over.error)
    }

    /// A plan that an order asked for has ended.
    pub(super) fn plan_over(
        &self,
        plan: &Plan,
        detail: Detail,
        error: Option<&str>,
        result: Value,
    ) -> Result<(), StoreError> {
        let Some(asked) = &plan.order else { return Ok(()) };
        let Some((_, order)) = orders::was_accepted(self.db, asked.order_id.as_str())? else { return Ok(()) };
        let done = matches!(detail, Detail::Fixed | Detail::NoChange | Detail::RebootRequired | Detail::Pending);
        let state = if done { State::Done } else { State::Failed };
        self.order_over(&plan.target, &order, &Over { state, detail, error, result })
    }

    fn owe_completion(
        &self,
        id: &OrderId,
        key: &str,
        success: bool,
        result: &Value,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let body = api::OrderCompletion {
            schema_version: SCHEMA_VERSION,
            order_id: id.clone(),
            success,
            result: result.clone(),
            error_message: error.map(redact::text),
        };
        let path = api::ORDER_COMPLETE.replace("{id}", id.as_str());
        outbox::owe(self.db, outbox::Kind::Order, key, &path, &body, self.now)
    }
}
