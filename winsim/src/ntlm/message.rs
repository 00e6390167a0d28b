//! The three messages of the handshake ([MS-NLMP] 2.2.1), read with bounds and written.
//!
//! A field says where in the message its bytes lie; whatever points outside is a malformed message.

/// What both sides can do (NegotiateFlags, [MS-NLMP] 2.2.2.5).
pub(super) mod flags {
    pub(crate) const UNICODE: u32 = 0x0000_0001;
    pub(crate) const REQUEST_TARGET: u32 = 0x0000_0004;
    pub(crate) const SIGN: u32 = 0x0000_0010;
    pub(crate) const SEAL: u32 = 0x0000_0020;
    pub(crate) const NTLM: u32 = 0x0000_0200;
    pub(crate) const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub(crate) const TARGET_TYPE_DOMAIN: u32 = 0x0001_0000;
    pub(crate) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(crate) const TARGET_INFO: u32 = 0x0080_0000;
    pub(crate) const VERSION: u32 = 0x0200_0000;
    pub(crate) const BITS_128: u32 = 0x2000_0000;
    pub(crate) const KEY_EXCHANGE: u32 = 0x4000_0000;
}

/// The kinds of values in a target information ([MS-NLMP] 2.2.2.1).
pub(super) mod av {
    pub(crate) const END: u16 = 0;
    pub(crate) const NETBIOS_COMPUTER: u16 = 1;
    pub(crate) const NETBIOS_DOMAIN: u16 = 2;
    pub(crate) const DNS_COMPUTER: u16 = 3;
    pub(crate) const DNS_DOMAIN: u16 = 4;
    pub(crate) const FLAGS: u16 = 6;
    pub(crate) const TIMESTAMP: u16 = 7;
    pub(crate) const CHANNEL_BINDINGS: u16 = 10;

    /// In `FLAGS`: the client's last message carries a MIC.
    pub(crate) const HAS_MIC: u32 = 0x0000_0002;
}

/// The first bytes of every message.
pub(super) const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Where the MIC lies in the client's last message, and its length.
const MIC: std::ops::Range<usize> = 72..88;

/// Where the client's part of an NTLMv2 response holds its target information, counted from the proof's end.
const BLOB_TARGET_INFO: usize = 28;

/// A message that is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed NTLM message: {0}")]
pub(crate) struct Malformed(&'static str);

/// Reads the client's first message: what it can do.
pub(super) fn negotiate(message: &[u8]) -> Result<u32, Malformed> {
    expect_kind(message, 1)?;
    number(message, 12)
}

/// The kind of a message: 1, 2 or 3.
pub(super) fn kind(message: &[u8]) -> Result<u32, Malformed> {
    if message.get(..8) != Some(SIGNATURE) {
        return Err(Malformed("it does not begin with NTLMSSP"));
    }
    number(message, 8)
}

/// What the server's message says.
#[derive(Debug)]
pub(super) struct Challenge<'a> {
    pub(super) flags: u32,
    pub(super) challenge: [u8; 8],
    /// The name of the domain, or of the computer where there is none.
    pub(super) target: &'a [u8],
    pub(super) target_info: &'a [u8],
}

impl Challenge<'_> {
    /// The message's bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        const HEAD: usize = 56;
        // Windows Server 2022, NTLM revision 15: for information only.
        const VERSION: [u8; 8] = [10, 0, 0x7c, 0x4f, 0, 0, 0, 15];
        let mut message = SIGNATURE.to_vec();
        message.extend(2_u32.to_le_bytes());
        message.extend(field(self.target, HEAD));
        message.extend(self.flags.to_le_bytes());
        message.extend(self.challenge);
        message.extend([0; 8]);
        message.extend(field(self.target_info, HEAD + self.target.len()));
        message.extend(VERSION);
        message.extend(self.target);
        message.extend(self.target_info);
        message
    }
}

/// Length twice, then the place. What this server sends is a few names and numbers, far below 64 KiB.
fn field(bytes: &[u8], at: usize) -> [u8; 8] {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
    let at = u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes();
    [length[0], length[1], length[0], length[1], at[0], at[1], at[2], at[3]]
}

