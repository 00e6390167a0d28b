//! Who stands at the other end of a connection: Basic with every request, NTLM once for the whole connection.
//!
//! What NTLM proved belongs to the TCP connection, so each has a [`Connection`] of its own, and its session seals and
//! opens bodies. On plain HTTP, Basic is not offered and not accepted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::auth::{Account, is_local};
use super::sealed::{self, Unopened};
use crate::ntlm::{Accounts, ChannelBindings, Host, Negotiation, Session, Step};

/// What a connection runs over.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Plain HTTP: only sealed bodies are taken.
    Http,
    /// TLS, with what a client of it binds itself to.
    Https(ChannelBindings),
}

/// One TCP connection.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    logon: Mutex<Logon>,
}

#[derive(Debug)]
enum Logon {
    /// Nobody yet, perhaps halfway through a handshake.
    Negotiating(Negotiation),
    /// The account; with a session where the client wanted one.
    Done(Option<Box<Session>>),
}

/// What a request's headers say about who sent it.
#[derive(Debug)]
pub(super) enum Standing {
    /// Nobody that is known.
    Stranger,
    /// The handshake goes on with this token.
    Challenged(Vec<u8>),
    /// The account, which this request has proved; the handshake may end with a token.
    Proved { token: Option<Vec<u8>> },
    /// The account.
    Known,
}

impl Connection {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, logon: Mutex::new(Logon::Negotiating(Negotiation::default())) }
    }

    /// Whether bodies may go unsealed and passwords be sent.
    pub(super) fn is_private(&self) -> bool {
        matches!(self.transport, Transport::Https(_))
    }

    /// The schemes that are offered to a stranger.
    pub(super) fn schemes(&self) -> &'static [&'static str] {
        if self.is_private() { &["Negotiate", "Basic realm=\"WSMAN\""] } else { &["Negotiate"] }
    }

    /// Judges a request by its headers.
    pub(super) fn judge(&self, headers: &HeaderMap, host: &Host, account: &Account) -> Standing {
        let header = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        let Some(header) = header else {
            let known = matches!(*self.lock(), Logon::Done(_));
            return if known { Standing::Known } else { Standing::Stranger };
        };
        let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("negotiate") {
            return self.negotiate(token, host, account);
        }
        if self.is_private() && account.accepts(header, &host.computer) {
            return Standing::Known;
        }
        Standing::Stranger
    }

    fn negotiate(&self, token: &str, host: &Host, account: &Account) -> Standing {
        let channel = match &self.transport {
            Transport::Http => None,
            Transport::Https(bindings) => Some(bindings),
        };
        let mut logon = self.lock();
        // Whoever starts a handshake is nobody until it is done.
        let mut negotiation = match std::mem::replace(&mut *logon, Logon::Negotiating(Negotiation::default())) {
            Logon::Negotiating(negotiation) => negotiation,
            Logon::Done(_) => Negotiation::default(),
        };
        let Ok(token) = STANDARD.decode(token.trim()) else {
            return Standing::Stranger;
        };
        let accounts = OfThisServer { account, computer: &host.computer };
        match negotiation.step(&token, host, &accounts, channel) {
            Ok(Step::Continue(token)) => {
                *logon = Logon::Negotiating(negotiation);
                Standing::Challenged(token)
            }
            Ok(Step::Done { token, session }) => {
                *logon = Logon::Done(session);
                Standing::Proved { token }
            }
            Err(refused) => {
                tracing::info!(%refused, "a logon with NTLM was refused");
                Standing::Stranger
            }
        }
    }

    /// Takes what was proved back.
    pub(super) fn forget(&self) {
        *self.lock() = Logon::Negotiating(Negotiation::default());
    }

    /// Opens a sealed body.
    pub(super) fn open(&self, body: &[u8]) -> Result<Vec<u8>, Unopened> {
        match &mut *self.lock() {
            Logon::Done(Some(session)) => sealed::open(session, body),
            _ => Err(Unopened::Layout("this connection has no session to open it with")),
        }
    }

    /// Seals an answer; none when there is no session.
    pub(super) fn seal(&self, envelope: &str) -> Option<Vec<u8>> {
        match &mut *self.lock() {
            Logon::Done(Some(session)) => Some(sealed::seal(session, envelope)),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Logon> {
        self.logon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's one account, by any of the names it answers to.
struct OfThisServer<'a> {
    account: &'a Account,
    computer: &'a str,
}

impl Accounts for OfThisServer<'_> {
    fn password(&self, user: &str, domain: &str) -> Option<&str> {
        let local = domain.is_empty() || is_local(domain, self.computer);
        (local && user.eq_ignore_ascii_case(&self.account.user)).then_some(self.account.password.as_str())
    }
}
