//! What a signature promises, and each way to break it.
#![allow(clippy::unwrap_used)]

use jiff::{SignedDuration, Timestamp};
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::ids::{BundleId, ChainId, Counter, IncidentId};
use msp_contracts::keys::{self, SigningKey};
use msp_contracts::signed::{ChainHead, SignedHead, Stamp, StampError};

fn key(seed: u8) -> SigningKey {
    keys::from_seed([seed; 32])
}

fn head() -> SignedHead {
    let head = ChainHead { sequence: Counter(u64::MAX), hash: "ab".repeat(32) };
    let chain = ChainId::from_random([7; 8]);
    SignedHead { schema_version: 1, site_id: "clinic-a".into(), host_id: "apl-1".into(), chain, head }
}

#[test]
fn what_was_signed_comes_back_with_its_64_bit_counter_whole() {
    let envelope = head().sign(&key(1)).unwrap();
    let read = SignedHead::verify(&envelope, &[key(2).verifying_key(), key(1).verifying_key()]).unwrap();
    assert_eq!(read, head());
}

#[test]
fn the_signature_is_the_one_of_the_dsse_protocol() {
    // protocol.md of DSSE v1: PAE("http://example.com/HelloWorld", "hello world").
    let envelope = Envelope::sign("http://example.com/HelloWorld", b"hello world", &key(1));
    let message = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    let expected = ed25519_dalek::Signer::sign(&key(1), message);
    use base64::Engine;
    assert_eq!(envelope.signatures[0].sig, base64::engine::general_purpose::STANDARD.encode(expected.to_bytes()));
}

#[test]
fn every_flipped_bit_of_an_envelope_is_found() {
    let trusted = [key(1).verifying_key()];
    let bytes = head().sign(&key(1)).unwrap().to_bytes().unwrap();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << bit;
            let believed = Envelope::from_bytes(&changed).and_then(|envelope| SignedHead::verify(&envelope, &trusted));
            assert!(believed.is_err(), "byte {position} bit {bit} was changed and nobody noticed");
        }
    }
}

#[test]
fn white_space_and_reordered_keys_are_not_the_envelope() {
    let envelope = head().sign(&key(1)).unwrap();
    let pretty = serde_json::to_vec_pretty(&envelope).unwrap();
    assert!(matches!(Envelope::from_bytes(&pretty), Err(DsseError::NotCanonical)));
}

#[test]
fn an_unknown_signer_a_wrong_type_and_a_forged_signature_are_told_apart() {
    let envelope = head().sign(&key(1)).unwrap();
    assert!(matches!(SignedHead::verify(&envelope, &[key(2).verifying_key()]), Err(DsseError::UnknownSigner { .. })));
    assert!(matches!(SignedHead::verify(&envelope, &[]), Err(DsseError::UnknownSigner { .. })));

    let mut retyped = envelope.clone();
    retyped.payload_type = "application/vnd.msp.freshness.v1+json".into();
    assert!(matches!(SignedHead::verify(&retyped, &[key(1).verifying_key()]), Err(DsseError::WrongType { .. })));

    let mut forged = Envelope::sign(SignedHead::PAYLOAD_TYPE, b"{}", &key(2));
    forged.signatures[0].keyid = keys::key_id(&key(1).verifying_key());
    assert!(matches!(SignedHead::verify(&forged, &[key(1).verifying_key()]), Err(DsseError::BadSignature { .. })));
}

#[test]
fn a_stranger_beside_a_trusted_signature_neither_helps_nor_hurts() {
    let mut envelope = head().sign(&key(1)).unwrap();
    let stranger = head().sign(&key(9)).unwrap();
    envelope.signatures.extend(stranger.signatures);
    assert!(SignedHead::verify(&envelope, &[key(1).verifying_key()]).is_ok());
    envelope.signatures.remove(0);
    assert!(SignedHead::verify(&envelope, &[key(1).verifying_key()]).is_err());
}

