//! `POST /incidents/{id}/resolve`: an incident is over. The first word stands; a second is a duplicate.

use super::Context;
use super::body::{Artifact, Json};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::store::Resolved;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use msp_contracts::api::{IncidentReply, IncidentResolution};
use msp_contracts::ids::IncidentId;
use std::sync::Arc;

impl Artifact for IncidentResolution {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    id: Result<Path<String>, PathRejection>,
    Json(resolution): Json<IncidentResolution>,
) -> Result<axum::Json<IncidentReply>, Refusal> {
    let malformed = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "malformed_path", message).field("id");
    let Path(id) = id.map_err(|error| malformed(error.to_string()))?;
    let incident_id = IncidentId::try_from(id).map_err(|error| malformed(error.to_string()))?;
    let duplicate = match context.store.resolve_incident(&who, &incident_id, &resolution).await? {
        Resolved::Now => false,
        Resolved::Before => true,
        Resolved::Unknown => {
            let message = format!("{incident_id} was never reported by this appliance: report the incident first");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown_incident", message).field("id"));
        }
    };
    Ok(axum::Json(IncidentReply { incident_id, duplicate }))
}
