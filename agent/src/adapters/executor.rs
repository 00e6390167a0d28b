//! The appliance's root executor, seen from the daemon: what root's list offers, and one request over its socket.
//!
//! The list is read to know beforehand what would be refused; the executor reads it itself and believes nobody. A
//! request is sent once: when its answer is lost, a look at the machine says what became of it.

use msp_agent_act::policy::{self, Policy};
use msp_agent_act::protocol::{LONGEST_REPLY, Reply, Request, SOCKET};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use uuid::Uuid;

pub use msp_agent_act::protocol::Operation;

/// Why the executor did nothing, or may not have done it.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    #[error("{}: the executor does not answer", socket.display())]
    Io {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the executor did not answer within {} s", limit.as_secs())]
    Silent { limit: Duration },
    #[error("the executor answered what is no answer")]
    Form {
        #[source]
        source: serde_json::Error,
    },
    #[error("the executor refused: {reason}")]
    Refused { reason: String },
    #[error("the executor could not do it: {reason}")]
    Failed { reason: String },
}

/// The executor of this machine.
#[derive(Debug, Clone)]
pub struct Executor {
    socket: PathBuf,
    list: PathBuf,
    /// Whose the list has to be.
    owner: u32,
}

impl Executor {
    /// That of the machine the process runs on.
    pub fn own() -> Self {
        Self { socket: SOCKET.into(), list: policy::FILE.into(), owner: 0 }
    }

    /// Against an operation that this machine's executor would not carry out: there is none, or its list lacks it.
    pub fn objection(&self, operation: &Operation) -> Option<String> {
        if !self.socket.exists() {
            return Some(format!("this machine has no executor ({} is not there)", self.socket.display()));
        }
        match Policy::read(&self.list, self.owner) {
            Ok(policy) => policy.objection(operation),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Asks for one operation, once. What was asked of the service manager.
    pub async fn ask(&self, operation: Operation, limit: Duration) -> Result<String, ExecutorError> {
        let answer = tokio::time::timeout(limit, self.exchange(operation)).await;
        let line = answer
            .map_err(|_| ExecutorError::Silent { limit })?
            .map_err(|source| ExecutorError::Io { socket: self.socket.clone(), source })?;
        match serde_json::from_slice(&line).map_err(|source| ExecutorError::Form { source })? {
            Reply::Queued { method, unit } => Ok(format!("{method} {unit}")),
            Reply::Done { what } => Ok(what),
            Reply::Refused { reason } => Err(ExecutorError::Refused { reason }),
            Reply::Failed { reason } => Err(ExecutorError::Failed { reason }),
        }
    }

    async fn exchange(&self, operation: Operation) -> io::Result<Vec<u8>> {
        let request = Request::now(Uuid::new_v4().simple().to_string(), operation)?;
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST_REPLY as u64).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use msp_agent_act::serve::{Surroundings, serve};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    /// An executor in a thread, with this list and without a bus: what it allows fails there.
    pub fn executor(folder: &Path, list: &str) -> Executor {
        let socket = folder.join("act.sock");
        let (uid, file) = (rustix::process::getuid().as_raw(), folder.join("act.json"));
        std::fs::write(&file, list).unwrap();
        std::fs::write(folder.join("passwd"), format!("msp-agent:x:{uid}:{uid}::/:/x\n")).unwrap();
        let around = Surroundings {
            policy: file.clone(),
            owner: uid,
            passwd: folder.join("passwd"),
            notes: folder.to_owned(),
            boot_id: msp_agent_act::protocol::BOOT_ID.into(),
            bus: folder.join("bus"),
            places: msp_agent_switch::places::Places::below(folder),
        };
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                drop(serve(stream.unwrap(), &around));
            }
        });
        Executor { socket, list: file, owner: uid }
    }

    #[tokio::test]
    async fn a_refusal_a_failure_and_silence_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_secs(5);
        let unit = |unit: &str| Operation::RestartUnit { unit: unit.to_owned() };
        let nobody = Executor { socket: folder.path().join("none"), ..Executor::own() };
        assert!(nobody.objection(&Operation::SyncTime {}).unwrap().contains("no executor"));
        assert!(matches!(nobody.ask(unit("a.service"), limit).await, Err(ExecutorError::Io { .. })));
        let executor = executor(folder.path(), r#"{"user": "msp-agent", "units": ["a.service"]}"#);
        assert_eq!(executor.objection(&unit("a.service")), None);
        assert!(executor.objection(&unit("b.service")).unwrap().contains("not on the list"));
        let error = executor.ask(unit("b.service"), limit).await.unwrap_err();
        assert!(matches!(&error, ExecutorError::Refused { reason } if reason.contains("b.service")), "{error:?}");
        let error = executor.ask(unit("a.service"), limit).await.unwrap_err();
        assert!(matches!(&error, ExecutorError::Failed { reason } if reason.contains("bus")), "{error:?}");
        let silent = UnixListener::bind(folder.path().join("silent")).unwrap();
        let deaf = Executor { socket: folder.path().join("silent"), ..executor };
        let error = deaf.ask(unit("a.service"), Duration::from_millis(50)).await;
        assert!(matches!(error, Err(ExecutorError::Silent { .. })));
        drop(silent);
    }
}
