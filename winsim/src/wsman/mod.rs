//! WS-Management over HTTP: logon, the messages of a command shell, and faults ([DSP0226], [MS-WSMV]).
//!
//! A request is bounded in size and time, opened where it is sealed, parsed, carried out, and answered 200 with an
//! envelope or 500 with a fault, sealed as the request was. Over plain HTTP nothing unsealed is taken or sent. What
//! clients do not need is answered with `ActionNotSupported`, never with a guess.

mod actions;
mod auth;
mod delivery;
mod fault;
mod logon;
mod namespaces;
mod reply;
mod request;
mod sealed;
mod shells;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Response, StatusCode};

use crate::ntlm;
use crate::windows::Machine;
use crate::windows::winrm::Moment;
pub use auth::Account;
pub(crate) use delivery::{Dropped, Reply, while_it_hangs};
use fault::Fault;
use logon::Standing;
pub(crate) use logon::{Connection, Transport};
use request::Rejected;
use shells::Shells;

/// The largest envelope accepted, and the size of answers when the client names none, in bytes.
pub const MAX_ENVELOPE: usize = 153_600;

type Answer = Response<Full<Bytes>>;

/// The WinRM service of one machine.
#[derive(Debug)]
pub(crate) struct Service {
    machine: Arc<Machine>,
    account: Account,
    shells: Shells,
    /// How long the body of a request may take to arrive.
    body_timeout: Duration,
}

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Sealed,
}

impl Service {
    pub(crate) fn new(machine: Arc<Machine>, account: Account, body_timeout: Duration) -> Self {
        Self { shells: Shells::new(Arc::clone(&machine)), machine, account, body_timeout }
    }

    pub(crate) fn stop_all(&self) {
        self.shells.stop_all();
        self.machine.stop_tasks();
    }

    /// Answers one HTTP request of a connection, or breaks the connection off.
    pub(crate) async fn answer(
        &self,
        connection: &Connection,
        http: hyper::Request<Incoming>,
    ) -> Result<Response<Reply>, Dropped> {
        while_it_hangs(&self.machine).await;
        let answer = self.answered(connection, http).await?;
        Ok(self.deliver(answer).await)
    }

