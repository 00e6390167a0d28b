//! The server's side of the handshake: challenge a client, then judge its answer ([MS-NLMP] 3.2.5).
//!
//! NTLMv2 with extended session security only: version 1, LM and anonymous logons are refused, as on a hardened server.
//! The integrity code of the whole handshake is checked where the client made one, and so is the channel it bound
//! itself to.

use jiff::Timestamp;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::keys;
use super::message::{self, Authenticate, Malformed, av, flags};
use super::session::Session;

/// 1601-01-01, from which Windows counts time in steps of 100 nanoseconds, in seconds before 1970.
const WINDOWS_EPOCH: i64 = 11_644_473_600;

/// How far the time in a client's answer may be from the server's ([MS-NLMP] 3.1.1.1, Windows Vista and later), in seconds.
/// A client that repeats the server's time, as it should, is never far, however wrong that is.
const LONGEST_AGE: i64 = 36 * 3600;

/// Without these no session can be kept, whatever the client wants.
const REQUIRED: u32 = flags::UNICODE | flags::NTLM | flags::EXTENDED_SESSION_SECURITY;
/// What a session that seals needs.
const SEALS: u32 = flags::SIGN | flags::SEAL | flags::BITS_128 | flags::KEY_EXCHANGE;

/// Why a client was not let in. To the client it is all the same 401.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Message(#[from] Malformed),
    #[error(transparent)]
    Envelope(#[from] super::spnego::Malformed),
    #[error("the client offers no NTLM with Unicode and extended session security")]
    TooOld,
    #[error("a message came out of turn")]
    OutOfTurn,
    #[error("no account of this server is called {user:?} in {domain:?}, or its password is another")]
    WrongPassword { user: String, domain: String },
    #[error("the handshake's integrity code does not verify: it was altered on its way")]
    Altered,
    #[error("the client is bound to another TLS channel: somebody relays its logon")]
    OtherChannel,
    #[error("the client's answer is of another time: its clock and the server's are more than 36 hours apart")]
    OtherTime,
    #[error("the system gave no random bytes")]
    NoRandomness,
}

/// What the server is, to a client.
#[derive(Debug)]
pub(crate) struct Host {
    /// The computer's name.
    pub(crate) computer: String,
    /// The domain's DNS name.
    pub(crate) domain: String,
    /// Its time.
    pub(crate) now: Timestamp,
}

/// Who may log on.
pub(crate) trait Accounts {
    /// The password of an account, by its name and domain as the client writes them.
    fn password(&self, user: &str, domain: &str) -> Option<&str>;
}

/// What a client of this TLS channel binds itself to ([RFC 5929] `tls-server-end-point`): a digest of the server's
/// certificate. Which one goes with the certificate's own signature; all three mean the same certificate.
#[derive(Debug, Clone)]
pub(crate) struct ChannelBindings([keys::Key; 3]);

impl ChannelBindings {
    /// Of a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        let bind = |digest: &[u8]| {
            let data = [b"tls-server-end-point:", digest].concat();
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
            // gss_channel_bindings_struct: no addresses, then the data.
            keys::md5(&[&[0; 16], &length, &data])
        };
        Self([
            bind(&Sha256::digest(certificate)),
            bind(&Sha384::digest(certificate)),
            bind(&Sha512::digest(certificate)),
        ])
    }
}

/// A client that was challenged.
#[derive(Debug)]
pub(super) struct Challenged {
    challenge: [u8; 8],
    flags: u32,
    negotiate: Vec<u8>,
    /// The server's time, in Windows' seconds.
    now: i64,
    /// The challenge, as it was sent.
    pub(super) message: Vec<u8>,
}

impl Challenged {
    /// Answers a client's first message.
    pub(super) fn new(host: &Host, negotiate: &[u8]) -> Result<Self, Refused> {
        let mut challenge = [0; 8];
        getrandom::fill(&mut challenge).map_err(|_| Refused::NoRandomness)?;
        Self::with(host, negotiate, challenge)
    }

    fn with(host: &Host, negotiate: &[u8], challenge: [u8; 8]) -> Result<Self, Refused> {
        let wanted = message::negotiate(negotiate)?;
        if wanted & REQUIRED != REQUIRED {
            return Err(Refused::TooOld);
        }
        let flags = REQUIRED
            | flags::REQUEST_TARGET
            | flags::TARGET_TYPE_DOMAIN
            | flags::TARGET_INFO
            | flags::VERSION
            | wanted & (SEALS | flags::ALWAYS_SIGN);
        let netbios = host.domain.split('.').next().unwrap_or_default().to_uppercase();
        let target = keys::utf16(&netbios);
        let dns_computer = format!("{}.{}", host.computer.to_lowercase(), host.domain);
        let since = u64::try_from(host.now.as_second().saturating_add(WINDOWS_EPOCH)).unwrap_or_default();
        let target_info = message::target_info(&[
            (av::NETBIOS_DOMAIN, target.clone()),
            (av::NETBIOS_COMPUTER, keys::utf16(&host.computer)),
            (av::DNS_DOMAIN, keys::utf16(&host.domain)),
            (av::DNS_COMPUTER, keys::utf16(&dns_computer)),
            (av::TIMESTAMP, since.saturating_mul(10_000_000).to_le_bytes().to_vec()),
        ]);
        let message = message::Challenge { flags, challenge, target: &target, target_info: &target_info }.write();
        let now = host.now.as_second().saturating_add(WINDOWS_EPOCH);
        Ok(Self { challenge, flags, negotiate: negotiate.to_vec(), now, message })
    }

    /// Judges the client's answer. None when the client wants no session that seals.
    pub(super) fn judge(
        &self,
        authenticate: &[u8],
        accounts: &dyn Accounts,
        channel: Option<&ChannelBindings>,
    ) -> Result<Option<Session>, Refused> {
        let answer = Authenticate::read(authenticate)?;
        let wrong = || Refused::WrongPassword { user: answer.user.clone(), domain: answer.domain.clone() };
        let password = accounts.password(&answer.user, &answer.domain).ok_or_else(wrong)?;
        let key = keys::password_key(&answer.user, &answer.domain, password);
        let proof = keys::proof(&key, self.challenge, &answer.blob);
        if !keys::same(&proof, &answer.proof) {
            return Err(wrong());
        }
        let said = answer.time().map_or(0, |ticks| i64::try_from(ticks / 10_000_000).unwrap_or(i64::MAX));
        if said.abs_diff(self.now) > LONGEST_AGE.unsigned_abs() {
            return Err(Refused::OtherTime);
        }
        let base = keys::base_key(&key, &proof);
        let session_key = match &answer.encrypted_session_key {
            Some(encrypted) if answer.flags & flags::KEY_EXCHANGE != 0 => keys::exchanged(&base, encrypted),
            _ => base,
        };
        if let Some(mic) = &answer.mic {
            let parts = [&self.negotiate[..], &self.message, &message::without_mic(authenticate)];
            if !keys::same(&keys::hmac_md5(&session_key, &parts), mic) {
                return Err(Refused::Altered);
            }
        }
        if let (Some(channel), Some(bound)) = (channel, &answer.channel_bindings)
            && !channel.0.iter().any(|ours| keys::same(ours, bound))
        {
            return Err(Refused::OtherChannel);
        }
        Ok((answer.flags & self.flags & SEALS == SEALS).then(|| Session::new(&session_key)))
    }
}

#[cfg(test)]
mod tests;
