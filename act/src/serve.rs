//! One connection: who asks, what, whether it may be, and the one call that does it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::bus;
use crate::peer;
use crate::policy::{self, Policy};
use crate::protocol::{BOOT_ID, LONGEST_AGE_MS, LONGEST_REQUEST, Operation, Reply, Request, SCHEMA, boot_time_ms};
use crate::refusals;
use crate::seen;
use crate::switching::{self, Denied};
use msp_agent_switch::places::Places;

/// How long a peer may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Two readings of one clock in two processes: a request is not from the future.
const AHEAD_MS: u64 = 1000;

/// What the executor lives in.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Root's list.
    pub policy: PathBuf,
    /// Whose the list must be: root's.
    pub owner: u32,
    /// passwd(5).
    pub passwd: PathBuf,
    /// The folder for notes of what was asked and refused.
    pub notes: PathBuf,
    /// The kernel's word on which boot this is.
    pub boot_id: PathBuf,
    /// The system bus.
    pub bus: PathBuf,
    /// Where generations and their records lie.
    pub places: Places,
}

impl Surroundings {
    /// Those of a real machine.
    #[must_use]
    pub fn real() -> Self {
        let notes = PathBuf::from(refusals::FILE).parent().map(PathBuf::from).unwrap_or_default();
        Self {
            policy: policy::FILE.into(),
            owner: 0,
            passwd: "/etc/passwd".into(),
            notes,
            boot_id: BOOT_ID.into(),
            bus: bus::SOCKET.into(),
            places: Places::own(),
        }
    }
}

/// What became of a connection, for the journal.
#[derive(Debug)]
pub struct Served {
    /// The user that connected, as far as the kernel said.
    pub uid: Option<u32>,
    /// The request's id, where there was one.
    pub id: Option<String>,
    /// The answer.
    pub reply: Reply,
}

/// Serves one connection to its end.
#[must_use]
pub fn serve(mut stream: UnixStream, around: &Surroundings) -> Served {
    let mut served = Served { uid: None, id: None, reply: Reply::Refused { reason: String::new() } };
    served.reply = match judged(&mut stream, around, &mut served) {
        Ok(reply) => reply,
        Err(reason) => {
            // Written down for the daemon; where it cannot be, the journal has it still.
            drop(refusals::add(&around.notes.join("refused"), served.uid.unwrap_or(u32::MAX), &reason));
            Reply::Refused { reason }
        }
    };
    if let Ok(line) = serde_json::to_string(&served.reply) {
        // A peer that did not wait for its answer has no use for it.
        drop(stream.write_all(format!("{line}\n").as_bytes()));
    }
    served
}

fn judged(stream: &mut UnixStream, around: &Surroundings, served: &mut Served) -> Result<Reply, String> {
    let limits = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    limits.map_err(|error| format!("this is no socket ({error})"))?;
    let uid = peer::uid(stream).map_err(|error| format!("the kernel does not say who asks ({error})"))?;
    served.uid = Some(uid);
    let policy = Policy::read(&around.policy, around.owner).map_err(|error| error.to_string())?;
    let passwd = std::fs::read_to_string(&around.passwd).map_err(|error| format!("passwd: {error}"))?;
    let allowed = peer::uid_of(&passwd, &policy.user).ok_or_else(|| format!("there is no user {}", policy.user))?;
    if uid != allowed {
        return Err(format!("user {uid} may not ask, only {} ({allowed})", policy.user));
    }
    let request: Request =
        serde_json::from_slice(&line(stream)?).map_err(|error| format!("this is no request: {error}"))?;
    if request.id.len() != 32 || !request.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the request's id is not 32 hexadecimal characters".to_owned());
    }
    served.id = Some(request.id.clone());
    is_fresh(&request, around)?;
    seen::note(&around.notes.join("seen"), &request, boot_time_ms())?;
    let (switch, places) = (policy.switch(&request.operation), &around.places);
    let id = match &request.operation {
        Operation::SwitchGeneration { order, contact } => switching::by_order(switch?, places, order, *contact),
        Operation::RestoreGeneration { contact } => {
            switch?;
            switching::to_declared(places, &request.id, *contact)
        }
        Operation::ConfirmSwitch { id } => {
            switch?;
            switching::confirm(places, id)?;
            return Ok(Reply::Done { what: format!("switch {id} is confirmed") });
        }
        operation => {
            let job = policy.job(operation)?;
            return Ok(asked(around, job.method, job.unit));
        }
    };
    let id = match id {
        Ok(id) => id,
        Err(Denied::NotNow(reason)) => return Ok(Reply::Failed { reason }),
        Err(Denied::Refused(reason)) => return Err(reason),
    };
    let reply = asked(around, "StartUnit", &format!("msp-agent-switch@{id}.service"));
    if let Reply::Failed { reason } = &reply {
        switching::not_begun(places, &id, reason);
    }
    Ok(reply)
}

fn asked(around: &Surroundings, method: &str, unit: &str) -> Reply {
    match bus::manager(&around.bus, method, &[unit, "replace"]) {
        Ok(()) => Reply::Queued { method: method.to_owned(), unit: unit.to_owned() },
        Err(error) => Reply::Failed { reason: error.to_string() },
    }
}

/// The one line, without its newline.
fn line(stream: &mut UnixStream) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 512];
    loop {
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            if end + 1 != bytes.len() {
                return Err("more than one request on a connection".to_owned());
            }
            bytes.truncate(end);
            return Ok(bytes);
        }
        if bytes.len() >= LONGEST_REQUEST {
            return Err(format!("a request longer than {LONGEST_REQUEST} bytes"));
        }
        match stream.read(&mut chunk) {
            Ok(0) => return Err("the connection ended before the request did".to_owned()),
            Ok(count) => bytes.extend(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("the request did not arrive ({error})")),
        }
    }
}

fn is_fresh(request: &Request, around: &Surroundings) -> Result<(), String> {
    if request.schema != SCHEMA {
        return Err(format!("schema {}, this version reads {SCHEMA}", request.schema));
    }
    let boot = std::fs::read_to_string(&around.boot_id).map_err(|error| format!("the boot's id: {error}"))?;
    if request.boot_id != boot.trim() {
        return Err("the request is of another boot".to_owned());
    }
    let now = boot_time_ms();
    if request.issued_ms > now + AHEAD_MS {
        return Err("the request is from the future".to_owned());
    }
    if now.saturating_sub(request.issued_ms) > LONGEST_AGE_MS {
        return Err(format!("the request is older than {} s", LONGEST_AGE_MS / 1000));
    }
    Ok(())
}
