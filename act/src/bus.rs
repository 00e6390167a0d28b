//! One method call on the system bus, by hand: as much of the D-Bus Specification as that takes.
//!
//! A library would bring a runtime, threads and a few hundred thousand lines into the one process that is root. What
//! comes back is the bus's own word; its lengths are bounded all the same.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

/// Where the system bus listens.
pub(crate) const SOCKET: &str = "/run/dbus/system_bus_socket";

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 64 * 1024;
/// Signals that may come before the answer.
const MOST_MESSAGES: usize = 64;

/// The service manager was not reached, or said no.
#[derive(Debug, Error)]
pub(crate) enum BusError {
    #[error("the system bus does not answer ({0})")]
    Io(#[from] std::io::Error),
    #[error("the system bus answered what is no answer: {0}")]
    Form(&'static str),
    #[error("the service manager says: {name}: {text}")]
    Said { name: String, text: String },
}

/// Calls a method of org.freedesktop.systemd1.Manager with texts, and waits for its answer.
pub(crate) fn manager(bus: &Path, method: &str, arguments: &[&str]) -> Result<(), BusError> {
    let mut stream = UnixStream::connect(bus)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    authenticate(&mut stream)?;
    let hello = Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        arguments: &[],
    };
    stream.write_all(&hello.bytes(1))?;
    answer(&mut stream, 1)?;
    let call = Call {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: method,
        arguments,
    };
    stream.write_all(&call.bytes(2))?;
    answer(&mut stream, 2)
}

/// "Authentication Protocol": EXTERNAL, by the kernel's word on who connects.
fn authenticate(stream: &mut UnixStream) -> Result<(), BusError> {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        if line.len() > 512 {
            return Err(BusError::Form("a line without end"));
        }
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    if !line.starts_with(b"OK ") {
        return Err(BusError::Form("no OK to the authentication"));
    }
    Ok(stream.write_all(b"BEGIN\r\n")?)
}

struct Call<'a> {
    destination: &'a str,
    path: &'a str,
    interface: &'a str,
    member: &'a str,
    arguments: &'a [&'a str],
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_u32(bytes: &mut Vec<u8>, value: usize) {
    // Every text here is far shorter; one that were not would make a message that the bus refuses.
    bytes.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    pad(bytes, 4);
    put_u32(bytes, text.len());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn put_signature(bytes: &mut Vec<u8>, signature: &str) {
    bytes.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
    bytes.extend(signature.as_bytes());
    bytes.push(0);
}

impl Call<'_> {
    /// "Message Format", little-endian.
    fn bytes(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        for argument in self.arguments {
            put_text(&mut body, argument);
        }
        // METHOD_CALL, no flags, protocol 1.
        let mut message = vec![b'l', 1, 0, 1];
        put_u32(&mut message, body.len());
        message.extend(serial.to_le_bytes());
        let mut fields = Vec::new();
        for (code, kind, text) in
            [(1, "o", self.path), (2, "s", self.interface), (3, "s", self.member), (6, "s", self.destination)]
        {
            pad(&mut fields, 8);
            fields.push(code);
            put_signature(&mut fields, kind);
            put_text(&mut fields, text);
        }
        if !self.arguments.is_empty() {
            pad(&mut fields, 8);
            fields.push(8);
            put_signature(&mut fields, "g");
            put_signature(&mut fields, &"s".repeat(self.arguments.len()));
        }
        put_u32(&mut message, fields.len());
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        message
    }
}

/// Waits for the answer to the call of this serial.
fn answer(stream: &mut UnixStream, serial: u32) -> Result<(), BusError> {
    for _ in 0..MOST_MESSAGES {
        let message = Message::read(stream)?;
        if message.reply_to != Some(serial) {
            continue;
        }
        return match message.kind {
            2 => Ok(()),
            3 => Err(BusError::Said {
                name: message.error.unwrap_or_default(),
                text: Bytes { bytes: &message.body, at: 0 }.text().unwrap_or_default(),
            }),
            _ => Err(BusError::Form("an answer of an unknown type")),
        };
    }
    Err(BusError::Form("other messages, and no answer"))
}

struct Message {
    kind: u8,
    reply_to: Option<u32>,
    error: Option<String>,
    body: Vec<u8>,
}

