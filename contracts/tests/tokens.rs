//! Enrolment tokens: one spelling, and damage is told from everything else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_contracts::token::{EnrollToken, TokenError};

#[test]
fn a_token_survives_being_copied_and_says_whose_fleet_it_is_for() {
    let token = EnrollToken::new([7; 32], b"a certificate");
    let text = token.reveal();
    let read: EnrollToken = format!("  {}\n", *text).parse().unwrap();
    assert_eq!(read, token);
    assert!(read.is_of(b"a certificate") && !read.is_of(b"another certificate"));
    assert!(
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')),
        "one word of a shell"
    );
    let shown = format!("{token:?}");
    assert!(!shown.contains("7, 7") && !shown.contains(&token.secret_sha256()), "{shown}");
}

#[test]
fn every_cut_and_every_changed_character_is_called_damage() {
    let text = EnrollToken::new([7; 32], b"a certificate").reveal().to_string();
    let body = text.find('_').unwrap() + 1;
    for end in body..text.len() {
        let cut = text[..end].parse::<EnrollToken>();
        assert!(matches!(cut, Err(TokenError::Damaged { .. })), "cut at {end}: {cut:?}");
    }
    for place in body..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap().parse::<EnrollToken>();
        assert!(matches!(changed, Err(TokenError::Damaged { .. })), "changed at {place}: {changed:?}");
    }
    assert!(matches!(format!("{text}A").parse::<EnrollToken>(), Err(TokenError::Damaged { .. })));
    for other in ["", "mspenroll1", "mspenroll2_AAAA", "hunter2"] {
        assert_eq!(other.parse::<EnrollToken>(), Err(TokenError::NoToken), "{other}");
    }
}
