//! A machine for tests: a directory tree, recorded outputs of its tools, a set clock, units by hand.

use super::Machine;
use crate::adapters::command::Commands;
use crate::adapters::files::HostFiles;
use crate::adapters::systemd::{Answer, SystemBus, Systemd, TimeDate, TimeSync, Unit};
use crate::clock::Clock;
use crate::model::Observation;
use crate::sense::check::Check;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The time on every fixture's clock.
pub const NOW: &str = "2026-01-15T12:00:00Z";

#[derive(Clone, Default)]
struct Units {
    units: BTreeMap<String, Unit>,
    time_date: Option<TimeDate>,
    time_sync: Option<TimeSync>,
}

/// A question that this machine's bus has no answer to: asked of a bus that is not there.
async fn no_answer<T>() -> Result<T, crate::adapters::systemd::BusError> {
    let bus = SystemBus::at("/nonexistent/system_bus_socket");
    Err(bus.failed_units().await.unwrap_err())
}

impl Systemd for Units {
    fn units<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<Unit>> {
        let missing = |name: &String| Unit {
            name: name.clone(),
            load: "not-found".into(),
            active: "inactive".into(),
            sub: "dead".into(),
        };
        let units = names.iter().map(|name| self.units.get(name).cloned().unwrap_or_else(|| missing(name))).collect();
        Box::pin(std::future::ready(Ok(units)))
    }

    fn failed_units(&self) -> Answer<'_, Vec<Unit>> {
        Box::pin(std::future::ready(Ok(self.units.values().filter(|unit| unit.active == "failed").cloned().collect())))
    }

    fn time_date(&self) -> Answer<'_, TimeDate> {
        Box::pin(async move {
            match self.time_date {
                Some(answer) => Ok(answer),
                None => no_answer().await,
            }
        })
    }

    fn time_sync(&self) -> Answer<'_, TimeSync> {
        Box::pin(async move {
            match &self.time_sync {
                Some(answer) => Ok(answer.clone()),
                None => no_answer().await,
            }
        })
    }
}

struct SetClock;

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }

    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

pub struct Fixture {
    root: tempfile::TempDir,
    units: Option<Units>,
}

impl Fixture {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), units: Some(Units::default()) }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn parent_of(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn dir(self, path: &str) -> Self {
        std::fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.parent_of(path), content).unwrap();
        self
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        let _ = std::fs::remove_file(self.path(path));
        std::os::unix::fs::symlink(target, self.parent_of(path)).unwrap();
        self
    }

    /// Sets the time of a file or directory to so many hours before the clock's.
    pub fn age(self, path: &str, hours: f64) -> Self {
        let now: Timestamp = NOW.parse().unwrap();
        let then = now - jiff::SignedDuration::from_secs_f64(hours * 3600.0);
        std::fs::File::open(self.path(path)).unwrap().set_modified(then.into()).unwrap();
        self
    }

    /// A tool that is this shell script.
    pub fn tool(self, name: &str, script: &str) -> Self {
        let path = self.parent_of(&format!("/usr/bin/{name}"));
        // Another process writes it: were it this one, a child that another test starts meanwhile would inherit the
        // open file, and running it would fail with "text file busy".
        let mut writer = std::process::Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(path)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        self
    }

    /// A tool that prints this.
    pub fn prints(self, name: &str, output: impl AsRef<[u8]>) -> Self {
        let recorded = self.path(&format!("/recorded/{name}"));
        let script = format!("exec cat {}", recorded.display());
        self.file(&format!("/recorded/{name}"), output).tool(name, &script)
    }

    pub fn unit(mut self, name: &str, active: &str, sub: &str) -> Self {
        let unit = Unit { name: name.into(), load: "loaded".into(), active: active.into(), sub: sub.into() };
        self.units.get_or_insert_default().units.insert(name.into(), unit);
        self
    }

    pub fn time_date(mut self, ntp: bool, synchronized: bool) -> Self {
        self.units.get_or_insert_default().time_date = Some(TimeDate { ntp, synchronized });
        self
    }

    pub fn time_sync(mut self, server: &str, offset_ms: f64, packets: u64) -> Self {
        self.units.get_or_insert_default().time_sync = Some(TimeSync { server: server.into(), offset_ms, packets });
        self
    }

    pub fn without_bus(mut self) -> Self {
        self.units = None;
        self
    }

    pub fn machine(&self) -> Arc<Machine> {
        let files = HostFiles::below(self.root.path());
        let systemd: Arc<dyn Systemd> = match &self.units {
            Some(units) => Arc::new(units.clone()),
            None => Arc::new(SystemBus::at(self.path("/run/dbus/system_bus_socket"))),
        };
        let commands = Commands::of(files.clone(), Duration::from_secs(10));
        Arc::new(Machine { files, commands, systemd, clock: Arc::new(SetClock) })
    }
}

/// What the check sees.
pub async fn observe(check: &dyn Check) -> Observation {
    check.observe().await
}

/// A recorded output.
pub fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