impl Message {
    fn read(stream: &mut UnixStream) -> Result<Self, BusError> {
        let mut fixed = [0; 16];
        stream.read_exact(&mut fixed)?;
        if fixed[0] != b'l' {
            return Err(BusError::Form("not little-endian"));
        }
        let mut bytes = Bytes { bytes: &fixed, at: 4 };
        let body = bytes.u32()? as usize;
        bytes.at = 12;
        let fields = bytes.u32()? as usize;
        if body > LONGEST || fields > LONGEST {
            return Err(BusError::Form("a message that is too long"));
        }
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        stream.read_exact(&mut rest)?;
        let body = rest.split_off(fields.next_multiple_of(8));
        let mut message = Self { kind: fixed[1], reply_to: None, error: None, body };
        // The array begins at byte 16 of the message, which is aligned to 8: offsets within it align alike.
        let mut bytes = Bytes { bytes: &rest[..fields], at: 0 };
        while bytes.at < fields {
            bytes.align(8);
            let code = bytes.byte()?;
            let kind = bytes.signature()?;
            match (code, kind.as_str()) {
                (5, "u") => message.reply_to = Some(bytes.u32()?),
                (4, "s") => message.error = Some(bytes.text()?),
                (_, "s" | "o") => drop(bytes.text()?),
                (_, "g") => drop(bytes.signature()?),
                (_, "u") => drop(bytes.u32()?),
                _ => return Err(BusError::Form("a header of an unknown type")),
            }
        }
        Ok(message)
    }
}

/// A reader that never leaves its bytes.
struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], BusError> {
        let end = self.at.checked_add(count).ok_or(BusError::Form("a length that is none"))?;
        let taken = self.bytes.get(self.at..end).ok_or(BusError::Form("a message that is cut off"))?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, BusError> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, BusError> {
        self.align(4);
        let taken = self.take(4)?;
        Ok(u32::from_le_bytes([taken[0], taken[1], taken[2], taken[3]]))
    }

    fn text(&mut self) -> Result<String, BusError> {
        let length = self.u32()? as usize;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.byte()?;
        Ok(text)
    }

    fn signature(&mut self) -> Result<String, BusError> {
        let length = usize::from(self.byte()?);
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.byte()?;
        Ok(text)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    /// A bus that answers two calls, the second with an error of this name, and gives back what it was sent.
    pub(crate) fn fake(socket: &Path, error: Option<&'static str>) -> JoinHandle<Vec<u8>> {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut sent = Vec::new();
            let mut chunk = [0; 4096];
            let mut until = |stream: &mut UnixStream, end: &[u8]| {
                while !sent.windows(end.len()).any(|window| window == end) {
                    let count = stream.read(&mut chunk).unwrap();
                    assert!(count > 0, "the client left");
                    sent.extend(&chunk[..count]);
                }
            };
            until(&mut stream, b"\r\n");
            stream.write_all(b"OK 0123456789abcdef\r\n").unwrap();
            until(&mut stream, b"Hello");
            // Before the answer comes a signal, as a real bus sends one.
            stream.write_all(&reply(4, 99, None)).unwrap();
            stream.write_all(&reply(2, 1, None)).unwrap();
            until(&mut stream, b"replace\0");
            stream.write_all(&reply(if error.is_some() { 3 } else { 2 }, 2, error)).unwrap();
            sent
        })
    }

    fn reply(kind: u8, to: u32, error: Option<&str>) -> Vec<u8> {
        let mut body = Vec::new();
        put_text(&mut body, "no such thing");
        let mut fields = vec![5];
        put_signature(&mut fields, "u");
        pad(&mut fields, 4);
        fields.extend(to.to_le_bytes());
        if let Some(error) = error {
            pad(&mut fields, 8);
            fields.push(4);
            put_signature(&mut fields, "s");
            put_text(&mut fields, error);
        }
        let mut message = vec![b'l', kind, 0, 1];
        put_u32(&mut message, body.len());
        message.extend([7, 0, 0, 0]);
        put_u32(&mut message, fields.len());
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        message
    }

    #[test]
    fn a_call_is_sent_and_its_answer_told_from_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus");
        let bus = fake(&socket, None);
        manager(&socket, "StartUnit", &["sshd.service", "replace"]).unwrap();
        let sent = bus.join().unwrap();
        assert!(sent.starts_with(b"\0AUTH EXTERNAL "));
        assert!(sent.ends_with(b"\x0c\0\0\0sshd.service\0\0\0\0\x07\0\0\0replace\0"), "{sent:?}");
        std::fs::remove_file(&socket).unwrap();
        let bus = fake(&socket, Some("org.freedesktop.systemd1.NoSuchUnit"));
        let error = manager(&socket, "StartUnit", &["x.service", "replace"]).unwrap_err().to_string();
        assert_eq!(error, "the service manager says: org.freedesktop.systemd1.NoSuchUnit: no such thing");
        bus.join().unwrap();
    }

    #[test]
    fn no_length_in_a_message_leads_out_of_it() {
        for (field, value) in [(4, u32::MAX), (12, u32::MAX), (12, 4000), (4, 70_000)] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            let mut message = reply(3, 2, Some("a.b"));
            message[field..field + 4].copy_from_slice(&value.to_le_bytes());
            theirs.write_all(&message).unwrap();
            drop(theirs);
            assert!(answer(&mut ours, 2).is_err(), "{field} {value}");
        }
    }
}
