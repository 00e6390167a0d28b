//! A small client, and everything it can get wrong. (Real clients run against the whole server in `tests/suite`.)

use super::*;
use crate::ntlm::keys::{hmac_md5, utf16};

const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const ALL: u32 = REQUIRED | SEALS;

struct One;

impl Accounts for One {
    fn password(&self, user: &str, _domain: &str) -> Option<&str> {
        user.eq_ignore_ascii_case("admin").then_some("Correct-Horse-9")
    }
}

fn host() -> Host {
    Host { computer: "WIN01".into(), domain: "clinic.example".into(), now: Timestamp::UNIX_EPOCH }
}

fn first(flags: u32) -> Vec<u8> {
    [&message::SIGNATURE[..], &1_u32.to_le_bytes(), &flags.to_le_bytes(), &[0; 16]].concat()
}

/// What a client is made of; each test bends one thing.
struct Client {
    user: &'static str,
    password: &'static str,
    bindings: [u8; 16],
    flags: u32,
    with_mic: bool,
    /// How far its time is from the server's, in seconds.
    ahead: i64,
}

impl Default for Client {
    fn default() -> Self {
        Self { user: "Admin", password: "Correct-Horse-9", bindings: [0; 16], flags: ALL, with_mic: true, ahead: 0 }
    }
}

impl Client {
    fn answer(&self, challenged: &Challenged) -> Vec<u8> {
        let info = message::target_info(&[
            (av::FLAGS, if self.with_mic { av::HAS_MIC } else { 0 }.to_le_bytes().to_vec()),
            (av::CHANNEL_BINDINGS, self.bindings.to_vec()),
        ]);
        let time = (WINDOWS_EPOCH + self.ahead) * 10_000_000;
        let blob = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &time.to_le_bytes(), &[9; 8], &[0; 4], &info, &[0; 4]].concat();
        let key = keys::password_key(self.user, "", self.password);
        let proof = keys::proof(&key, CHALLENGE, &blob);
        let base = keys::base_key(&key, &proof);
        // RC4 turns the encrypted key back into the key, and the key into the encrypted one.
        let (session_key, encrypted) = ([0x55; 16], keys::exchanged(&base, &[0x55; 16]));
        let parts = [vec![], [&proof[..], &blob].concat(), vec![], utf16(self.user), vec![], encrypted.to_vec()];
        let mut at = 88;
        let mut bytes = [&message::SIGNATURE[..], &3_u32.to_le_bytes()].concat();
        for part in &parts {
            let length = u16::try_from(part.len()).unwrap().to_le_bytes();
            bytes.extend([length, length].concat());
            bytes.extend(u32::try_from(at).unwrap().to_le_bytes());
            at += part.len();
        }
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend([0; 8 + 16]);
        bytes.extend(parts.concat());
        if self.with_mic {
            let mic = hmac_md5(&session_key, &[&challenged.negotiate, &challenged.message, &bytes]);
            bytes[72..88].copy_from_slice(&mic);
        }
        bytes
    }

    fn judged(&self, channel: Option<&ChannelBindings>) -> Result<Option<Session>, Refused> {
        let challenged = challenged();
        challenged.judge(&self.answer(&challenged), &One, channel)
    }
}

fn challenged() -> Challenged {
    Challenged::with(&host(), &first(ALL), CHALLENGE).unwrap()
}

#[test]
fn the_right_password_gives_a_session_whoever_spells_the_name_how() {
    for user in ["Admin", "admin", "ADMIN"] {
        let client = Client { user, ..Client::default() };
        assert!(client.judged(None).unwrap().is_some(), "{user}");
    }
    let weak = Client { flags: ALL & !flags::BITS_128, ..Client::default() };
    assert!(weak.judged(None).unwrap().is_none(), "a session of less than 128 bits is none");
    let unsealed = Client { flags: REQUIRED, with_mic: false, ..Client::default() };
    assert!(unsealed.judged(None).unwrap().is_none(), "the account, without a session");
}

#[test]
fn a_wrong_password_another_name_and_an_old_client_are_refused() {
    let wrong = Client { password: "correct-horse-9", ..Client::default() };
    assert!(matches!(wrong.judged(None), Err(Refused::WrongPassword { .. })));
    let stranger = Client { user: "Guest", ..Client::default() };
    assert!(matches!(stranger.judged(None), Err(Refused::WrongPassword { .. })));
    for missing in [flags::UNICODE, flags::NTLM, flags::EXTENDED_SESSION_SECURITY] {
        let refused = Challenged::new(&host(), &first(ALL & !missing)).unwrap_err();
        assert_eq!(refused, Refused::TooOld);
    }
    let challenged = challenged();
    let mut replayed = Challenged::with(&host(), &first(ALL), [7; 8]).unwrap();
    replayed.flags = challenged.flags;
    let answer = Client { with_mic: false, ..Client::default() }.answer(&challenged);
    assert!(matches!(replayed.judge(&answer, &One, None), Err(Refused::WrongPassword { .. })), "another challenge");
}

#[test]
fn a_client_of_another_time_is_refused_and_one_within_a_day_and_a_half_is_not() {
    const HOUR: i64 = 3600;
    for (ahead, passes) in
        [(HOUR, true), (-35 * HOUR, true), (35 * HOUR, true), (37 * HOUR, false), (-37 * HOUR, false)]
    {
        let judged = Client { ahead, ..Client::default() }.judged(None);
        assert_eq!(judged.err(), (!passes).then_some(Refused::OtherTime), "{ahead} s");
    }
}

#[test]
fn a_handshake_that_was_altered_on_its_way_is_refused() {
    let challenged = challenged();
    let answer = Client::default().answer(&challenged);
    let mut weaker = answer.clone();
    weaker[60] ^= u8::try_from(flags::SEAL).unwrap();
    assert_eq!(challenged.judge(&weaker, &One, None).unwrap_err(), Refused::Altered);
    let mut other_start = challenged;
    other_start.negotiate[15] ^= 1;
    assert_eq!(other_start.judge(&answer, &One, None).unwrap_err(), Refused::Altered);
}

#[test]
fn a_client_bound_to_another_tls_channel_is_refused_and_an_unbound_one_is_not() {
    let (ours, theirs) = (ChannelBindings::of(b"our certificate"), ChannelBindings::of(b"another certificate"));
    for digest in 0..3 {
        let client = Client { bindings: ours.0[digest], ..Client::default() };
        assert!(client.judged(Some(&ours)).is_ok());
        assert_eq!(client.judged(Some(&theirs)).unwrap_err(), Refused::OtherChannel);
    }
    assert!(Client::default().judged(Some(&ours)).is_ok());
}

#[test]
fn a_message_cut_or_bent_anywhere_is_refused_and_nothing_panics() {
    let challenged = challenged();
    let client = Client::default();
    let answer = client.answer(&challenged);
    for end in 0..answer.len() {
        assert!(challenged.judge(&answer[..end], &One, None).is_err(), "cut at {end}");
    }
    for at in 0..answer.len() {
        for value in [0, 0xff, answer[at] ^ 0x80] {
            let mut bent = answer.clone();
            bent[at] = value;
            // Where nothing is bent, or only what no code covers, it may pass; the MIC covers the rest.
            let passes = challenged.judge(&bent, &One, None).is_ok();
            assert!(!passes || bent == answer, "byte {at} set to {value}");
        }
    }
    let version_1 = {
        let mut short = answer;
        short[20..24].copy_from_slice(&[24, 0, 24, 0]);
        short
    };
    assert!(matches!(challenged.judge(&version_1, &One, None), Err(Refused::Message(_))));
}
