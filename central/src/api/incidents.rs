//! `POST /incidents`: something is not as it should be.

use super::Context;
use super::body::{Artifact, Json};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::clock;
use crate::store::Once;
use axum::extract::State;
use axum::http::StatusCode;
use msp_contracts::api::{Incident, IncidentReply};
use std::sync::Arc;

impl Artifact for Incident {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    Json(incident): Json<Incident>,
) -> Result<axum::Json<IncidentReply>, Refusal> {
    who.must_be_of(&incident.site_id, "site_id")?;
    let once = context.store.add_incident(&who, &incident, clock::now()).await?;
    let duplicate = duplicate(once, "incident_id", incident.incident_id.as_str())?;
    Ok(axum::Json(IncidentReply { incident_id: incident.incident_id, duplicate }))
}

/// Whether a record was a duplicate; one that would rewrite another is refused.
pub(super) fn duplicate(once: Once, field: &str, id: &str) -> Result<bool, Refusal> {
    match once {
        Once::Stored => Ok(false),
        Once::Duplicate => Ok(true),
        Once::Conflict => {
            let message = format!(
                "{field} {id} is held with other content: a record is never rewritten, give a new one a new id"
            );
            Err(Refusal::new(StatusCode::CONFLICT, "conflicting_content", message).field(field))
        }
    }
}
