//! The HTTP side of the drift interface: `GET /state`, `GET /ledger`, `POST /drift`.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Drift;
use crate::windows::Machine;

/// The largest body of a request, in bytes.
const LARGEST_BODY: usize = 16 * 1024;

/// Why a drift was not brought about.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the body is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    #[error("the body is not an object with a field 'kind'")]
    NoKind,
    #[error("field '{field}': {message}")]
    Field { field: String, message: String },
}

/// Answers one request.
pub(crate) async fn answer(
    machine: &Machine,
    request: Request<Incoming>,
    body_timeout: Duration,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/state") => {
            let state = machine.state();
            json_answer(StatusCode::OK, &json!({ "admits_winrm": state.admits_winrm(), "state": state }))
        }
        (&Method::GET, "/ledger") => json_answer(StatusCode::OK, &json!({ "entries": machine.ledger() })),
        (&Method::POST, "/drift") => {
            let body = Limited::new(request.into_body(), LARGEST_BODY).collect();
            match tokio::time::timeout(body_timeout, body).await {
                Ok(Ok(body)) => apply(machine, &body.to_bytes()),
                Ok(Err(_)) => refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broke off"),
                Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            }
        }
        (_, "/state" | "/ledger" | "/drift") => {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET /state, GET /ledger or POST /drift")
        }
        _ => refuse(StatusCode::NOT_FOUND, "use GET /state, GET /ledger or POST /drift"),
    }
}

fn apply(machine: &Machine, body: &[u8]) -> Response<Full<Bytes>> {
    let result = parse(body).and_then(|drift| {
        drift.apply(machine).map_err(|e| Refused::Field { field: e.field.to_owned(), message: e.to_string() })
    });
    match result {
        Ok(changed) => json_answer(StatusCode::OK, &json!({ "changed": changed })),
        Err(refused) => refuse(StatusCode::BAD_REQUEST, &refused.to_string()),
    }
}

/// Reads `{"kind": "...", ...}`. Serde wants the kind as the name around the fields, which also lets an error name its field.
fn parse(body: &[u8]) -> Result<Drift, Refused> {
    let value: Value = serde_json::from_slice(body).map_err(Refused::NotJson)?;
    let Value::Object(mut fields) = value else {
        return Err(Refused::NoKind);
    };
    let Some(Value::String(kind)) = fields.remove("kind") else {
        return Err(Refused::NoKind);
    };
    let tagged = json!({ kind.clone(): fields });
    serde_path_to_error::deserialize(&tagged).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner().to_string();
        // The path is `kind.field`; an error about the kind itself has none.
        let field = match path.split_once('.') {
            Some((_, field)) if !field.is_empty() => field.to_owned(),
            _ if inner.starts_with("unknown variant") => "kind".to_owned(),
            _ => named_in(&inner).unwrap_or_else(|| "kind".to_owned()),
        };
        Refused::Field { field, message: inner }
    })
}

/// Serde names a missing or unknown field in its message only.
fn named_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once('`')?;
    let (name, _) = rest.split_once('`')?;
    Some(name.to_owned())
}

fn refuse(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_answer(status, &json!({ "error": message }))
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
