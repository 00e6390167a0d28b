//! The agents' API, over mutual TLS: one file a call, paths and types from `msp_contracts::api`.
//!
//! Site and appliance come from the client's certificate ([`caller`]); a body, query or path that names
//! another is refused with 403. Every refusal is a `Problem` that says what to do ([`refusal`]); a body
//! is bounded and a malformed one is a 4xx that names the field ([`body`]).

mod body;
mod caller;
mod checkin;
mod enroll;
mod escalations;
mod evidence;
mod executions;
mod health;
mod incident_resolve;
mod incidents;
mod order_acknowledge;
mod order_complete;
mod orders_pending;
mod refusal;
mod rules;

pub(crate) use caller::Peer;
pub(crate) use enroll::router as enrolment_router;

use crate::clock;
use crate::enroll::Desk;
use crate::metrics::Metrics;
use crate::signing::Signer;
use crate::store::Store;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use msp_contracts::api;
use refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;

/// What the calls work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) signer: Signer,
    pub(crate) desk: Desk,
    /// How long a call may take, its body's arrival included.
    pub(crate) request_timeout: Duration,
    pub(crate) metrics: Arc<Metrics>,
}

/// The agents' router.
pub(crate) fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route(api::HEALTH, get(health::call))
        .route(api::CHECKIN, post(checkin::call))
        .route(api::ENROLL, post(enroll::renewal))
        .route(api::RULES, get(rules::call))
        .route(api::EVIDENCE, post(evidence::call))
        .route(api::EVIDENCE_ALIAS, post(evidence::call_alias))
        .route(api::INCIDENTS, post(incidents::call))
        .route(api::INCIDENT_RESOLVE, post(incident_resolve::call))
        .route(api::EXECUTIONS, post(executions::call))
        .route(api::ESCALATIONS, post(escalations::call))
        .route(api::ORDERS_PENDING, get(orders_pending::call))
        .route(api::ORDER_ACKNOWLEDGE, post(order_acknowledge::call))
        .route(api::ORDER_COMPLETE, post(order_complete::call))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&context), bounded))
        .with_state(context)
}

async fn unknown_path(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(
        StatusCode::NOT_FOUND,
        "unknown_path",
        format!("there is no {path} here (is the agent newer than this server?)"),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        format!("{path} does not take {method}: GET for reading, POST for reporting"),
    )
}

/// A call's name in the metrics: what an agent chose in the path is no part of it.
fn name(path: Option<&MatchedPath>) -> &'static str {
    match path.map_or("", MatchedPath::as_str) {
        api::HEALTH => "health",
        api::CHECKIN => "checkin",
        api::RULES => "rules",
        api::EVIDENCE | api::EVIDENCE_ALIAS => "evidence",
        api::INCIDENTS => "incident",
        api::INCIDENT_RESOLVE => "incident_resolve",
        api::EXECUTIONS => "execution",
        api::ESCALATIONS => "escalation",
        api::ORDERS_PENDING => "orders_pending",
        api::ORDER_ACKNOWLEDGE => "order_acknowledge",
        api::ORDER_COMPLETE => "order_complete",
        api::ENROLL => "enroll",
        _ => "other",
    }
}

/// Bounds the time of a call, and leaves one line about it and what is to be measured.
async fn bounded(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let call = name(request.extensions().get::<MatchedPath>());
    let begun = clock::instant();
    let response = match tokio::time::timeout(context.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!("the call was not done within {:?}: send it again", context.request_timeout),
        )
        .into_response(),
    };
    context.metrics.call(call, response.status(), begun.elapsed());
    tracing::debug!(%method, path, status = response.status().as_u16(), "call");
    response
}
