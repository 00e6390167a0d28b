//! `POST /api/agent/executions`: what was carried out or refused, and how long it took.

use super::Context;
use super::body::{Artifact, Json, check_id};
use super::caller::Caller;
use super::incidents::duplicate;
use super::refusal::Refusal;
use crate::clock;
use axum::extract::State;
use msp_contracts::api::{Execution, ExecutionReply};
use std::sync::Arc;

impl Artifact for Execution {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    Json(execution): Json<Execution>,
) -> Result<axum::Json<ExecutionReply>, Refusal> {
    who.must_be_of(&execution.site_id, "site_id")?;
    check_id("execution_id", &execution.execution_id)?;
    let once = context.store.add_execution(&who, &execution, clock::now()).await?;
    let duplicate = duplicate(once, "execution_id", &execution.execution_id)?;
    Ok(axum::Json(ExecutionReply { execution_id: execution.execution_id, duplicate }))
}
