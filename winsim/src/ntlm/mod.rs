//! NTLM version 2 as a server speaks it ([MS-NLMP]): the handshake, raw or in SPNEGO's envelope, and the session that
//! signs and seals what follows.
//!
//! A [`Negotiation`] belongs to one TCP connection: it takes the client's tokens in their order and says what to answer.

mod acceptor;
mod keys;
mod message;
mod session;
mod spnego;

pub(crate) use acceptor::{Accounts, ChannelBindings, Host, Refused};
pub(crate) use session::{BadSignature, SIGNATURE, Session};

use acceptor::Challenged;
use spnego::{State, Token};

/// What a token of the client led to.
#[derive(Debug)]
pub(crate) enum Step {
    /// The client has to go on with this.
    Continue(Vec<u8>),
    /// The client is who it says it is.
    Done {
        /// A last token for the client, where its envelope has one.
        token: Option<Vec<u8>>,
        /// What seals the messages of this connection; none when the client wanted none.
        session: Option<Box<Session>>,
    },
}

/// A handshake under way.
#[derive(Debug, Default)]
pub(crate) struct Negotiation {
    /// The list of mechanisms that the client sent, when it uses the envelope.
    list: Option<Vec<u8>>,
    /// Whether NTLM was not the client's first choice, so that its list must be proved.
    needs_mic: bool,
    challenged: Option<Challenged>,
}

impl Negotiation {
    /// Takes the client's next token.
    ///
    /// # Errors
    /// The client is refused; a first token starts over.
    pub(crate) fn step(
        &mut self,
        token: &[u8],
        host: &Host,
        accounts: &dyn Accounts,
        channel: Option<&ChannelBindings>,
    ) -> Result<Step, Refused> {
        if spnego::is_wrapped(token) {
            return self.step_wrapped(spnego::read(token)?, host, accounts, channel);
        }
        if message::kind(token)? == 1 {
            *self = Self::default();
            return self.challenge(token, host).map(Step::Continue);
        }
        if self.list.is_some() {
            return Err(Refused::OutOfTurn);
        }
        let challenged = self.challenged.take().ok_or(Refused::OutOfTurn)?;
        let session = challenged.judge(token, accounts, channel)?;
        Ok(Step::Done { token: None, session: session.map(Box::new) })
    }

    fn challenge(&mut self, message: &[u8], host: &Host) -> Result<Vec<u8>, Refused> {
        let challenged = self.challenged.insert(Challenged::new(host, message)?);
        Ok(challenged.message.clone())
    }

    fn step_wrapped(
        &mut self,
        token: Token<'_>,
        host: &Host,
        accounts: &dyn Accounts,
        channel: Option<&ChannelBindings>,
    ) -> Result<Step, Refused> {
        match token {
            Token::Init { offers_ntlm: false, .. } => Err(Refused::TooOld),
            Token::Init { list, message, .. } => {
                *self = Self { list: Some(list.to_vec()), needs_mic: message.is_none(), challenged: None };
                let Some(message) = message else {
                    return Ok(Step::Continue(spnego::write(State::RequestMic, true, None, None)));
                };
                let challenge = self.challenge(message, host)?;
                Ok(Step::Continue(spnego::write(State::Incomplete, true, Some(&challenge), None)))
            }
            Token::Response { message: Some(message), .. } if self.list.is_some() && message::kind(message)? == 1 => {
                let challenge = self.challenge(message, host)?;
                Ok(Step::Continue(spnego::write(State::Incomplete, false, Some(&challenge), None)))
            }
            Token::Response { message, mic } => {
                let (Some(list), Some(challenged), Some(message)) = (&self.list, self.challenged.take(), message)
                else {
                    return Err(Refused::OutOfTurn);
                };
                let mut session = challenged.judge(message, accounts, channel)?;
                let mic = match (mic, &mut session) {
                    (Some(mic), Some(session)) => {
                        session.verify_mechanisms(list, mic).map_err(|BadSignature| Refused::Altered)?;
                        Some(session.sign_mechanisms(list))
                    }
                    _ if self.needs_mic => return Err(Refused::Altered),
                    _ => None,
                };
                let mic = mic.as_ref().map(|mic| &mic[..]);
                let token = spnego::write(State::Completed, false, None, mic);
                Ok(Step::Done { token: Some(token), session: session.map(Box::new) })
            }
        }
    }
}
