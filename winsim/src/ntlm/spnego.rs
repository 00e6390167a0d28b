//! The envelope that most Windows clients put around NTLM: SPNEGO ([RFC 4178]), as much as a server needs that offers
//! one mechanism.
//!
//! Tokens are DER. Only what is used is read; what does not parse is refused.

/// The mechanism's name: NTLM, 1.3.6.1.4.1.311.2.2.10.
const NTLM: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
/// SPNEGO's own name, 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
/// The first token of a client, with SPNEGO's name.
const APPLICATION: u8 = 0x60;

/// The context tag with this number.
const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// A token that is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed SPNEGO token: {0}")]
pub(crate) struct Malformed(&'static str);

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// The first token.
    Init {
        /// The client's list of mechanisms, in DER: what the integrity codes are over.
        list: &'a [u8],
        /// Whether NTLM is in it.
        offers_ntlm: bool,
        /// A first message, for the first mechanism of the list, where that is NTLM.
        message: Option<&'a [u8]>,
    },
    /// A later one.
    Response {
        message: Option<&'a [u8]>,
        /// The client's integrity code of its list.
        mic: Option<&'a [u8]>,
    },
}

/// Whether this token is in SPNEGO's envelope.
pub(super) fn is_wrapped(token: &[u8]) -> bool {
    matches!(token.first(), Some(&APPLICATION) | Some(0xa1))
}

/// Reads a token of a client.
pub(super) fn read(token: &[u8]) -> Result<Token<'_>, Malformed> {
    if token.first() == Some(&APPLICATION) {
        let (name, rest) = expect(expect(token, APPLICATION)?.0, OBJECT_ID)?;
        if name != SPNEGO {
            return Err(Malformed("it is of another protocol"));
        }
        return read_init(expect(expect(rest, context(0))?.0, SEQUENCE)?.0);
    }
    let fields = expect(expect(token, context(1))?.0, SEQUENCE)?.0;
    let (mut message, mut mic) = (None, None);
    for (tag, content) in Elements(fields) {
        match tag {
            Some(0xa2) => message = Some(expect(content, OCTETS)?.0),
            Some(0xa3) => mic = Some(expect(content, OCTETS)?.0),
            Some(_) => {}
            None => return Err(Malformed("it is cut short")),
        }
    }
    Ok(Token::Response { message, mic })
}

fn read_init(fields: &[u8]) -> Result<Token<'_>, Malformed> {
    let (mut list, mut message) = (None, None);
    for (tag, content) in Elements(fields) {
        match tag {
            Some(0xa0) => list = Some(content),
            Some(0xa2) => message = Some(expect(content, OCTETS)?.0),
            Some(_) => {}
            None => return Err(Malformed("it is cut short")),
        }
    }
    let list = list.ok_or(Malformed("it names no mechanism"))?;
    let names: Vec<_> = Elements(expect(list, SEQUENCE)?.0).collect();
    let offers_ntlm = names.contains(&(Some(OBJECT_ID), NTLM));
    let first = names.first().is_some_and(|name| *name == (Some(OBJECT_ID), NTLM));
    Ok(Token::Init { list, offers_ntlm, message: message.filter(|_| first) })
}

/// How the negotiation stands, to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Completed = 0,
    Incomplete = 1,
    /// NTLM instead of the client's first choice: both lists must be proved unaltered.
    RequestMic = 3,
}

/// Writes the server's token.
pub(super) fn write(state: State, names_ntlm: bool, message: Option<&[u8]>, mic: Option<&[u8]>) -> Vec<u8> {
    let mut fields = wrap(context(0), &wrap(ENUMERATED, &[state as u8]));
    if names_ntlm {
        fields.extend(wrap(context(1), &wrap(OBJECT_ID, NTLM)));
    }
    for (number, bytes) in [(2, message), (3, mic)] {
        if let Some(bytes) = bytes {
            fields.extend(wrap(context(number), &wrap(OCTETS, bytes)));
        }
    }
    wrap(context(1), &wrap(SEQUENCE, &fields))
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let length: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(0x80 | u8::try_from(length.len()).unwrap_or(u8::MAX));
            bytes.extend(length);
        }
    }
    bytes.extend(content);
    bytes
}

/// Content of the element that must come next, and what follows it.
fn expect(bytes: &[u8], tag: u8) -> Result<(&[u8], &[u8]), Malformed> {
    match element(bytes) {
        Some((found, content, rest)) if found == tag => Ok((content, rest)),
        Some(_) => Err(Malformed("it holds another element than it must")),
        None => Err(Malformed("it is cut short")),
    }
}

/// Tag and content of the next element, and what follows it; None when it is cut short.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first & 0x7f);
    if first & 0x80 != 0 {
        // Tokens are a few hundred bytes: four bytes of length are plenty.
        let (digits, after) = rest.split_at_checked(length).filter(|(digits, _)| (1..=4).contains(&digits.len()))?;
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// Tags and contents one after the other; a last one without a tag when the bytes are cut short.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (Option<u8>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some((tag, content, rest)) = element(self.0) else {
            return Some((None, std::mem::take(&mut self.0)));
        };
        self.0 = rest;
        Some((Some(tag), content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first token of a client with this list of mechanisms and this message.
    fn init(names: &[&[u8]], message: &[u8]) -> Vec<u8> {
        let list: Vec<u8> = names.iter().flat_map(|name| wrap(OBJECT_ID, name)).collect();
        let mut fields = wrap(context(0), &wrap(SEQUENCE, &list));
        fields.extend(wrap(context(2), &wrap(OCTETS, message)));
        let mut inner = wrap(OBJECT_ID, SPNEGO);
        inner.extend(wrap(context(0), &wrap(SEQUENCE, &fields)));
        wrap(APPLICATION, &inner)
    }

    #[test]
    fn a_message_counts_only_when_ntlm_is_the_clients_first_choice() {
        let kerberos: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
        for (names, offers, carries) in [
            (&[NTLM][..], true, true),
            (&[NTLM, kerberos], true, true),
            (&[kerberos, NTLM], true, false),
            (&[kerberos], false, false),
        ] {
            let token = init(names, &[7; 300]);
            let Ok(Token::Init { offers_ntlm, message, .. }) = read(&token) else { panic!("{names:?}") };
            assert_eq!((offers_ntlm, message.is_some()), (offers, carries), "{names:?}");
        }
    }

    #[test]
    fn a_token_cut_anywhere_is_malformed_and_nothing_panics() {
        let token = init(&[NTLM], &[7; 300]);
        for end in 0..token.len() {
            assert!(read(&token[..end]).is_err(), "{end}");
        }
        let answer = write(State::Completed, true, Some(&[1; 200]), Some(&[2; 16]));
        let expected = Token::Response { message: Some(&[1; 200]), mic: Some(&[2; 16]) };
        assert_eq!(read(&answer), Ok(expected));
        for end in 0..answer.len() {
            assert!(read(&answer[..end]).is_err(), "{end}");
        }
        for hostile in [&[0xa1, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x60, 0x80], &[0xa1, 0x85, 1, 1, 1, 1, 1], &[]] {
            assert!(read(hostile).is_err(), "{hostile:?}");
        }
    }
}