/// A list of values, with its end.
pub(super) fn target_info(values: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, value) in values {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(value);
    }
    bytes.extend([0; 4]);
    bytes
}

/// The client's last message.
#[derive(Debug)]
pub(super) struct Authenticate {
    pub(super) flags: u32,
    pub(super) user: String,
    pub(super) domain: String,
    /// What proves the password.
    pub(super) proof: [u8; 16],
    /// The client's part of the response, which the proof is over.
    pub(super) blob: Vec<u8>,
    pub(super) encrypted_session_key: Option<[u8; 16]>,
    /// The message's own integrity code, where the client says that it put one in.
    pub(super) mic: Option<[u8; 16]>,
    /// What the client saw the channel to be; absent or zero when it binds to none.
    pub(super) channel_bindings: Option<[u8; 16]>,
}

impl Authenticate {
    /// The time that the client put into its response, in Windows' steps of 100 nanoseconds.
    pub(super) fn time(&self) -> Option<u64> {
        self.blob.get(8..16)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// Reads the message.
    pub(super) fn read(message: &[u8]) -> Result<Self, Malformed> {
        expect_kind(message, 3)?;
        let response = payload(message, 20)?;
        let Some((proof, blob)) = response.split_first_chunk::<16>() else {
            return Err(Malformed("it carries no NTLMv2 response"));
        };
        if response.len() <= 24 {
            return Err(Malformed("its response is of NTLM version 1, which is refused"));
        }
        let info = blob.get(BLOB_TARGET_INFO..).ok_or(Malformed("its response is cut short"))?;
        let (mut mic, mut channel_bindings) = (None, None);
        for (kind, value) in values(info)? {
            match kind {
                av::FLAGS if number(value, 0)? & av::HAS_MIC != 0 => mic = Some(fixed(message, MIC.start)?),
                av::CHANNEL_BINDINGS => {
                    channel_bindings = Some(fixed(value, 0)?).filter(|bindings| *bindings != [0; 16]);
                }
                _ => {}
            }
        }
        let encrypted = payload(message, 52)?;
        Ok(Self {
            flags: number(message, 60)?,
            domain: text(payload(message, 28)?)?,
            user: text(payload(message, 36)?)?,
            proof: *proof,
            blob: blob.to_vec(),
            encrypted_session_key: if encrypted.is_empty() { None } else { Some(fixed(encrypted, 0)?) },
            mic,
            channel_bindings,
        })
    }
}

/// The message with its MIC zeroed, which is how the MIC was made.
pub(super) fn without_mic(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(mic) = message.get_mut(MIC) {
        mic.fill(0);
    }
    message
}

fn expect_kind(message: &[u8], expected: u32) -> Result<(), Malformed> {
    if kind(message)? == expected { Ok(()) } else { Err(Malformed("it comes out of turn")) }
}

fn number(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    fixed(bytes, at).map(u32::from_le_bytes)
}

fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    let rest = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    rest.copied().ok_or(Malformed("it is cut short"))
}

/// What the field at this place points to.
fn payload(message: &[u8], at: usize) -> Result<&[u8], Malformed> {
    let length = usize::from(u16::from_le_bytes(fixed(message, at)?));
    if length == 0 {
        return Ok(&[]);
    }
    let start = usize::try_from(number(message, at + 4)?).ok();
    let found = start.and_then(|start| message.get(start..start.checked_add(length)?));
    found.ok_or(Malformed("a field points outside of it"))
}

/// The values of a target information, up to its end.
fn values(mut bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, Malformed> {
    let mut found = Vec::new();
    loop {
        let (kind, length) = (u16::from_le_bytes(fixed(bytes, 0)?), u16::from_le_bytes(fixed(bytes, 2)?));
        if kind == av::END {
            return Ok(found);
        }
        let rest = bytes.get(4..).unwrap_or_default();
        let (value, next) =
            rest.split_at_checked(usize::from(length)).ok_or(Malformed("its target information is cut short"))?;
        found.push((kind, value));
        bytes = next;
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Malformed("a name is no UTF-16"));
    }
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16(&units).map_err(|_| Malformed("a name is no UTF-16"))
}
