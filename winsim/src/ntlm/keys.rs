//! The primitives of NTLMv2 and the keys made from them ([MS-NLMP] 3.3.2, 3.4.5).
//!
//! MD4, MD5 and RC4 are broken for new designs; they are what the protocol is made of. Every key is 16 bytes, so neither
//! HMAC nor RC4 can refuse one.

use hmac::{Hmac, KeyInit, Mac};
use md4::Md4;
use md5::{Digest, Md5};
use rc4::{Rc4, StreamCipher};

/// A key of the protocol.
pub(super) type Key = [u8; 16];

/// Which of the two sides sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(super) fn md5(parts: &[&[u8]]) -> Key {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub(super) fn hmac_md5(key: &Key, parts: &[&[u8]]) -> Key {
    // A key shorter than a block is padded with zeros: writing the block out makes its length right by its type.
    let mut block = [0; 64];
    block[..16].copy_from_slice(key);
    let mut mac = Hmac::<Md5>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// An RC4 stream from its start.
pub(super) fn rc4(key: &Key) -> Rc4 {
    // The key schedule repeats its key, so that a key of 16 bytes and the same key twice are one stream.
    let mut twice = [0; 32];
    twice[..16].copy_from_slice(key);
    twice[16..].copy_from_slice(key);
    Rc4::new(&twice.into())
}

/// The key that an account's password gives, for the name and domain as the client wrote them (NTOWFv2).
pub(super) fn password_key(user: &str, domain: &str, password: &str) -> Key {
    let hash: Key = Md4::digest(utf16(password)).into();
    hmac_md5(&hash, &[&utf16(&user.to_uppercase()), &utf16(domain)])
}

/// What proves the password: `blob` is the client's part of the response, without its proof (NTProofStr).
pub(super) fn proof(password_key: &Key, server_challenge: [u8; 8], blob: &[u8]) -> Key {
    hmac_md5(password_key, &[&server_challenge, blob])
}

/// The key that both sides have without sending it (SessionBaseKey, with NTLMv2 also KeyExchangeKey).
pub(super) fn base_key(password_key: &Key, proof: &Key) -> Key {
    hmac_md5(password_key, &[proof])
}

/// The session's key, which the client made up and sent encrypted.
pub(super) fn exchanged(base_key: &Key, encrypted: &Key) -> Key {
    let mut key = *encrypted;
    rc4(base_key).apply_keystream(&mut key);
    key
}

/// The key that signs what this side sends (SIGNKEY).
pub(super) fn signing(session_key: &Key, sender: Sender) -> Key {
    let magic: &[u8] = match sender {
        Sender::Client => b"session key to client-to-server signing key magic constant\0",
        Sender::Server => b"session key to server-to-client signing key magic constant\0",
    };
    md5(&[session_key, magic])
}

/// The key that seals what this side sends, at 128 bits (SEALKEY).
pub(super) fn sealing(session_key: &Key, sender: Sender) -> Key {
    let magic: &[u8] = match sender {
        Sender::Client => b"session key to client-to-server sealing key magic constant\0",
        Sender::Server => b"session key to server-to-client sealing key magic constant\0",
    };
    md5(&[session_key, magic])
}

/// Compares without telling by its time where two values first differ.
pub(super) fn same(a: &Key, b: &Key) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_standard_s_worked_example() {
        // [MS-NLMP] 4.2.4: User, Password, Domain; random session key 55..55.
        let key = password_key("User", "Domain", "Password");
        assert_eq!(u128::from_be_bytes(key), 0x0c86_8a40_3bfd_7a93_a300_1ef2_2ef0_2e3f);
        let session = [0x55; 16];
        assert_eq!(u128::from_be_bytes(sealing(&session, Sender::Client)), 0x59f6_0097_3cc4_960a_2548_0a7c_196e_4c58);
        assert_eq!(u128::from_be_bytes(signing(&session, Sender::Client)), 0x4788_dc86_1b47_82f3_5d43_fd98_fe1a_2d39);
    }
}
