//! The people's pages: read only, rendered here, no script.
//!
//! They have a listener of their own, which never serves the agents' API. Until there are logins it
//! binds loopback only, and answers only requests whose Host is a loopback name: otherwise a page on the
//! web could have its own name resolve to this machine and read along in a browser (DNS rebinding).

mod escalations;
mod evidence;
mod executions;
mod frame;
mod incidents;
mod overview;
mod sites;

use crate::store::{Store, StoreError};
use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::IpAddr;
use std::time::Duration;

/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);

/// What every answer carries.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// The people's router.
pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .route("/", get(overview::page))
        .route("/style.css", get(style))
        .fallback(unknown_page)
        .layer(middleware::from_fn(guarded))
        .with_state(store)
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("people/style.css"))
}

async fn unknown_page() -> Response {
    frame::message(StatusCode::NOT_FOUND, "No such page", "There is only the overview, at /.")
}

impl IntoResponse for StoreError {
    fn into_response(self) -> Response {
        tracing::error!(error = %self, "a page could not be made");
        frame::message(StatusCode::SERVICE_UNAVAILABLE, "The database does not answer", &self.to_string())
    }
}

async fn guarded(request: Request, next: Next) -> Response {
    let mut response = if is_loopback_name(request.headers()) {
        let late =
            || frame::message(StatusCode::SERVICE_UNAVAILABLE, "Too slow", "The page took too long. Load it again.");
        tokio::time::timeout(PAGE_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| late())
    } else {
        frame::message(
            StatusCode::MISDIRECTED_REQUEST,
            "Not under this name",
            "This page is only for this machine: open it as http://localhost or http://127.0.0.1 with its port.",
        )
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the one Host header is `localhost` or a loopback address, with any port.
pub(crate) fn is_loopback_name(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
