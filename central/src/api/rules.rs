//! `GET /agent/sync?site_id=`: the site's level 1 rules, signed for the one appliance that asks.

use super::Context;
use super::caller::Caller;
use super::refusal::Refusal;
use crate::clock;
use crate::store::StampKind;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use msp_contracts::api::RulesReply;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    site_id: String,
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<RulesReply>, Refusal> {
    let Query(asked) = asked.map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "malformed_query", "ask with ?site_id= and the site's id, once")
            .field("site_id")
    })?;
    who.must_be_of(&asked.site_id, "site_id")?;
    let rules = context.store.rules_for(&who.site).await?.ok_or_else(|| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "unknown_site",
            "this site is not registered: issue its appliance with `msp-central issue`",
        )
    })?;
    let sequence = context.store.next_sequence(&who, StampKind::RuleSet).await?;
    let (set, signature) = context.signer.rule_set(&who, sequence, clock::now(), rules)?;
    Ok(Json(RulesReply {
        rules: set.rules,
        healing_tier: set.healing_tier,
        version: set.version,
        expires: set.stamp.expires,
        signature,
    }))
}
