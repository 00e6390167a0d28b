//! What systemd says over D-Bus: the state of units, and of the clock's synchronisation.
//!
//! Connects when the first question is asked; a machine without a bus or without systemd is a reason, not
//! a failure of the agent. Reads only: every call here is open to an unprivileged user.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use tokio::sync::OnceCell;
use zbus::OwnedObjectPath;

/// The future of an answer; boxed, so that the bus stands behind a trait.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send + 'a>>;

/// The state of a unit (org.freedesktop.systemd1(5), "Properties").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its full name, `sshd.service`.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, ...
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, ...
    pub active: String,
    /// Finer, by the kind of unit: `running`, `exited`, `auto-restart`, ...
    pub sub: String,
}

impl Unit {
    /// Whether it does its work now.
    pub fn is_running(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// The state in a few words, as `systemctl` writes it.
    pub fn state(&self) -> String {
        if self.load == "loaded" { format!("{} ({})", self.active, self.sub) } else { self.load.clone() }
    }
}

/// What timedated says (org.freedesktop.timedate1(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeDate {
    /// Whether a network time service is switched on.
    pub ntp: bool,
    /// Whether the kernel takes the clock for synchronised.
    pub synchronized: bool,
}

/// The last answer of a time server, as timesyncd keeps it (org.freedesktop.timesync1).
#[derive(Debug, Clone, PartialEq)]
pub struct TimeSync {
    /// The server's name.
    pub server: String,
    /// How far the clock is off, in milliseconds; positive when it is behind (RFC 5905, section 8).
    pub offset_ms: f64,
    /// How many answers there were; none means that the offset says nothing.
    pub packets: u64,
}

/// The services of a machine, as seen over D-Bus.
pub trait Systemd: Send + Sync {
    /// The state of these units, in this order; one that does not exist has the load state `not-found`.
    fn units<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<Unit>>;

    /// The units that failed.
    fn failed_units(&self) -> Answer<'_, Vec<Unit>>;

    /// What timedated says.
    fn time_date(&self) -> Answer<'_, TimeDate>;

    /// What timesyncd says; an error where another service keeps the time.
    fn time_sync(&self) -> Answer<'_, TimeSync>;
}

/// Why the bus gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("systemd cannot be asked: no system bus ({source})")]
    Connect {
        #[source]
        source: zbus::Error,
    },
    #[error("systemd cannot be asked: {question} failed ({source})")]
    Call {
        question: &'static str,
        #[source]
        source: zbus::Error,
    },
    #[error("systemd answered {question} with {count} units instead of {asked}")]
    Incomplete { question: &'static str, asked: usize, count: usize },
}

/// The system bus of a machine.
#[derive(Debug)]
pub struct SystemBus {
    socket: Option<PathBuf>,
    connection: OnceCell<zbus::Connection>,
}

const MANAGER: (&str, &str, &str) =
    ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
const TIME_DATE: (&str, &str, &str) =
    ("org.freedesktop.timedate1", "/org/freedesktop/timedate1", "org.freedesktop.timedate1");
const TIME_SYNC: (&str, &str, &str) =
    ("org.freedesktop.timesync1", "/org/freedesktop/timesync1", "org.freedesktop.timesync1.Manager");

/// (name, description, load, active, sub, following, path, job id, job type, job path)
type ListedUnit = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// (leap, version, mode, stratum, precision, root delay, root dispersion, reference, originate, receive,
/// transmit, destination, spike, packets, jitter), times in microseconds
type NtpMessage = (u32, u32, u32, u32, i32, u64, u64, Vec<u8>, u64, u64, u64, u64, bool, u64, u64);

impl SystemBus {
    /// The bus of the machine the process runs on.
    pub fn own() -> Self {
        Self { socket: None, connection: OnceCell::new() }
    }

    /// The bus that listens on a socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: Some(socket.into()), connection: OnceCell::new() }
    }

    async fn connection(&self) -> Result<&zbus::Connection, BusError> {
        let connect = || async {
            match &self.socket {
                None => zbus::Connection::system().await,
                Some(path) => {
                    let address = format!("unix:path={}", path.display());
                    zbus::connection::Builder::address(address.as_str()).build().await
                }
            }
        };
        self.connection.get_or_try_init(connect).await.map_err(|source| BusError::Connect { source })
    }

    async fn proxy(
        &self,
        (destination, path, interface): (&'static str, &'static str, &'static str),
    ) -> Result<zbus::Proxy<'static>, BusError> {
        let connection = self.connection().await?;
        zbus::proxy::Builder::<zbus::Proxy<'static>>::new(connection)
            .destination(destination)
            .path(path)
            .interface(interface)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(|source| BusError::Call { question: destination, source })
    }
}

