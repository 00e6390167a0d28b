//! `POST /api/escalations`: a person is needed.

use super::Context;
use super::body::{Artifact, Json, check_id};
use super::caller::Caller;
use super::incidents::duplicate;
use super::refusal::Refusal;
use crate::clock;
use axum::extract::State;
use msp_contracts::api::{Escalation, EscalationReply};
use std::sync::Arc;

impl Artifact for Escalation {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    Json(escalation): Json<Escalation>,
) -> Result<axum::Json<EscalationReply>, Refusal> {
    who.must_be_of(&escalation.site_id, "site_id")?;
    check_id("ticket_id", &escalation.ticket_id)?;
    let once = context.store.add_escalation(&who, &escalation, clock::now()).await?;
    let duplicate = duplicate(once, "ticket_id", &escalation.ticket_id)?;
    Ok(axum::Json(EscalationReply { ticket_id: escalation.ticket_id, duplicate }))
}
