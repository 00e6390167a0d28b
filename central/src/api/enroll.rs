//! `POST /api/enroll`: a certificate by a one-time token, at a door of its own; a new one under mutual TLS, at the
//! agents'. `GET /api/enroll/ca`, at the first door: the authority, for who knows only its fingerprint.

use super::body::{Artifact, Json};
use super::caller::Caller;
use super::refusal::Refusal;
use super::{Context, bounded, unknown_path, wrong_method};
use crate::clock;
use crate::enroll::{Rate, Refused};
use crate::listen::Remote;
use crate::store::NotEnrolled;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::Limited;
use msp_contracts::api::{self, EnrollReply, EnrollRequest};
use std::sync::Arc;

/// The longest body at the enrolment's door, in bytes; an honest one has about one thousand.
const MAX_BODY: usize = 16 * 1024;

impl Artifact for EnrollRequest {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

/// The router of the enrolment's own door: two calls, and nothing else.
pub(crate) fn router(context: Arc<Context>) -> Router {
    let rate = Arc::new(Rate::default());
    Router::new()
        .route(api::ENROLL, post(by_token))
        .route(api::ENROLL_CA, get(authority))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(move |request, next| guarded(Arc::clone(&rate), request, next)))
        .layer(middleware::from_fn_with_state(Arc::clone(&context), bounded))
        .with_state(context)
}

/// Bounds how often an address calls and how much it may say.
async fn guarded(rate: Arc<Rate>, request: Request, next: Next) -> Response {
    let from = request.extensions().get::<Remote>().map(|remote| remote.0);
    if let Some(Err(seconds)) = from.map(|from| rate.call(from, clock::now())) {
        let message = format!("too many calls from this address: wait {seconds} seconds");
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_calls", message)
            .retry_after(seconds)
            .into_response();
    }
    next.run(request.map(|body| Body::new(Limited::new(body, MAX_BODY)))).await
}

async fn by_token(
    State(context): State<Arc<Context>>,
    Json(request): Json<EnrollRequest>,
) -> Result<axum::Json<EnrollReply>, Refusal> {
    Ok(axum::Json(context.desk.enroll(&context.store, &request, clock::now()).await?))
}

async fn authority(State(context): State<Arc<Context>>) -> Result<Response, Refusal> {
    let authority = context.desk.authority.as_ref().ok_or(Refused::Offline)?;
    let kind = [(CONTENT_TYPE, "application/pem-certificate-chain")];
    Ok((kind, authority.certificate().to_owned()).into_response())
}

/// At the agents' door.
pub(super) async fn renewal(
    who: Caller,
    State(context): State<Arc<Context>>,
    Extension(peer): Extension<super::Peer>,
    Json(request): Json<EnrollRequest>,
) -> Result<axum::Json<EnrollReply>, Refusal> {
    let Ok(identity) = peer.0 else {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "no_identity", format!("{} has no certificate", *who)));
    };
    Ok(axum::Json(context.desk.renew(&context.store, &identity, &request, clock::now()).await?))
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let refused = match refused {
            Refused::Store { source } => return source.into(),
            refused => refused,
        };
        let (status, word, field) = match &refused {
            Refused::Store { .. } => (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", None),
            Refused::Offline => (StatusCode::SERVICE_UNAVAILABLE, "authority_offline", None),
            Refused::NoToken | Refused::TokenAtRenewal => (StatusCode::BAD_REQUEST, "malformed_body", Some("token")),
            Refused::Token { .. } => (StatusCode::BAD_REQUEST, "token_damaged", Some("token")),
            Refused::OtherFleet => (StatusCode::FORBIDDEN, "token_unknown", Some("token")),
            Refused::OtherAppliance { .. } => (StatusCode::FORBIDDEN, "wrong_appliance", Some("appliance")),
            Refused::Field { field, .. } => (StatusCode::BAD_REQUEST, "malformed_body", Some(*field)),
            Refused::Request { .. } => (StatusCode::BAD_REQUEST, "bad_csr", Some("csr")),
            Refused::NotEnrolled { source } => match source {
                NotEnrolled::UnknownToken => (StatusCode::FORBIDDEN, "token_unknown", Some("token")),
                NotEnrolled::ExpiredToken { .. } => (StatusCode::FORBIDDEN, "token_expired", Some("token")),
                NotEnrolled::UsedToken { .. } => (StatusCode::CONFLICT, "token_used", Some("token")),
                NotEnrolled::OtherName { .. } => (StatusCode::FORBIDDEN, "token_for_another", Some("appliance")),
                NotEnrolled::NameNeeded => (StatusCode::BAD_REQUEST, "name_needed", Some("appliance")),
                NotEnrolled::Name(_) => (StatusCode::BAD_REQUEST, "malformed_body", Some("appliance")),
                NotEnrolled::NameTaken { .. } | NotEnrolled::NameKnown { .. } => {
                    (StatusCode::CONFLICT, "name_taken", Some("appliance"))
                }
                NotEnrolled::OtherKey { what } => (StatusCode::CONFLICT, "key_mismatch", Some(*what)),
                NotEnrolled::SameKey => (StatusCode::BAD_REQUEST, "bad_csr", Some("csr")),
                NotEnrolled::Revoked => (StatusCode::FORBIDDEN, "certificate_revoked", None),
                NotEnrolled::Store(_) | NotEnrolled::Pki(_) => {
                    tracing::error!(error = crate::causes::chain(source), "a certificate could not be made");
                    (StatusCode::INTERNAL_SERVER_ERROR, "not_certified", None)
                }
            },
        };
        let refusal = Self::new(status, word, refused.to_string());
        match field {
            Some(field) => refusal.field(field),
            None => refusal,
        }
    }
}
