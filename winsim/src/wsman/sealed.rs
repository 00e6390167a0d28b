//! The layout of a sealed body ([MS-WSMV] 2.2.9.1): `multipart/encrypted`, with a signature and the sealed envelope in its
//! second part. Not MIME: the lines have a tab, and no line end stands before the closing boundary.

use crate::ntlm::{SIGNATURE, Session};

/// What a sealed body's `Content-Type` begins with.
pub(super) const MEDIA_TYPE: &str = "multipart/encrypted";

/// The `Content-Type` of a sealed body.
pub(super) const CONTENT_TYPE: &str =
    "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";

/// How much longer than its envelope a sealed body can be.
pub(super) const FRAME: usize = 512;

const BOUNDARY: &[u8] = b"--Encrypted Boundary\r\n";
const END: &[u8] = b"--Encrypted Boundary--\r\n";
const PROTOCOL: &[u8] = b"\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n";
const ORIGINAL: &[u8] = b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=";
const OCTETS: &[u8] = b"\tContent-Type: application/octet-stream\r\n";

/// Why a body did not open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unopened {
    #[error("the sealed body is laid out wrongly: {0}")]
    Layout(&'static str),
    #[error(transparent)]
    Signature(#[from] crate::ntlm::BadSignature),
}

/// Seals an envelope.
pub(super) fn seal(session: &mut Session, envelope: &str) -> Vec<u8> {
    let mut sealed = envelope.as_bytes().to_vec();
    let signature = session.seal(&mut sealed);
    let length = envelope.len().to_string();
    let signature_length = (SIGNATURE as u32).to_le_bytes();
    [
        BOUNDARY,
        PROTOCOL,
        ORIGINAL,
        length.as_bytes(),
        b"\r\n",
        BOUNDARY,
        OCTETS,
        &signature_length,
        &signature,
        &sealed,
        END,
    ]
    .concat()
}

/// Opens a body.
///
/// # Errors
/// It is laid out wrongly, or does not verify. The session is of no use after the latter.
pub(super) fn open(session: &mut Session, body: &[u8]) -> Result<Vec<u8>, Unopened> {
    let rest = after(body, &[BOUNDARY, PROTOCOL, ORIGINAL], "its first part is not that of a sealed envelope")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(digits);
    let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<usize>().ok());
    let length = length.ok_or(Unopened::Layout("its first part gives no length"))?;
    let rest = after(rest, &[b"\r\n", BOUNDARY, OCTETS], "its second part is not one of bytes")?;
    let (signature_length, rest) = rest.split_first_chunk().ok_or(Unopened::Layout("it is cut short"))?;
    if u32::from_le_bytes(*signature_length) != SIGNATURE as u32 {
        return Err(Unopened::Layout("its signature is not 16 bytes long"));
    }
    let (signature, rest) = rest.split_first_chunk().ok_or(Unopened::Layout("it is cut short"))?;
    let sealed = rest.strip_suffix(END).ok_or(Unopened::Layout("it does not end with its boundary"))?;
    if sealed.len() != length {
        return Err(Unopened::Layout("it is not as long as it says"));
    }
    let mut envelope = sealed.to_vec();
    session.open(signature, &mut envelope)?;
    Ok(envelope)
}

fn after<'a>(body: &'a [u8], expected: &[&[u8]], wrong: &'static str) -> Result<&'a [u8], Unopened> {
    expected
        .iter()
        .try_fold(body, |rest, line| {
            let (start, rest) = rest.split_at_checked(line.len())?;
            start.eq_ignore_ascii_case(line).then_some(rest)
        })
        .ok_or(Unopened::Layout(wrong))
}
