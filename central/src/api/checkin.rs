//! `POST /api/appliances/checkin`: an appliance is there, and learns what it looks after.
//!
//! The first check-in pins the keys that enrolment has not pinned (the one that signs the appliance's evidence, the one
//! that credentials are encrypted to); another key later is 409.

use super::Context;
use super::body::{Artifact, Json};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::clock;
use crate::enroll;
use crate::store::KeyMismatch;
use axum::extract::State;
use axum::http::StatusCode;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{CheckinReply, CheckinRequest};
use msp_contracts::keys;
use std::sync::Arc;

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
    if let Some(recipient) = &request.agent_encryption_key {
        let field = "agent_encryption_key";
        enroll::recipient(recipient).map_err(|reason| Refusal::bad_field(field, format!("{field}: {reason}")))?;
    }
    let now = clock::now();
    let checked_in = match context.store.check_in(&who, &request, &keys::public_to_hex(&key), now).await? {
        Ok(checked_in) => checked_in,
        Err(mismatch) => return Err(key_mismatch(&who, &mismatch)),
    };
    let freshness = context.signer.freshness(&who, checked_in.sequence, &checked_in.targets, now)?;
    Ok(axum::Json(CheckinReply {
        schema_version: SCHEMA_VERSION,
        windows_targets: checked_in.targets,
        orders: vec![],
        kill_switch: false,
        kill_switch_reason: None,
        server_time: now,
        freshness,
    }))
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
