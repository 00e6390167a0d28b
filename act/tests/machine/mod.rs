//! An executor over a real socket, with a bus that would notice.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use msp_agent_act::protocol::{Operation, Reply, Request};
use msp_agent_act::refusals;
use msp_agent_act::serve::{Surroundings, serve};
use msp_agent_switch::places::Places;

pub struct Machine {
    pub folder: tempfile::TempDir,
    pub around: Surroundings,
    /// A bus on which nobody may ever connect.
    pub bus: UnixListener,
}

impl Machine {
    pub fn new(user: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("act.json"), r#"{"user": "msp-agent", "units": ["web.service"]}"#).unwrap();
        std::fs::write(path("passwd"), format!("msp-agent:x:{user}:{user}::/:/x\n")).unwrap();
        let around = Surroundings {
            policy: path("act.json"),
            owner: rustix::process::geteuid().as_raw(),
            passwd: path("passwd"),
            notes: folder.path().to_owned(),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
            bus: path("bus"),
            places: Places::below(folder.path()),
        };
        let bus = UnixListener::bind(path("bus")).unwrap();
        bus.set_nonblocking(true).unwrap();
        Self { folder, around, bus }
    }

    pub fn own() -> Self {
        Self::new(rustix::process::getuid().as_raw())
    }

    pub fn ask(&self, bytes: &[u8]) -> Reply {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let around = self.around.clone();
        let executor = std::thread::spawn(move || serve(theirs, &around).reply);
        // An executor that has heard enough hangs up.
        drop(ours.write_all(bytes));
        drop(ours.shutdown(std::net::Shutdown::Write));
        let mut said = String::new();
        drop(ours.read_to_string(&mut said));
        let reply = executor.join().unwrap();
        if !said.is_empty() {
            assert_eq!(serde_json::from_str::<Reply>(&said).unwrap(), reply);
        }
        reply
    }

    /// The reason of a refusal, after which nobody has spoken with the bus and the daemon can read of it.
    pub fn refused(&self, bytes: &[u8]) -> String {
        let Reply::Refused { reason } = self.ask(bytes) else { panic!("not refused") };
        assert!(self.bus.accept().is_err(), "the bus was called: {reason}");
        let listed = std::fs::read_to_string(self.folder.path().join("refused")).unwrap();
        // A long one is told in its first 200 characters.
        assert!(reason.starts_with(&refusals::read(&listed).last().unwrap().reason), "{reason}: {listed}");
        reason
    }
}

pub fn request(unit: &str) -> Request {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Request::now(format!("{next:032x}"), Operation::RestartUnit { unit: unit.to_owned() }).unwrap()
}

pub fn line(request: &Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).unwrap();
    line.push(b'\n');
    line
}