    async fn answered(&self, connection: &Connection, http: hyper::Request<Incoming>) -> Result<Answer, Dropped> {
        if http.uri().path() != "/wsman" {
            return Ok(plain(StatusCode::NOT_FOUND));
        }
        if http.method() != Method::POST {
            return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
        }
        let (head, body) = http.into_parts();
        let anonymous =
            head.headers.get("WSMANIDENTIFY").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"unauthenticated"));
        let mut last_token = None;
        let known = match self.standing(connection, &head.headers) {
            // The body is read, because a handshake ends with the connection it runs on.
            Standing::Challenged(token) => return Ok(self.turned_away(body, challenge(&token)).await),
            Standing::Stranger if !anonymous => return Ok(self.turned_away(body, unauthorized(connection)).await),
            Standing::Stranger => false,
            Standing::Proved { token } => {
                last_token = Some(token);
                true
            }
            Standing::Known => true,
        };
        let form = form(&head.headers);
        let body = match self.read(body, form).await {
            Ok(body) => body,
            Err(Unread::TooLong) => {
                let fault = Fault::TooLarge { limit: MAX_ENVELOPE };
                return Ok(closing(self.fault(connection, form.unwrap_or(Form::Plain), &fault, None)));
            }
            Err(Unread::Answered(status)) => return Ok(closing(plain(status))),
        };
        let mut answer = match form {
            // The handshake alone: what it was made for comes in the next request.
            _ if body.is_empty() && last_token.is_some() => plain(StatusCode::OK),
            None => plain(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            // As a server does whose AllowUnencrypted is false.
            Some(Form::Plain) if known && !connection.is_private() => plain(StatusCode::INTERNAL_SERVER_ERROR),
            Some(Form::Plain) => self.carried_out(connection, Form::Plain, &body, known).await?,
            Some(Form::Sealed) => match connection.open(&body) {
                Ok(envelope) => self.carried_out(connection, Form::Sealed, &envelope, known).await?,
                Err(unopened) => {
                    tracing::info!(%unopened, "a sealed body was refused, and its connection closed");
                    connection.forget();
                    closing(plain(StatusCode::BAD_REQUEST))
                }
            },
        };
        if let Some(Some(token)) = last_token {
            answer.headers_mut().insert(WWW_AUTHENTICATE, negotiate(&token));
        }
        Ok(answer)
    }

    fn standing(&self, connection: &Connection, headers: &HeaderMap) -> Standing {
        let now = self.machine.clock_time();
        let (host, refuse) = self.machine.read(|s| {
            let (computer, domain) = (s.computer.name.clone(), s.computer.domain.clone());
            (ntlm::Host { computer, domain, now }, s.refuse_logons)
        });
        if refuse {
            connection.forget();
            return Standing::Stranger;
        }
        connection.judge(headers, &host, &self.account)
    }

    /// Reads what remains of a request that is answered with this whatever it says.
    async fn turned_away(&self, body: Incoming, answer: Answer) -> Answer {
        match self.read(body, Some(Form::Sealed)).await {
            Ok(_) => answer,
            Err(Unread::TooLong) => closing(answer),
            Err(Unread::Answered(status)) => closing(plain(status)),
        }
    }

    async fn read(&self, body: Incoming, form: Option<Form>) -> Result<Bytes, Unread> {
        let limit = if form == Some(Form::Sealed) { MAX_ENVELOPE + sealed::FRAME } else { MAX_ENVELOPE };
        match tokio::time::timeout(self.body_timeout, Limited::new(body, limit).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
            Ok(Err(_)) => Err(Unread::Answered(StatusCode::BAD_REQUEST)),
            Err(_) => Err(Unread::Answered(StatusCode::REQUEST_TIMEOUT)),
        }
    }

    async fn carried_out(
        &self,
        connection: &Connection,
        form: Form,
        body: &[u8],
        known: bool,
    ) -> Result<Answer, Dropped> {
        if body.len() > MAX_ENVELOPE {
            return Ok(self.fault(connection, form, &Fault::TooLarge { limit: MAX_ENVELOPE }, None));
        }
        let request = match std::str::from_utf8(body) {
            Ok(text) => request::parse(text),
            Err(_) => {
                Err(Rejected { fault: Fault::Schema { reason: "the body is not UTF-8".to_owned() }, message_id: None })
            }
        };
        let request = match request {
            Ok(request) => request,
            Err(rejected) => {
                return Ok(self.fault(connection, form, &rejected.fault, rejected.message_id.as_deref()));
            }
        };
        if request.is_identify() {
            let version = self.machine.read(|s| s.computer.os_version.clone());
            // Without a logon the version stays unsaid.
            let text = reply::identify(if known { &version } else { "0.0.0" });
            return Ok(envelope(connection, form, StatusCode::OK, text));
        }
        if !known {
            return Ok(unauthorized(connection));
        }
        let breaks = self.breaks_at(request.action.as_deref());
        if breaks == Some(Moment::Before) {
            return Err(Dropped);
        }
        let result = self.carry_out(&request).await;
        if breaks == Some(Moment::After) {
            return Err(Dropped);
        }
        Ok(match result {
            Ok(text) => envelope(connection, form, StatusCode::OK, text),
            Err(fault) => self.fault(connection, form, &fault, request.message_id.as_deref()),
        })
    }

    fn fault(&self, connection: &Connection, form: Form, fault: &Fault, relates_to: Option<&str>) -> Answer {
        let machine = self.machine.read(|s| s.computer.name.clone());
        tracing::debug!(%fault, "request refused");
        envelope(connection, form, StatusCode::INTERNAL_SERVER_ERROR, fault.envelope(relates_to, &machine))
    }
}

/// Why there is no body.
enum Unread {
    TooLong,
    Answered(StatusCode),
}

/// How a body travels, by its `Content-Type`; None when it is neither.
fn form(headers: &HeaderMap) -> Option<Form> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let media_type = media_type.trim_start().to_ascii_lowercase();
    let forms = [("application/soap+xml", Form::Plain), (sealed::MEDIA_TYPE, Form::Sealed)];
    forms.into_iter().find(|(name, _)| media_type.starts_with(name)).map(|(_, form)| form)
}

fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

fn unauthorized(connection: &Connection) -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED);
    for scheme in connection.schemes() {
        answer.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    answer
}

/// The handshake goes on.
fn challenge(token: &[u8]) -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED);
    answer.headers_mut().insert(WWW_AUTHENTICATE, negotiate(token));
    answer
}

fn negotiate(token: &[u8]) -> HeaderValue {
    // Base64 is always a valid value.
    HeaderValue::from_str(&format!("Negotiate {}", STANDARD.encode(token)))
        .unwrap_or(HeaderValue::from_static("Negotiate"))
}

/// An answer in the form of its request.
fn envelope(connection: &Connection, form: Form, status: StatusCode, text: String) -> Answer {
    let (content_type, body) = match form {
        Form::Plain => ("application/soap+xml;charset=UTF-8", Bytes::from(text)),
        Form::Sealed => match connection.seal(&text) {
            Some(body) => (sealed::CONTENT_TYPE, Bytes::from(body)),
            // Nothing that was asked for sealed is answered in the clear.
            None => return closing(plain(StatusCode::BAD_REQUEST)),
        },
    };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The rest of the request stays unread, or the session is of no use: the connection cannot go on.
fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
