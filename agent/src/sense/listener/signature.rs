//! Who pushed: the signature of the Standard Webhooks (https://www.standardwebhooks.com), by one of the keys that are held.
//!
//! `webhook-signature` carries `v1,` and the base64 of HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body's
//! bytes, joined by dots; several of them with spaces between, while a key is replaced. Compared in constant time.

use crate::adapters::sensor_keys::SensorKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use sha2::Sha256;

/// How far a push's time may be from this clock's, either way, in seconds.
pub const TOLERANCE: i64 = 300;
/// The longest `webhook-id`.
const LONGEST_ID: usize = 128;
/// More signatures than these are nobody's who replaces a key.
const MOST_SIGNATURES: usize = 8;

/// Why a push is nobody's. For the log: who pushed is told nothing of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    #[error("{name} is missing, twice there, or no text")]
    Header { name: &'static str },
    #[error("webhook-id is empty, longer than {LONGEST_ID} characters, or not of visible ones")]
    Id,
    #[error("webhook-timestamp is no number of seconds since 1970")]
    Timestamp,
    #[error(
        "webhook-timestamp is {off} s from this clock, allowed are {TOLERANCE} s: one of the two clocks is wrong, or it is an old push"
    )]
    Stale { sensor: String, off: i64 },
    #[error("no signature in webhook-signature is by a key that is known here")]
    Signature,
}

/// A push that one of the sensors signed.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    pub sensor: String,
    pub id: String,
    /// Until when its id has to be remembered: it is too old then to come again. Seconds since 1970.
    pub fresh_until: i64,
}

/// Finds out who signed `body`; `now` in seconds since 1970.
///
/// # Errors
/// When nobody did who is known here, or not now.
pub fn signed(keys: &[SensorKey], headers: &HeaderMap, body: &[u8], now: i64) -> Result<Signed, Unauthenticated> {
    let id = header(headers, "webhook-id")?;
    let timestamp = header(headers, "webhook-timestamp")?;
    let signatures = header(headers, "webhook-signature")?;
    if !(1..=LONGEST_ID).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unauthenticated::Id);
    }
    if !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unauthenticated::Timestamp);
    }
    let sent: i64 = timestamp.parse().map_err(|_| Unauthenticated::Timestamp)?;
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|one| STANDARD.decode(one).ok())
        .take(MOST_SIGNATURES)
        .collect();
    let is_by = |key: &SensorKey| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.key) else { return false };
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        given.iter().any(|given| mac.clone().verify_slice(given).is_ok())
    };
    let sensor = keys.iter().find(|key| is_by(key)).ok_or(Unauthenticated::Signature)?;
    // Last, so that a sensor with a wrong clock is told from a stranger.
    let off = now.saturating_sub(sent);
    if off.saturating_abs() > TOLERANCE {
        return Err(Unauthenticated::Stale { sensor: sensor.name.clone(), off });
    }
    let fresh_until = sent.saturating_add(TOLERANCE);
    Ok(Signed { sensor: sensor.name.clone(), id: id.to_owned(), fresh_until })
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Unauthenticated> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Unauthenticated::Header { name }),
        _ => Err(Unauthenticated::Header { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own test vectors.
    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn keys() -> Vec<SensorKey> {
        let key = |name: &str, text: &str| SensorKey {
            name: name.to_owned(),
            key: zeroize::Zeroizing::new(STANDARD.decode(text).unwrap()),
        };
        vec![key("other", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), key("known", KEY)]
    }

    fn judged(id: &str, timestamp: &str, signature: &str, body: &[u8], now: i64) -> Result<Signed, Unauthenticated> {
        let mut headers = HeaderMap::new();
        for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)] {
            headers.insert(name, value.parse().unwrap());
        }
        signed(&keys(), &headers, body, now)
    }

    #[test]
    fn the_specifications_example_is_by_the_sensor_with_that_key_and_nothing_near_it_is() {
        let sent = SENT.to_string();
        let good = Signed { sensor: "known".to_owned(), id: ID.to_owned(), fresh_until: SENT + TOLERANCE };
        assert_eq!(judged(ID, &sent, SIGNATURE, BODY, SENT), Ok(good));
        let among = format!("v1a,{SIGNATURE} v1,AAAA {SIGNATURE}");
        for now in [SENT - TOLERANCE, SENT + TOLERANCE] {
            assert!(judged(ID, &sent, &among, BODY, now).is_ok());
        }
        for (off, now) in [(-TOLERANCE - 1, SENT - TOLERANCE - 1), (TOLERANCE + 1, SENT + TOLERANCE + 1)] {
            let stale = Unauthenticated::Stale { sensor: "known".to_owned(), off };
            assert_eq!(judged(ID, &sent, SIGNATURE, BODY, now), Err(stale));
            assert_eq!(judged("by nobody", &sent, "v1,AAAA", BODY, now), Err(Unauthenticated::Id));
            assert_eq!(judged("msg_other", &sent, SIGNATURE, BODY, now), Err(Unauthenticated::Signature));
        }
        let late = (SENT + 1).to_string();
        let bare = SIGNATURE.strip_prefix("v1,").unwrap();
        let v2 = format!("v2,{bare}");
        for (id, timestamp, signature, body) in [
            ("msg_other", sent.as_str(), SIGNATURE, BODY),
            (ID, &late, SIGNATURE, BODY),
            (ID, &sent, SIGNATURE, b"{}"),
            (ID, &sent, bare, BODY),
            (ID, &sent, &v2, BODY),
            (ID, &sent, "v1,", BODY),
            (ID, &sent, &SIGNATURE[..20], BODY),
        ] {
            assert_eq!(judged(id, timestamp, signature, body, SENT), Err(Unauthenticated::Signature), "{signature}");
        }
        for timestamp in ["", "+1614265330", "1614265330.0", "99999999999999999999", "now"] {
            assert_eq!(judged(ID, timestamp, SIGNATURE, BODY, SENT), Err(Unauthenticated::Timestamp), "{timestamp}");
        }
        assert_eq!(judged(&"x".repeat(129), &sent, SIGNATURE, BODY, SENT), Err(Unauthenticated::Id));
        let missing = signed(&keys(), &HeaderMap::new(), BODY, SENT);
        assert_eq!(missing, Err(Unauthenticated::Header { name: "webhook-id" }));
    }
}
