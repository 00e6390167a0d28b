//! Who is asking: the session behind a request, its cookie, and the way to the login when there is none.
//!
//! Over TLS the cookie is `__Host-session`: Secure, HttpOnly, SameSite=Strict, for this host and no other. On loopback
//! without TLS browsers do not agree about Secure, so there it goes by another name and without it.

use super::People;
use super::secret::Secret;
use crate::clock;
use crate::listen::Remote;
use crate::store::{Actor, SessionRow, StoreError};
use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Sent by the page's own script when it looks for news: nobody is at the keyboard for that.
pub(super) const LOOKING: &str = "msp-live";

/// Which cookie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cookie {
    /// Of a person who came in.
    Session,
    /// Of a browser that is shown the login's form.
    Knock,
}

impl Cookie {
    fn name(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Session, true) => "__Host-session",
            (Self::Session, false) => "msp-session",
            (Self::Knock, true) => "__Host-knock",
            (Self::Knock, false) => "msp-knock",
        }
    }

    /// The secret in this cookie; a cookie that is there twice is nobody's.
    pub(super) fn read(self, headers: &HeaderMap, tls: bool) -> Option<Secret> {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = pairs.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == self.name(tls)).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Secret::parse(value),
            _ => None,
        }
    }

    /// Sets it until the browser is closed.
    pub(super) fn set(self, headers: &mut HeaderMap, secret: &Secret, tls: bool) {
        self.put(headers, secret.reveal(), "", tls);
    }

    /// Takes it away.
    pub(super) fn clear(self, headers: &mut HeaderMap, tls: bool) {
        self.put(headers, "", "; Max-Age=0", tls);
    }

    fn put(self, headers: &mut HeaderMap, value: &str, further: &str, tls: bool) {
        let secure = if tls { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{further}", self.name(tls));
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(SET_COOKIE, value);
        }
    }
}

/// The address a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) IpAddr);

impl Caller {
    pub(super) fn of(extensions: &axum::http::Extensions) -> Self {
        let from = extensions.get::<Remote>().map(|Remote(address)| address.to_canonical());
        Self(from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// Somebody of this name, from here and now.
    pub(super) fn actor(self, name: &str) -> Actor {
        Actor { name: name.to_owned(), address: self.0.to_string(), at: clock::now() }
    }
}

/// A person who came in.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) row: SessionRow,
    pub(super) secret: Secret,
    pub(super) caller: Caller,
}

impl Session {
    pub(super) fn person(&self) -> &str {
        &self.row.person
    }

    /// This person as who acts now.
    pub(super) fn actor(&self) -> Actor {
        self.caller.actor(self.person())
    }

    /// The session behind a request.
    pub(super) async fn find(people: &People, parts: &Parts) -> Result<Option<Self>, StoreError> {
        let Some(secret) = Cookie::Session.read(&parts.headers, people.tls) else { return Ok(None) };
        let seen = !parts.headers.contains_key(LOOKING);
        let row = people.store.session(&secret.hash(), clock::now(), seen).await?;
        Ok(row.map(|row| Self { row, secret, caller: Caller::of(&parts.extensions) }))
    }
}

impl FromRequestParts<Arc<People>> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, people: &Arc<People>) -> Result<Self, Response> {
        match Self::find(people, parts).await {
            Ok(Some(session)) => Ok(session),
            Ok(None) => Err(absent(parts)),
            Err(error) => Err(error.into_response()),
        }
    }
}

/// The way to the login; back to this page afterwards when it was one to look at.
fn absent(parts: &Parts) -> Response {
    if parts.headers.contains_key(LOOKING) {
        return (StatusCode::UNAUTHORIZED, "the session is over: log in again").into_response();
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let wanted = (parts.method == Method::GET && path != "/").then(|| serde_urlencoded::to_string([("next", path)]));
    let login = match wanted {
        Some(Ok(query)) => format!("/login?{query}"),
        _ => "/login".to_owned(),
    };
    see_other(&login)
}

/// After a form: another page, by GET. Only a path of this server is followed.
pub(super) fn see_other(path: &str) -> Response {
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// `next`, when it is a path of this server; a browser would take `//host` and `/\host` for another one.
pub(super) fn local(next: &str) -> &str {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with('/') && !next.starts_with("//") { next } else { "/" }
}
