//! Why a call was refused, as a `Problem` and a status.

use crate::causes::chain;
use crate::orders::IssueError;
use crate::signing::SigningError;
use crate::store::StoreError;
use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use msp_contracts::api::Problem;

/// Seconds after which a call that met a failing database should be sent again.
const RETRY_SECONDS: u16 = 5;

/// A refused call.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Problem,
    retry_after: Option<u16>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        let problem = Problem { error: error.to_owned(), field: None, message: message.into() };
        Self { status, problem, retry_after: None }
    }

    /// Names the field that is wrong.
    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.problem.field = Some(field.into());
        self
    }

    /// Says after how many seconds the call may be sent again.
    pub(crate) fn retry_after(self, seconds: u16) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// A body, query or path names another site or appliance than the certificate.
    pub(crate) fn not_yours(error: &str, field: &str, named: &str, certificate: &str) -> Self {
        let named: String = named.chars().take(80).collect();
        let message = format!(
            "{field} is {named:?}, but the client certificate is of {certificate:?}: an appliance speaks only for itself"
        );
        Self::new(StatusCode::FORBIDDEN, error, message).field(field)
    }

    /// The value of a field is not acceptable.
    pub(crate) fn bad_field(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_body", message).field(field)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // Not the message: it may repeat what was in the body.
        let Problem { error, field, .. } = &self.problem;
        tracing::info!(status = self.status.as_u16(), error, field = ?field, "call refused");
        let mut response = (self.status, Json(self.problem)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = chain(&error), "the database failed");
        if matches!(error, StoreError::Unreadable { .. } | StoreError::Unwritable { .. }) {
            let message = format!("{error}: sending again will not help, a person must look at the server's log");
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "stored_data_unreadable", message);
        }
        let message = format!("{error}: nothing was stored, send it again in {RETRY_SECONDS} seconds");
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", message);
        Self { retry_after: Some(RETRY_SECONDS), ..refusal }
    }
}

impl From<SigningError> for Refusal {
    fn from(error: SigningError) -> Self {
        tracing::error!(error = chain(&error), "signing failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "signing_failed", error.to_string())
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Store(error) => error.into(),
            IssueError::Signing(error) => error.into(),
            // Orders that the server issues by itself: an agent cannot bring these about.
            error => {
                tracing::error!(error = chain(&error), "no order was issued");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "no_order", error.to_string())
            }
        }
    }
}