impl Systemd for SystemBus {
    fn units<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<Unit>> {
        Box::pin(async move {
            let question = "ListUnitsByNames";
            let proxy = self.proxy(MANAGER).await?;
            // As systemctl: a name without a kind is a service's.
            let full = |name: &String| if name.contains('.') { name.clone() } else { format!("{name}.service") };
            let asked: Vec<String> = names.iter().map(full).collect();
            let listed: Vec<ListedUnit> =
                proxy.call(question, &(&asked,)).await.map_err(|source| BusError::Call { question, source })?;
            // The answer has the order of the question, and an alias (dbus.service for dbus-broker.service) stands
            // in it under its real name.
            if listed.len() != names.len() {
                return Err(BusError::Incomplete { question, asked: names.len(), count: listed.len() });
            }
            Ok(names.iter().zip(&listed).map(|(name, listed)| Unit { name: name.clone(), ..unit(listed) }).collect())
        })
    }

    fn failed_units(&self) -> Answer<'_, Vec<Unit>> {
        Box::pin(async move {
            let question = "ListUnitsFiltered";
            let proxy = self.proxy(MANAGER).await?;
            let listed: Vec<ListedUnit> =
                proxy.call(question, &(vec!["failed"],)).await.map_err(|source| BusError::Call { question, source })?;
            Ok(listed.iter().map(unit).collect())
        })
    }

    fn time_date(&self) -> Answer<'_, TimeDate> {
        Box::pin(async move {
            let question = "timedate1";
            let proxy = self.proxy(TIME_DATE).await?;
            let ntp = proxy.get_property("NTP").await.map_err(|source| BusError::Call { question, source })?;
            let synchronized =
                proxy.get_property("NTPSynchronized").await.map_err(|source| BusError::Call { question, source })?;
            Ok(TimeDate { ntp, synchronized })
        })
    }

    fn time_sync(&self) -> Answer<'_, TimeSync> {
        Box::pin(async move {
            let question = "timesync1";
            let failed = |source| BusError::Call { question, source };
            let proxy = self.proxy(TIME_SYNC).await?;
            let server: String = proxy.get_property("ServerName").await.map_err(failed)?;
            let message: zbus::OwnedVariant = proxy.get_property("NTPMessage").await.map_err(failed)?;
            let message = NtpMessage::try_from(message).map_err(failed)?;
            let (originate, receive, transmit, destination) = (message.8, message.9, message.10, message.11);
            let packets = message.13;
            Ok(TimeSync { server, offset_ms: ntp_offset_ms(originate, receive, transmit, destination), packets })
        })
    }
}

/// RFC 5905, section 8: half the sum of the two one-way differences. From microseconds to milliseconds.
fn ntp_offset_ms(originate: u64, receive: u64, transmit: u64, destination: u64) -> f64 {
    let difference = |later: u64, earlier: u64| i128::from(later) - i128::from(earlier);
    (difference(receive, originate) + difference(transmit, destination)) as f64 / 2000.0
}

fn unit(listed: &ListedUnit) -> Unit {
    Unit { name: listed.0.clone(), load: listed.2.clone(), active: listed.3.clone(), sub: listed.4.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_that_of_rfc_5905() {
        // The request took 10 ms, the answer 10 ms, and the server is 250 ms ahead.
        assert!((ntp_offset_ms(1_000_000, 1_260_000, 1_261_000, 1_021_000) - 250.0).abs() < 1e-9);
        assert!((ntp_offset_ms(1_260_000, 1_000_000, 1_001_000, 1_281_000) + 270.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn a_machine_without_a_bus_gives_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let bus = SystemBus::at(dir.path().join("bus"));
        let error = bus.failed_units().await.unwrap_err().to_string();
        assert!(error.contains("no system bus"), "{error}");
    }
}
