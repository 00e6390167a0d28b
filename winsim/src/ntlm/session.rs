//! An established session: signs and seals what goes out, checks and opens what comes in ([MS-NLMP] 3.4.3, 3.4.4, with
//! extended session security and key exchange).
//!
//! Each direction is one RC4 stream and one sequence number, so messages can be opened only in the order they were sealed,
//! each once: a replayed, dropped or altered one does not verify, and nothing after it can.

use rc4::{Rc4, StreamCipher};

use super::keys::{self, Key, Sender};

/// The length of a signature, in bytes.
pub(crate) const SIGNATURE: usize = 16;

/// The signature's version, in its first four bytes.
const VERSION: u32 = 1;

/// A message does not verify: it was altered, replayed, comes out of order, or belongs to another session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message's signature does not verify: it was altered, replayed, or belongs to another session")]
pub(crate) struct BadSignature;

/// One direction.
struct Stream {
    signing: Key,
    sealing: Key,
    cipher: Rc4,
    sequence: u32,
}

impl Stream {
    fn new(session_key: &Key, sender: Sender) -> Self {
        let sealing = keys::sealing(session_key, sender);
        Self { signing: keys::signing(session_key, sender), sealing, cipher: keys::rc4(&sealing), sequence: 0 }
    }

    /// The next signature; it takes eight bytes of the stream, after the message's own.
    fn sign(&mut self, message: &[u8]) -> [u8; SIGNATURE] {
        let sequence = self.sequence.to_le_bytes();
        self.sequence = self.sequence.wrapping_add(1);
        let mac = keys::hmac_md5(&self.signing, &[&sequence, message]);
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&mac[..8]);
        self.cipher.apply_keystream(&mut checksum);
        let mut signature = [0; SIGNATURE];
        signature[..4].copy_from_slice(&VERSION.to_le_bytes());
        signature[4..12].copy_from_slice(&checksum);
        signature[12..].copy_from_slice(&sequence);
        signature
    }
}

/// Both directions, seen from the server.
pub(crate) struct Session {
    outgoing: Stream,
    incoming: Stream,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("sent", &self.outgoing.sequence).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(session_key: &Key) -> Self {
        Self { outgoing: Stream::new(session_key, Sender::Server), incoming: Stream::new(session_key, Sender::Client) }
    }

    /// Seals a message in place.
    pub(crate) fn seal(&mut self, message: &mut [u8]) -> [u8; SIGNATURE] {
        // The signature is over the plain text, and takes its bytes of the stream after the message's.
        let plain = message.to_vec();
        self.outgoing.cipher.apply_keystream(message);
        self.outgoing.sign(&plain)
    }

    /// Opens a message in place.
    ///
    /// # Errors
    /// It does not verify. The session is of no use afterwards.
    pub(crate) fn open(&mut self, signature: &[u8; SIGNATURE], message: &mut [u8]) -> Result<(), BadSignature> {
        self.incoming.cipher.apply_keystream(message);
        self.verify(message, signature)
    }

    /// Signs a list of mechanisms; SPNEGO puts the stream back to its start afterwards ([MS-SPNG] 3.3.5.1).
    pub(super) fn sign_mechanisms(&mut self, list: &[u8]) -> [u8; SIGNATURE] {
        let signature = self.outgoing.sign(list);
        self.outgoing.cipher = keys::rc4(&self.outgoing.sealing);
        signature
    }

    /// Checks the client's signature of its list of mechanisms.
    pub(super) fn verify_mechanisms(&mut self, list: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = signature.try_into().map_err(|_| BadSignature)?;
        self.verify(list, signature)?;
        self.incoming.cipher = keys::rc4(&self.incoming.sealing);
        Ok(())
    }

    fn verify(&mut self, message: &[u8], signature: &[u8; SIGNATURE]) -> Result<(), BadSignature> {
        let expected = self.incoming.sign(message);
        if keys::same(&expected, signature) { Ok(()) } else { Err(BadSignature) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [0x55; 16];

    /// A session as the client has it.
    fn client() -> Session {
        Session { outgoing: Stream::new(&KEY, Sender::Client), incoming: Stream::new(&KEY, Sender::Server) }
    }

    #[test]
    fn sealing_gives_the_bytes_of_the_standard_s_worked_example() {
        // [MS-NLMP] 4.2.4.4: "Plaintext" in UTF-16.
        let mut message = keys::utf16("Plaintext");
        let signature = client().seal(&mut message);
        let sealed = [
            0x54, 0xe5, 0x01, 0x65, 0xbf, 0x19, 0x36, 0xdc, 0x99, 0x60, 0x20, 0xc1, 0x81, 0x1b, 0x0f, 0x06, 0xfb, 0x5f,
        ];
        assert_eq!(message, sealed);
        assert_eq!(u128::from_be_bytes(signature), 0x0100_0000_7fb3_8ec5_c55d_4976_0000_0000);
    }

    #[test]
    fn a_message_opens_once_in_its_order_and_only_unaltered() {
        let seal = |session: &mut Session, text: &[u8]| {
            let mut message = text.to_vec();
            let signature = session.seal(&mut message);
            (signature, message)
        };
        let (mut sender, mut server) = (client(), Session::new(&KEY));
        let (signature, first) = seal(&mut sender, b"first");
        let mut opened = first.clone();
        assert_eq!(server.open(&signature, &mut opened), Ok(()));
        assert_eq!(opened, b"first");
        assert_eq!(server.open(&signature, &mut first.clone()), Err(BadSignature), "replayed");

        let (mut sender, mut server) = (client(), Session::new(&KEY));
        let _dropped = seal(&mut sender, b"first");
        let (signature, mut second) = seal(&mut sender, b"second");
        assert_eq!(server.open(&signature, &mut second), Err(BadSignature), "out of order");

        for byte in 0..5 {
            let (mut sender, mut server) = (client(), Session::new(&KEY));
            let (signature, mut message) = seal(&mut sender, b"first");
            message[byte] ^= 1;
            assert_eq!(server.open(&signature, &mut message), Err(BadSignature), "altered");
        }
        let mut reflected = b"first".to_vec();
        let signature = Session::new(&KEY).seal(&mut reflected);
        assert_eq!(Session::new(&KEY).open(&signature, &mut reflected), Err(BadSignature), "the server's own");
    }
}
