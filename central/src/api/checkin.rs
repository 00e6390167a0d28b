//! `POST /api/appliances/checkin`: an appliance is there, and learns what it looks after and what waits for it.
//!
//! The first check-in pins the keys that enrolment has not pinned (the one that signs the appliance's evidence, the one
//! that credentials are encrypted to); another key later is 409. One that reports itself stopped although nothing stops
//! it any more is issued its release here.

use super::Context;
use super::body::{Artifact, Json};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::clock;
use crate::enroll;
use crate::kill_switch;
use crate::store::KeyMismatch;
use axum::extract::State;
use axum::http::StatusCode;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{AgentReport, CheckinReply, CheckinRequest};
use msp_contracts::keys;
use std::sync::Arc;

/// How many rules that did not load an agent reports at most.
const MAX_QUARANTINED: usize = 50;

impl Artifact for CheckinRequest {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    Json(request): Json<CheckinRequest>,
) -> Result<axum::Json<CheckinReply>, Refusal> {
    who.must_be_of(&request.site_id, "site_id")?;
    let field = "agent_public_key";
    let key = keys::public_from_hex(&request.agent_public_key)
        .map_err(|error| Refusal::bad_field(field, format!("{field}: {error}")))?;
    if key.is_weak() {
        return Err(Refusal::bad_field(field, format!("{field} is a weak key: make a new one")));
    }
    request.agent_encryption_key.as_deref().map_or(Ok(()), recipient)?;
    request.agent.as_ref().map_or(Ok(()), report)?;
    let now = clock::now();
    let checked_in = match context.store.check_in(&who, &request, &keys::public_to_hex(&key), now).await? {
        Ok(checked_in) => checked_in,
        Err(mismatch) => return Err(key_mismatch(&who, &mismatch)),
    };
    let orders = if checked_in.release_is_due {
        kill_switch::release_returned(&context.store, &context.signer, &who, now).await?;
        context.store.pending_orders(&who, now).await?
    } else {
        checked_in.orders
    };
    let freshness = context.signer.freshness(&who, checked_in.sequence, &checked_in.targets, now)?;
    Ok(axum::Json(CheckinReply {
        schema_version: SCHEMA_VERSION,
        windows_targets: checked_in.targets,
        orders,
        kill_switch: checked_in.kill_switch.is_some(),
        kill_switch_reason: checked_in.kill_switch,
        server_time: now,
        freshness,
    }))
}

fn recipient(key: &str) -> Result<(), Refusal> {
    let field = "agent_encryption_key";
    let read = enroll::recipient(key).map(drop);
    read.map_err(|reason| Refusal::bad_field(field, format!("{field} is {reason}: make a new one")))
}

fn report(report: &AgentReport) -> Result<(), Refusal> {
    let count = report.quarantined.len();
    if count <= MAX_QUARANTINED {
        return Ok(());
    }
    let field = "agent.quarantined";
    Err(Refusal::bad_field(field, format!("{field} has {count} entries: report the first {MAX_QUARANTINED}")))
}

fn key_mismatch(who: &Caller, mismatch: &KeyMismatch) -> Refusal {
    tracing::warn!(site = who.site, appliance = who.appliance, "check-in with another key than the pinned one");
    let pinned: String = mismatch.pinned.chars().take(12).collect();
    let message = format!(
        "another key ({pinned}...) is pinned for this appliance. If it was set up anew, release the old key with \
         `msp-central appliance forget-key --dir DIR --site {} {}`; if not, somebody else holds its certificate",
        who.site, who.appliance
    );
    Refusal::new(StatusCode::CONFLICT, "key_mismatch", message).field(mismatch.field)
}
