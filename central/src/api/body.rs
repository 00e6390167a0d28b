//! Bodies: JSON of at most 1 MiB, of the schema that is understood; an error names the field's path.

use super::refusal::Refusal;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use msp_contracts::SCHEMA_VERSION;
use serde::de::DeserializeOwned;

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How much of a body that is too long is thrown away so that its sender still hears why, in bytes.
const MAX_DRAINED: usize = 8 * 1024 * 1024;
/// The longest id that an agent may choose, in bytes. A UUID has 36.
const MAX_ID: usize = 128;

/// A request that carries the version of its shape.
pub(super) trait Artifact: DeserializeOwned {
    fn schema_version(&self) -> u32;
}

/// A body, read and understood.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Artifact, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            let message = "the body must be JSON: send Content-Type: application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
        }
        let value: T = parse(&read(request.into_body()).await?, "")?;
        let found = value.schema_version();
        if found != SCHEMA_VERSION {
            let message = format!(
                "schema_version is {found}, this server understands {SCHEMA_VERSION}: bring agent and server to the same release"
            );
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "unsupported_schema", message).field("schema_version"));
        }
        Ok(Self(value))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn read(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let cut = |_| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "malformed_body",
                "the body ended before it was complete: send it again",
            )
        };
        let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= MAX_BODY {
            bytes.extend_from_slice(&data);
        } else if length > MAX_DRAINED {
            break;
        }
    }
    if length <= MAX_BODY {
        return Ok(bytes);
    }
    let message =
        format!("the body is longer than {MAX_BODY} bytes: split the report, or leave out what is not needed");
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message))
}

/// Reads JSON; `prefix` is put before the path of the field that is wrong.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], prefix: &str) -> Result<T, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let reason = error.inner().to_string();
        let place = error.path().to_string();
        let place = if place == "." { "" } else { place.as_str() };
        // A missing field is reported at the object that lacks it; what helps is the field's own name.
        let missing = reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()).unwrap_or("");
        let path: Vec<&str> = [prefix, place, missing].into_iter().filter(|part| !part.is_empty()).collect();
        let path = path.join(".");
        if path.is_empty() {
            let message = format!("the body is no JSON of the expected shape: {reason}");
            return Refusal::new(StatusCode::BAD_REQUEST, "malformed_body", message);
        }
        Refusal::bad_field(&path, format!("{path}: {reason}"))
    })?;
    let trailing = |error: serde_json::Error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            format!("the body goes on after its JSON value: {error}"),
        )
    };
    deserializer.end().map_err(trailing)?;
    Ok(value)
}

/// Checks an id that the agent chose.
pub(super) fn check_id(field: &str, id: &str) -> Result<(), Refusal> {
    if (1..=MAX_ID).contains(&id.len()) {
        return Ok(());
    }
    Err(Refusal::bad_field(field, format!("{field} has {} bytes: an id has 1 to {MAX_ID} (a UUID)", id.len())))
}