#[test]
fn a_small_order_key_signs_nothing() {
    // The identity point "verifies" everything under the lax equation; verify_strict refuses it.
    let identity = format!("01{}", "00".repeat(31));
    let weak = keys::public_from_hex(&identity).unwrap();
    let mut envelope = head().sign(&key(1)).unwrap();
    envelope.signatures[0].keyid = keys::key_id(&weak);
    let mut raw = [0u8; 64];
    raw[0] = 1;
    use base64::Engine;
    envelope.signatures[0].sig = base64::engine::general_purpose::STANDARD.encode(raw);
    assert!(matches!(SignedHead::verify(&envelope, &[weak]), Err(DsseError::BadSignature { .. })));
}

#[test]
fn a_stamp_is_refused_for_others_when_old_replayed_or_from_the_future() {
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let minutes = SignedDuration::from_mins;
    let stamp = Stamp {
        site_id: "clinic-a".into(),
        appliance: "apl-1".into(),
        issued: now,
        expires: now + minutes(15),
        sequence: Counter(7),
    };
    assert_eq!(stamp.check("clinic-a", "apl-1", now, Some(Counter(6))), Ok(()));
    assert!(matches!(stamp.check("clinic-b", "apl-1", now, None), Err(StampError::OtherSite { .. })));
    assert!(matches!(stamp.check("clinic-a", "apl-2", now, None), Err(StampError::OtherAppliance { .. })));
    assert!(matches!(stamp.check("clinic-a", "apl-1", now + minutes(15), None), Err(StampError::Expired { .. })));
    assert!(matches!(stamp.check("clinic-a", "apl-1", now - minutes(6), None), Err(StampError::FromTheFuture { .. })));
    assert!(matches!(stamp.check("clinic-a", "apl-1", now, Some(Counter(7))), Err(StampError::Replayed { .. })));
    assert!(matches!(stamp.check("clinic-a", "apl-1", now, Some(Counter(8))), Err(StampError::Replayed { .. })));
}

#[test]
fn ids_have_one_spelling() {
    let id: BundleId = "CB-2026-11-21-0007".parse().unwrap();
    assert_eq!((id.number, id.to_string().as_str()), (7, "CB-2026-11-21-0007"));
    assert_eq!("CB-2026-11-21-12345".parse::<BundleId>().unwrap().number, 12_345);
    for wrong in [
        "CB-2026-11-21-007",
        "CB-2026-11-21-00007",
        "CB-2026-13-01-0001",
        "CB-2026-11-21-0000",
        "cb-2026-11-21-0001",
        "CB-2026-11-21-+001",
        "CB-é026-11-21-0001",
    ] {
        assert!(wrong.parse::<BundleId>().is_err(), "{wrong}");
    }
    assert_eq!(IncidentId::from_random([0, 1, 2, 0xab, 0xcd, 0xef]).as_str(), "INC-000102abcdef");
    for wrong in ["INC-000102ABCDEF", "INC-000102abcde", "000102abcdef"] {
        assert!(IncidentId::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
    for wrong in ["-1", "01", "+1", "", "18446744073709551616", "1.0"] {
        assert!(Counter::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_naive_time_is_refused() {
    assert!(serde_json::from_str::<Timestamp>("\"2026-11-21T12:00:00\"").is_err());
    assert!(serde_json::from_str::<Timestamp>("\"2026-11-21T12:00:00+01:00\"").is_ok());
}

#[test]
fn keys_survive_their_file_and_nonsense_is_named() {
    let pem = keys::private_to_pem(&key(3)).unwrap();
    assert_eq!(keys::private_from_pem(pem.as_ref()).unwrap().to_bytes(), key(3).to_bytes());
    assert!(keys::private_from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    let public = keys::public_to_hex(&key(3).verifying_key());
    assert_eq!(keys::public_from_hex(&public).unwrap(), key(3).verifying_key());
    let sign = format!("+{}", &public[1..]);
    for wrong in ["", "zz", &public[..62], &format!("{}é", &public[..62]), &"z".repeat(64), &sign] {
        assert!(keys::public_from_hex(wrong).is_err(), "{wrong:?}");
    }
}
