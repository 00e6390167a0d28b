//! The people's pages: rendered here, complete without a script, kept fresh by a small one where there is one.
//!
//! They have a listener of their own, which never serves the agents' API. Everything but the login and the assets asks
//! for a session ([`session`]), every form for its token and its origin ([`form`]), and every action leaves a row in
//! the audit trail. The policy of the pages admits no inline script, no inline style and no frame.

mod account;
mod appliance;
mod assets;
mod attempts;
mod audit;
mod bundle;
mod catalogue;
mod chain;
mod evidence;
mod fleet;
mod form;
mod frame;
mod incident;
mod incidents;
mod live;
mod login;
mod order_form;
mod orders;
pub(crate) mod password;
mod persons;
mod rules;
pub(crate) mod secret;
mod session;
mod site;
mod states;
mod stop;
mod story;
mod trouble;
mod verify;
mod words;

pub(crate) use login::plain_name;

use crate::orders::IssueError;
use crate::signing::{Signer, SigningError};
use crate::store::{Store, StoreError};
use attempts::Attempts;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use password::{Hasher, PasswordError};
use secret::NoRandomness;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);

/// What every answer carries.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];
/// Two years, as browsers ask for at least one.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What the pages work with.
pub(crate) struct People {
    store: Store,
    signer: Signer,
    hasher: Hasher,
    attempts: Attempts,
    /// Counts up when anything in the store changes.
    changes: watch::Receiver<u64>,
    stop: CancellationToken,
    /// Whether the listener speaks TLS; else it is on loopback.
    tls: bool,
}

impl People {
    pub(crate) fn new(
        store: Store,
        signer: Signer,
        changes: watch::Receiver<u64>,
        stop: CancellationToken,
        tls: bool,
    ) -> Self {
        Self { store, signer, hasher: Hasher::new(), attempts: Attempts::default(), changes, stop, tls }
    }
}

/// A page that could not be made.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// No order was issued, or no switch changed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// There is nothing under this address.
    #[error("{what}")]
    Missing {
        /// What there is not, as a sentence.
        what: String,
    },
    /// What was asked for cannot be done.
    #[error("{why}")]
    Refused {
        /// Why, and what to do, as sentences.
        why: String,
    },
}

impl Failure {
    fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into() }
    }

    fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match &self {
            Self::Missing { what } => frame::message(StatusCode::NOT_FOUND, "Not here", what),
            Self::Issue(IssueError::Cannot(_) | IssueError::Lint(_)) => {
                frame::message(StatusCode::CONFLICT, "Not done", &format!("{self}."))
            }
            Self::Refused { why } => frame::message(StatusCode::CONFLICT, "Not done", why),
            _ => {
                tracing::error!(error = &self as &dyn std::error::Error, "a page could not be made");
                let text = format!("{self}. The server's log says more.");
                frame::message(StatusCode::SERVICE_UNAVAILABLE, "This could not be shown", &text)
            }
        }
    }
}

impl IntoResponse for StoreError {
    fn into_response(self) -> Response {
        Failure::Store(self).into_response()
    }
}

/// The people's router.
pub(crate) fn router(people: Arc<People>) -> Router {
    Router::new()
        .route("/", get(fleet::page))
        .route("/sites/{site}", get(site::page))
        .route("/sites/{site}/appliances/{appliance}", get(appliance::page))
        .route("/incidents", get(incidents::page))
        .route("/incidents/{site}/{appliance}/{incident}", get(incident::page))
        .route("/evidence", get(evidence::page))
        .route("/evidence/{site}/{appliance}/{chain}", get(chain::page))
        .route("/evidence/{site}/{appliance}/{chain}/{sequence}", get(bundle::page))
        .route("/evidence/{site}/{appliance}/{chain}/{sequence}/envelope", get(bundle::envelope))
        .route("/evidence/{site}/{appliance}/{chain}/{sequence}/receipt", get(bundle::receipt))
        .route("/orders", get(orders::page))
        .route("/orders/new", get(order_form::page).post(order_form::issue))
        .route("/orders/revoke", post(orders::revoke))
        .route("/kill-switch", get(stop::page))
        .route("/kill-switch/engage", post(stop::engage))
        .route("/kill-switch/release", post(stop::release))
        .route("/rules", get(rules::page))
        .route("/people", get(persons::page))
        .route("/people/disable", post(persons::disable))
        .route("/people/enable", post(persons::enable))
        .route("/account", get(account::page))
        .route("/account/password", post(account::set_password))
        .route("/account/sessions/end", post(account::end_sessions))
        .route("/audit", get(audit::page))
        .route("/live", get(live::stream))
        .route("/login", get(login::show).post(login::attempt))
        .route("/link", post(login::use_link))
        .route("/link/{link}", get(login::show_link))
        .route("/logout", post(login::leave))
        .route("/assets/{name}", get(assets::serve))
        .fallback(unknown_page)
        .method_not_allowed_fallback(unknown_page)
        .layer(middleware::from_fn_with_state(Arc::clone(&people), guarded))
        .with_state(people)
}

async fn unknown_page() -> Response {
    frame::message(StatusCode::NOT_FOUND, "No such page", "There is nothing under this address.")
}

async fn guarded(State(people): State<Arc<People>>, request: Request, next: Next) -> Response {
    let mut response = if people.tls || is_loopback_name(request.headers()) {
        let late =
            || frame::message(StatusCode::SERVICE_UNAVAILABLE, "Too slow", "The page took too long. Load it again.");
        tokio::time::timeout(PAGE_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| late())
    } else {
        frame::message(
            StatusCode::MISDIRECTED_REQUEST,
            "Not under this name",
            "Without TLS this server is for this machine only: open it as http://localhost or http://127.0.0.1 with its port.",
        )
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if people.tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
    response
}

/// Whether the one Host header is `localhost` or a loopback address, with any port. Without TLS nothing else tells a
/// browser's own machine from a name on the web that was made to resolve to it (DNS rebinding).
pub(crate) fn is_loopback_name(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
