//! Time sync: the clock is synchronised, and how far it is off.
//!
//! Asks chronyd through `chronyc -c tracking`, else systemd-timesyncd over D-Bus; timedated tells whether the kernel
//! takes the clock for synchronised, whatever service keeps it. For chrony the offset alone is not
//! enough: after its servers fell silent it stays small while the bound of the error grows, so the bound counts.

use super::Machine;
use crate::adapters::command::CommandError;
use crate::adapters::systemd::{BusError, TimeDate};
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::Severity;
use serde_json::{Value, json};
use std::sync::Arc;

const CURE: &str = "start a time service (chrony or systemd-timesyncd) and let it reach its servers on UDP port 123";

/// The check.
pub struct TimeSync {
    pub machine: Arc<Machine>,
    pub desired: baseline::TimeSync,
}

/// What one source says of the clock.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    source: String,
    synchronized: bool,
    /// How far it is off, in milliseconds.
    offset_ms: f64,
    /// How far it can be off at most, in milliseconds.
    bound_ms: f64,
}

impl Check for TimeSync {
    fn kind(&self) -> CheckKind {
        CheckKind::TimeSync
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl TimeSync {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let max = f64::from(self.desired.max_offset_ms);
        let desired = json!({"synchronized": true, "max_offset_ms": self.desired.max_offset_ms});
        let time_date = self.machine.systemd.time_date().await;
        let (reading, silent) = match self.chrony().await {
            Ok(reading) => (Some(reading), String::new()),
            Err(chrony) => match self.timesyncd(time_date.as_ref().ok()).await {
                Ok(reading) => (Some(reading), String::new()),
                Err(timesyncd) => (None, format!("{chrony}; {timesyncd}")),
            },
        };
        let Some(reading) = reading else {
            return without_offset(time_date, silent, desired);
        };
        let mut diff = Vec::new();
        if !reading.synchronized {
            diff.push(format!("the clock is not synchronised, says {}", reading.source));
        } else if reading.offset_ms.abs() > max {
            diff.push(format!("the clock is {} ms off, allowed are {max} ms", reading.offset_ms));
        } else if reading.bound_ms > max {
            diff.push(format!("the clock can be {} ms off, allowed are {max} ms", reading.bound_ms));
        }
        let actual = json!({
            "source": reading.source,
            "synchronized": reading.synchronized,
            "offset_ms": reading.offset_ms,
            "max_error_ms": reading.bound_ms,
        });
        let observation = if diff.is_empty() {
            Observation::compliant(kind, actual, desired)
        } else {
            Observation::drift(kind, Severity::Medium, actual, desired, diff).recommend(CURE)
        };
        observation.detail("synchronized", reading.synchronized).detail("offset_ms", reading.offset_ms)
    }

    async fn chrony(&self) -> Result<Reading, String> {
        match self.machine.commands.run("chronyc", &["-n", "-c", "tracking"]).await {
            Ok(output) => tracking(&output.stdout)
                .ok_or_else(|| "what `chronyc -c tracking` printed is not its format".to_owned()),
            Err(CommandError::Missing { .. }) => Err("chrony is not installed".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// timesyncd tells the offset, but only the kernel whether the clock was set by it.
    async fn timesyncd(&self, time_date: Option<&TimeDate>) -> Result<Reading, String> {
        let said = self.machine.systemd.time_sync().await.map_err(|error| error.to_string())?;
        if said.packets == 0 {
            return Err("timesyncd has had no answer from a server yet".to_owned());
        }
        let Some(TimeDate { synchronized, .. }) = time_date else {
            return Err(
                "timesyncd has an answer from a server, but timedated does not say whether it was used".to_owned()
            );
        };
        let offset_ms = rounded(said.offset_ms);
        let source = format!("timesyncd ({})", if said.server.is_empty() { "no server" } else { &said.server });
        Ok(Reading { source, synchronized: *synchronized, offset_ms, bound_ms: offset_ms.abs() })
    }
}

/// What remains to be said where no service tells the offset; `silent` is why none does.
fn without_offset(time_date: Result<TimeDate, BusError>, silent: String, desired: Value) -> Observation {
    let kind = CheckKind::TimeSync;
    match time_date {
        Ok(date) if date.synchronized => {
            let reason = format!("the clock is synchronised, but nothing tells how far it is off: {silent}");
            Observation::unknown(kind, desired, reason).detail("synchronized", true)
        }
        Ok(date) => {
            let line = match date.ntp {
                true => "the clock is not synchronised, though a time service is switched on",
                false => "the clock is not synchronised, and no time service is switched on",
            };
            let actual = json!({"synchronized": false, "time_service": date.ntp});
            Observation::drift(kind, Severity::Medium, actual, desired, vec![line.to_owned()])
                .detail("synchronized", false)
                .recommend(CURE)
        }
        Err(error) => {
            let error = error.to_string();
            let reason = if silent.contains(&error) { silent } else { format!("{silent}; {error}") };
            Observation::unknown(kind, desired, reason).recommend(CURE)
        }
    }
}

/// The line of `chronyc -c tracking` (chronyc(1), "tracking"): reference id, its address, stratum, reference time,
/// system time's offset, last offset, RMS offset, frequency, residual frequency, skew, root delay, root
/// dispersion, update interval, leap status. Seconds; the clock's error is at most |offset| + dispersion + delay/2.
fn tracking(text: &str) -> Option<Reading> {
    let fields: Vec<&str> = text.lines().find(|line| !line.trim().is_empty())?.trim().split(',').collect();
    if fields.len() != 14 {
        return None;
    }
    let seconds = |index: usize| fields[index].parse::<f64>().ok().filter(|value| value.is_finite());
    let (offset, delay, dispersion) = (seconds(4)?, seconds(10)?, seconds(11)?);
    let stratum: u32 = fields[2].parse().ok()?;
    let synchronized = match fields[13] {
        "Normal" | "Insert second" | "Delete second" => (1..16).contains(&stratum),
        "Not synchronised" => false,
        _ => return None,
    };
    Some(Reading {
        source: if fields[1].is_empty() { "chrony".to_owned() } else { format!("chrony ({})", fields[1]) },
        synchronized,
        offset_ms: rounded(offset * 1000.0),
        bound_ms: rounded((offset.abs() + dispersion + delay.abs() / 2.0) * 1000.0),
    })
}

/// To a microsecond.
fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, observe};
    use super::*;
    use msp_contracts::finding::CheckStatus;

    /// What chronyd 4.3 said of a server that it had reached.
    const SYNCED: &str = "7F000001,127.0.0.1,4,1795224317.491565084,-0.000001394,-0.000000367,0.000000701,-0.113,-0.014,0.492,0.000006389,0.000002603,1.0,Normal\n";
    /// What it said before it knew any server.
    const UNSYNCED: &str = "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n";

    async fn look(fixture: &Fixture, max_offset_ms: u32) -> Observation {
        observe(&TimeSync { machine: fixture.machine(), desired: baseline::TimeSync { max_offset_ms } }).await
    }

    #[tokio::test]
    async fn chrony_within_the_limit_is_compliant_and_beyond_it_drift() {
        let fixture = Fixture::new().prints("chronyc", SYNCED);
        let seen = look(&fixture, 100).await;
        assert_eq!(seen.status, CheckStatus::Compliant, "{seen:?}");
        assert_eq!(seen.details["offset_ms"], -0.001);
        assert_eq!(look(&fixture, 0).await.status, CheckStatus::Drift);
    }

    #[tokio::test]
    async fn a_small_offset_with_a_grown_error_bound_is_drift() {
        let stale = SYNCED.replace(",0.000002603,", ",9.5,");
        let seen = look(&Fixture::new().prints("chronyc", stale), 5000).await;
        assert!(seen.diff[0].starts_with("the clock can be 9500"), "{:?}", seen.diff);
    }

    #[tokio::test]
    async fn chrony_without_a_server_is_drift() {
        let seen = look(&Fixture::new().prints("chronyc", UNSYNCED), 5000).await;
        assert_eq!(seen.diff, ["the clock is not synchronised, says chrony"]);
    }

    #[tokio::test]
    async fn timesyncd_is_asked_where_chrony_is_not_there() {
        let fixture = Fixture::new().time_date(true, true).time_sync("ntp.example", -1234.5, 7);
        assert_eq!(look(&fixture, 5000).await.status, CheckStatus::Compliant);
        assert_eq!(look(&fixture, 1000).await.status, CheckStatus::Drift);
    }

    #[tokio::test]
    async fn a_clock_that_is_not_synchronised_is_drift_and_an_unknown_offset_unknown() {
        assert_eq!(look(&Fixture::new().time_date(false, false), 5000).await.status, CheckStatus::Drift);
        assert_eq!(look(&Fixture::new().time_date(true, true), 5000).await.status, CheckStatus::Unknown);
        let unset = Fixture::new().time_date(true, false).time_sync("ntp.example", 0.02, 1);
        assert_eq!(look(&unset, 5000).await.diff, ["the clock is not synchronised, says timesyncd (ntp.example)"]);
        let half = Fixture::new().time_sync("ntp.example", 0.02, 1);
        assert_eq!(look(&half, 5000).await.status, CheckStatus::Unknown, "timedated does not answer");
        let early = Fixture::new().time_date(true, true).time_sync("ntp.example", 0.0, 0);
        assert_eq!(look(&early, 5000).await.status, CheckStatus::Unknown);
    }

    #[tokio::test]
    async fn garbage_and_silence_are_unknown() {
        for garbage in ["", "506 Cannot talk to daemon\n", "a,b,c,d,e,f,g,h,i,j,k,l,m,Normal\n", "\u{0}\u{1}"] {
            let seen = look(&Fixture::new().without_bus().prints("chronyc", garbage), 5000).await;
            assert_eq!(seen.status, CheckStatus::Unknown, "{garbage:?}");
        }
        let nan = SYNCED.replace(",-0.000001394,", ",nan,");
        assert_eq!(look(&Fixture::new().without_bus().prints("chronyc", nan), 5000).await.status, CheckStatus::Unknown);
    }
}
