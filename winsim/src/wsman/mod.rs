//! WS-Management over HTTP: authentication, the messages of a command shell, and faults ([DSP0226], [MS-WSMV]).
//!
//! A request is bounded in size and time, parsed, carried out, and answered 200 with an envelope or 500 with a fault.
//! What clients do not need is answered with `ActionNotSupported`, never with a guess.

mod auth;
mod fault;
mod namespaces;
mod reply;
mod request;
mod shells;
mod xml;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode};

use crate::windows::Machine;
pub use auth::Account;
use fault::Fault;
use namespaces as ns;
use request::{Rejected, Request};
use shells::Shells;
use xml::Node;

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

impl Service {
    pub(crate) fn new(machine: Arc<Machine>, account: Account, body_timeout: Duration) -> Self {
        Self { shells: Shells::new(Arc::clone(&machine)), machine, account, body_timeout }
    }

    pub(crate) fn stop_all(&self) {
        self.shells.stop_all();
    }

    /// Answers one HTTP request.
    pub(crate) async fn answer(&self, http: hyper::Request<Incoming>) -> Answer {
        if http.uri().path() != "/wsman" {
            return plain(StatusCode::NOT_FOUND);
        }
        if http.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        let anonymous =
            http.headers().get("WSMANIDENTIFY").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"unauthenticated"));
        if !self.is_authenticated(&http) && !anonymous {
            return unauthorized();
        }
        let content_type = http.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !content_type.trim_start().to_ascii_lowercase().starts_with("application/soap+xml") {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let authenticated = self.is_authenticated(&http);
        let body = match tokio::time::timeout(self.body_timeout, Limited::new(http.into_body(), MAX_ENVELOPE).collect())
            .await
        {
            Err(_) => return closing(plain(StatusCode::REQUEST_TIMEOUT)),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let fault = Fault::TooLarge { limit: MAX_ENVELOPE };
                return closing(self.fault(&fault, None));
            }
            Ok(Err(_)) => return closing(plain(StatusCode::BAD_REQUEST)),
            Ok(Ok(body)) => body.to_bytes(),
        };
        let request = match std::str::from_utf8(&body) {
            Ok(text) => request::parse(text),
            Err(_) => {
                Err(Rejected { fault: Fault::Schema { reason: "the body is not UTF-8".to_owned() }, message_id: None })
            }
        };
        let request = match request {
            Ok(request) => request,
            Err(rejected) => return self.fault(&rejected.fault, rejected.message_id.as_deref()),
        };
        if request.is_identify() {
            let version = self.machine.read(|s| s.computer.os_version.clone());
            // Without a logon the version stays unsaid.
            return envelope(StatusCode::OK, reply::identify(if authenticated { &version } else { "0.0.0" }));
        }
        if !authenticated {
            return unauthorized();
        }
        match self.carry_out(&request).await {
            Ok(text) => envelope(StatusCode::OK, text),
            Err(fault) => self.fault(&fault, request.message_id.as_deref()),
        }
    }

    fn is_authenticated(&self, http: &hyper::Request<Incoming>) -> bool {
        let header = http.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        let (computer, refuse) = self.machine.read(|s| (s.computer.name.clone(), s.refuse_logons));
        !refuse && self.account.accepts(header, &computer)
    }

    fn fault(&self, fault: &Fault, relates_to: Option<&str>) -> Answer {
        let machine = self.machine.read(|s| s.computer.name.clone());
        tracing::debug!(%fault, "request refused");
        envelope(StatusCode::INTERNAL_SERVER_ERROR, fault.envelope(relates_to, &machine))
    }

    async fn carry_out(&self, request: &Request) -> Result<String, Fault> {
        let action = request.action.as_deref().unwrap_or_default();
        let relates = request.message_id.as_deref();
        let shell = request.shell_id.as_deref();
        let user = self.account.user.as_str();
        let known = [
            ns::ACTION_CREATE,
            ns::ACTION_COMMAND,
            ns::ACTION_RECEIVE,
            ns::ACTION_SEND,
            ns::ACTION_SIGNAL,
            ns::ACTION_DELETE,
        ];
        if !known.contains(&action) {
            return Err(Fault::ActionNotSupported { action: action.to_owned() });
        }
        if request.resource != ns::RESOURCE_CMD {
            return Err(Fault::ResourceNotSupported { uri: request.resource.clone() });
        }
        match action {
            ns::ACTION_CREATE => self.create(request),
            ns::ACTION_COMMAND => {
                let line = body_child(request, "CommandLine")?;
                let text = command_line(line)?;
                let id = self.shells.start(user, shell, line.attribute("CommandId"), text)?;
                tracing::debug!(command = %id, options = ?request.options.keys(), "command started");
                Ok(reply::command_started(relates, &id))
            }
            ns::ACTION_RECEIVE => self.receive(request).await,
            ns::ACTION_SEND => {
                let stream =
                    body_child(request, "Send")?.child(ns::SHELL, "Stream").ok_or_else(|| missing("Stream"))?;
                let id = stream.attribute("CommandId").ok_or_else(|| missing("CommandId"))?;
                let data: String = stream.text.split_whitespace().collect();
                STANDARD
                    .decode(data)
                    .map_err(|e| Fault::Schema { reason: format!("the stream is not base64: {e}") })?;
                // No program of this server reads its standard input, so the bytes go nowhere, as with a real program
                // that does not read; the command itself must exist.
                self.shells.command(user, shell, id)?;
                Ok(reply::sent(relates))
            }
            ns::ACTION_SIGNAL => {
                let signal = body_child(request, "Signal")?;
                let id = signal.attribute("CommandId").ok_or_else(|| missing("CommandId"))?;
                let code = signal.child(ns::SHELL, "Code").map_or("", |c| c.text.trim());
                if ns::SIGNAL_TERMINATE.contains(&code) {
                    self.shells.stop(user, shell, id, true)?;
                } else if code == ns::SIGNAL_CTRL_C {
                    self.shells.stop(user, shell, id, false)?;
                } else {
                    return Err(Fault::Schema { reason: format!("the signal '{code}' is not known") });
                }
                Ok(reply::signalled(relates))
            }
            _ => {
                self.shells.delete(user, shell)?;
                Ok(reply::deleted(relates))
            }
        }
    }

    fn create(&self, request: &Request) -> Result<String, Fault> {
        let shell = body_child(request, "Shell")?;
        let idle = match shell.child(ns::SHELL, "IdleTimeOut").or_else(|| shell.child(ns::SHELL, "IdleTimeout")) {
            None => None,
            Some(node) => Some(request::duration(node.text.trim()).ok_or_else(|| Fault::Schema {
                reason: format!("IdleTimeOut '{}' is not a duration", node.text.trim()),
            })?),
        };
        let environment: HashMap<String, String> = shell
            .child(ns::SHELL, "Environment")
            .into_iter()
            .flat_map(|e| &e.children)
            .filter_map(|v| Some((v.attribute("Name")?.to_owned(), v.text.clone())))
            .collect();
        let user = &self.account.user;
        let created = self.shells.create(user, environment, idle)?;
        Ok(reply::shell_created(request.message_id.as_deref(), &created.id, user, created.idle.as_secs()))
    }

    async fn receive(&self, request: &Request) -> Result<String, Fault> {
        let stream = body_child(request, "Receive")?
            .child(ns::SHELL, "DesiredStream")
            .ok_or_else(|| missing("DesiredStream"))?;
        let id = stream.attribute("CommandId").ok_or_else(|| missing("CommandId"))?;
        let command = self.shells.command(&self.account.user, request.shell_id.as_deref(), id)?;
        let room = reply::output_room(request.max_envelope);
        let taken = tokio::time::timeout(request.timeout, command.take(room)).await.map_err(|_| Fault::TimedOut)?;
        Ok(reply::received(request.message_id.as_deref(), id, &taken))
    }
}

fn missing(name: &str) -> Fault {
    Fault::Schema { reason: format!("{name} is missing") }
}

fn body_child<'a>(request: &'a Request, name: &str) -> Result<&'a Node, Fault> {
    request.body.child(ns::SHELL, name).ok_or_else(|| missing(name))
}

/// The command and its arguments, as one line.
fn command_line(line: &Node) -> Result<String, Fault> {
    let command = line.child(ns::SHELL, "Command").ok_or_else(|| missing("Command"))?;
    let mut text = command.text.clone();
    for argument in line.children.iter().filter(|c| c.namespace == ns::SHELL && c.name == "Arguments") {
        text.push(' ');
        text.push_str(&argument.text);
    }
    Ok(text)
}

fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

fn unauthorized() -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"WSMAN\""));
    answer
}

fn envelope(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/soap+xml;charset=UTF-8"));
    answer
}

/// The rest of the request stays unread, so the connection cannot go on.
fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
