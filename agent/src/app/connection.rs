//! The connection to one Windows server, as far as its credentials go.
//!
//! A password that was changed in its file is taken over with the next round; one that Central Command sent anew, with
//! the check-in that brings it. Credentials that the server refused are left alone for a while, or until they change:
//! trying on would lock the account.

use crate::adapters::inventory::Server;
use crate::adapters::winrm::WindowsHost;
use crate::causes::chain;
use crate::clock::Clock;
use crate::config::{Config, credentials};
use jiff::{SignedDuration, Timestamp};
use msp_rules::Catalogue;
use std::sync::Arc;
use std::time::SystemTime;

/// How long refused credentials are not tried again: as long as the usual window in which failed logons count.
const LOGON_PAUSE: SignedDuration = SignedDuration::from_mins(15);

/// A connection that is made ready when it is needed.
pub struct Connection {
    server: Server,
    config: Config,
    state: State,
    /// The age of the credentials' file that `state` was made with.
    made_with: Option<SystemTime>,
}

enum State {
    Ready(Box<WindowsHost>),
    /// There is none, and why; before `until`, if it is set, none is tried.
    Broken {
        reason: String,
        until: Option<Timestamp>,
    },
}

impl Connection {
    /// A connection to `server`; nothing is read or sent yet.
    pub fn to(server: Server, config: &Config) -> Self {
        Self {
            server,
            config: config.clone(),
            state: State::Broken { reason: String::new(), until: None },
            made_with: None,
        }
    }

    /// The server, ready to be asked; or in words why it cannot be.
    pub fn ready(&mut self, catalogue: &Arc<Catalogue>, clock: &Arc<dyn Clock>) -> Result<&WindowsHost, &str> {
        let file = credentials::file(&self.config.windows_credentials_dir, &self.server.hostname);
        let stamp = std::fs::metadata(&file).and_then(|found| found.modified()).ok();
        let now = clock.now();
        self.leave_alone_when_refused(now);
        let stays = self.made_with == stamp
            && match &self.state {
                State::Ready(_) => true,
                // An end further away than a pause lasts was set by a clock that was ahead.
                State::Broken { until, .. } => {
                    until.is_some_and(|until| now < until && until.duration_since(now) <= LOGON_PAUSE)
                }
            };
        if !stays {
            self.made_with = stamp;
            self.state = self.make(catalogue, clock);
        }
        match &self.state {
            State::Ready(host) => Ok(host),
            State::Broken { reason, .. } => Err(reason),
        }
    }

    fn make(&self, catalogue: &Arc<Catalogue>, clock: &Arc<dyn Clock>) -> State {
        let made = credentials::find(&self.config, &self.server.hostname, self.server.sealed.as_deref())
            .map_err(|error| chain(&error))
            .and_then(|logon| {
                let (catalogue, clock) = (Arc::clone(catalogue), Arc::clone(clock));
                let authority = self.config.windows_ca_cert_file.as_deref();
                WindowsHost::new(&self.server, &logon, authority, catalogue, clock).map_err(|error| chain(&error))
            });
        match made {
            Ok(host) => State::Ready(Box::new(host)),
            // Tried again with the next round: reading files locks nobody out.
            Err(reason) => {
                let known = matches!(&self.state, State::Broken { reason: before, .. } if *before == reason);
                if !known {
                    tracing::warn!("{}: it cannot be looked at: {reason}", self.server.hostname);
                }
                State::Broken { reason, until: None }
            }
        }
    }

    fn leave_alone_when_refused(&mut self, now: Timestamp) {
        if let State::Ready(host) = &self.state
            && host.refused()
        {
            let until = now + LOGON_PAUSE;
            let reason = format!(
                "{}: the server refused the credentials; they are not tried again before {until:.0} or until they change",
                host.address()
            );
            tracing::warn!("{reason}");
            self.state = State::Broken { reason, until: Some(until) };
        }
    }
}
