//! Forms: what a browser posts, and whether it was this server's own page that made it post it.
//!
//! Two things must hold together. The browser must say that the page is of this origin (Sec-Fetch-Site, which a page
//! cannot set; Origin where it is told), and the form must carry the token that only a page shown under the same cookie
//! has. Either alone would stop the usual forgery; SameSite=Strict would too.

use super::People;
use super::frame;
use super::secret::Secret;
use super::session::{Cookie, Session};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The longest form that is read, in bytes.
const MAX_FORM: usize = 64 * 1024;

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
}

/// A form of a person who came in.
pub(super) struct Posted<T> {
    pub(super) session: Session,
    pub(super) fields: T,
}

/// A form of somebody who knocks: the login, or a link.
pub(super) struct Knocked<T>(pub(super) T);

fn refused(status: StatusCode, title: &str, text: &str) -> Response {
    frame::message(status, title, text)
}

fn one<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    // Twice is as good as wrong.
    if values.next().is_some() { Some("") } else { Some(first.to_str().unwrap_or("")) }
}

/// Whether the browser says that a page of this very server made it post.
fn is_same_origin(headers: &HeaderMap, tls: bool) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value == "same-origin");
    let scheme = if tls { "https" } else { "http" };
    // Pages tell no referrer, so their forms say Origin: null. That is no more than no Origin at all.
    let origin = one(headers, &ORIGIN).filter(|origin| *origin != "null").map(|origin| {
        one(headers, &HOST).is_some_and(|host| origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")))
    });
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
    }
}

/// The fields of a form, once it is known to be one of ours shown under `secret`.
async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body, secret: &Secret, tls: bool) -> Result<T, Response> {
    if !is_same_origin(headers, tls) {
        tracing::warn!(origin = ?headers.get(ORIGIN), site = ?headers.get("sec-fetch-site"), "form of another origin");
        let text = "Your browser says that another web site sent this form, or does not say who did. Nothing was done. \
                    Open Central Command and use the form there.";
        return Err(refused(StatusCode::FORBIDDEN, "Not from this page", text));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if content_type.split(';').next().is_none_or(|kind| kind.trim() != "application/x-www-form-urlencoded") {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not a form", "Only forms of these pages are taken."));
    }
    let too_long =
        |_| refused(StatusCode::PAYLOAD_TOO_LARGE, "Too long", "The form is longer than 64 KiB. Shorten it.");
    let bytes = axum::body::to_bytes(body, MAX_FORM).await.map_err(too_long)?;
    let unreadable = |_| refused(StatusCode::BAD_REQUEST, "Not readable", "The form's fields cannot be read.");
    let Token { token } = serde_urlencoded::from_bytes(&bytes).map_err(unreadable)?;
    if !secret.admits(&token) {
        let text =
            "This form was made for another session. Nothing was done. Go back, load the page again, and repeat.";
        return Err(refused(StatusCode::FORBIDDEN, "The form is out of date", text));
    }
    serde_urlencoded::from_bytes(&bytes).map_err(|error| {
        refused(
            StatusCode::BAD_REQUEST,
            "A field is missing",
            &format!("The form was not understood: {error}. Nothing was done."),
        )
    })
}

impl<T: DeserializeOwned> FromRequest<Arc<People>> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, people: &Arc<People>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let session = Session::from_request_parts(&mut parts, people).await?;
        let fields = read(&parts.headers, body, &session.secret, people.tls).await?;
        Ok(Self { session, fields })
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<People>> for Knocked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, people: &Arc<People>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let Some(secret) = Cookie::Knock.read(&parts.headers, people.tls) else {
            let text = "The cookie that this form came with is not there: allow cookies for this site, load the page \
                        again, and repeat.";
            return Err(refused(StatusCode::FORBIDDEN, "The form is out of date", text).into_response());
        };
        Ok(Self(read(&parts.headers, body, &secret, people.tls).await?))
    }
}
