//! Antivirus: protection from malicious software runs, and its signatures are fresh.
//!
//! ClamAV's daemon with its database's age, or the unit of another product, which keeps its own signatures.
//! The age is that of the daily database's own header (its build time), not of the file: copying a file makes
//! it no fresher.

use super::Machine;
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use jiff::Timestamp;
use msp_contracts::finding::Severity;
use serde_json::{Map, Value, json};
use std::io;
use std::sync::Arc;

/// Length of the header of a ClamAV database, in bytes.
const HEADER: u64 = 512;

/// The check.
pub struct Antivirus {
    pub machine: Arc<Machine>,
    pub desired: baseline::Antivirus,
}

/// How old the signatures are.
enum Signatures {
    Hours(f64),
    Missing,
    Unclear(String),
}

impl Check for Antivirus {
    fn kind(&self) -> CheckKind {
        CheckKind::Antivirus
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl Antivirus {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let wanted = &self.desired;
        let names: Vec<String> = wanted.clamav_units.iter().chain(&wanted.edr_units).cloned().collect();
        let desired = json!({
            "one_running_of": names,
            "max_signature_age_hours": wanted.max_signature_age_hours,
        });
        let units = match self.machine.systemd.units(&names).await {
            Ok(units) => units,
            Err(error) => {
                return Observation::unknown(kind, desired, error.to_string())
                    .recommend("run it where systemd is the init process and its bus can be reached");
            }
        };
        let (clamav, edr) = units.split_at(wanted.clamav_units.len().min(units.len()));
        let edr_runs = edr.iter().any(|unit| unit.is_running());
        let running = edr_runs || clamav.iter().any(|unit| unit.is_running());
        let mut actual: Map<String, Value> =
            units.iter().map(|unit| (unit.name.clone(), unit.state().into())).collect();
        if !running {
            let line = match names.len() {
                0 => "the baseline names no antivirus or EDR unit".to_owned(),
                _ => format!("none of {} runs", names.join(", ")),
            };
            return Observation::drift(kind, Severity::High, actual.into(), desired, vec![line])
                .detail("service_running", false)
                .recommend(
                    "install and start ClamAV's daemon, or name the EDR's unit under appliance.antivirus.edr_units",
                );
        }
        if edr_runs {
            return Observation::compliant(kind, actual.into(), desired).detail("service_running", true);
        }
        let limit = f64::from(wanted.max_signature_age_hours);
        let cure = "start freshclam (clamav-freshclam.service) and read its log";
        let observation = match self.signatures() {
            Signatures::Hours(age) => {
                actual.insert("signature_age_hours".into(), age.into());
                let observation = if age <= limit {
                    Observation::compliant(kind, actual.into(), desired)
                } else {
                    let line = format!("the signatures are {age} h old, allowed are {limit} h");
                    Observation::drift(kind, Severity::High, actual.into(), desired, vec![line]).recommend(cure)
                };
                observation.detail("signature_age_hours", age)
            }
            Signatures::Missing => {
                let line = format!("there is no daily database in {}", wanted.signature_dir.display());
                Observation::drift(kind, Severity::High, actual.into(), desired, vec![line]).recommend(cure)
            }
            Signatures::Unclear(why) => Observation::unknown(kind, desired, why),
        };
        observation.detail("service_running", true)
    }

    fn signatures(&self) -> Signatures {
        let mut newest = None;
        for name in ["daily.cld", "daily.cvd"] {
            let path = self.desired.signature_dir.join(name);
            let header = match self.machine.files.head(&path, HEADER) {
                Ok(header) => header,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Signatures::Unclear(format!("{} could not be read ({error})", path.display())),
            };
            let Some(built) = build_time(&header) else {
                return Signatures::Unclear(format!("{} has no header of a ClamAV database", path.display()));
            };
            newest = newest.max(Some(built));
        }
        let Some(built) = newest else { return Signatures::Missing };
        match self.machine.age_hours(built) {
            Some(age) => Signatures::Hours(age),
            None => Signatures::Unclear(format!("the daily database says it was built in the future ({built})")),
        }
    }
}

/// When a database was built. Its header is `ClamAV-VDB:time:version:signatures:level:md5:signature:builder:seconds`;
/// databases older than the last field write the time as `06 Jan 2026 09-14 +0000`.
fn build_time(header: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(header.get(..header.len().min(HEADER as usize))?).ok()?;
    let fields: Vec<&str> = text.trim_end().split(':').collect();
    if fields.first() != Some(&"ClamAV-VDB") || fields.len() < 8 {
        return None;
    }
    match fields.get(8) {
        Some(seconds) => Timestamp::from_second(seconds.trim().parse().ok()?).ok(),
        None => jiff::fmt::strtime::parse("%d %b %Y %H-%M %z", fields[1]).ok()?.to_timestamp().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, observe};
    use super::*;
    use msp_contracts::finding::CheckStatus;

    /// The clock of the fixture stands at 2026-01-15 12:00 UTC.
    fn header(time: &str, seconds: &str) -> Vec<u8> {
        let text = format!("ClamAV-VDB:{time}:27510:355104:90:9a5b:sig:raynman{seconds}");
        let mut header = text.into_bytes();
        header.resize(512, b' ');
        header.extend_from_slice(&[0x1f, 0x8b, 0xff]);
        header
    }

    fn machine(database: &[u8]) -> Fixture {
        Fixture::new().unit("clamav-daemon.service", "active", "running").file("/var/lib/clamav/daily.cvd", database)
    }

    async fn look(fixture: &Fixture) -> Observation {
        let desired = baseline::Antivirus { edr_units: vec!["falcon-sensor.service".into()], ..Default::default() };
        observe(&Antivirus { machine: fixture.machine(), desired }).await
    }

    #[tokio::test]
    async fn a_running_daemon_with_fresh_signatures_is_compliant() {
        let seen = look(&machine(&header("14 Jan 2026 09-14 +0000", ":1768399200"))).await;
        assert_eq!(seen.status, CheckStatus::Compliant, "{seen:?}");
        assert_eq!(seen.details["service_running"], true);
        assert_eq!(seen.details["signature_age_hours"], 22.0);
        let older_format = look(&machine(&header("15 Jan 2026 06-30 -0500", ""))).await;
        assert_eq!(older_format.details["signature_age_hours"], 0.5);
    }

    #[tokio::test]
    async fn old_or_missing_signatures_and_a_stopped_daemon_are_drift() {
        let old = machine(&header("01 Jan 2026 00-00 +0000", ""));
        assert_eq!(look(&old).await.diff, ["the signatures are 348 h old, allowed are 72 h"]);
        let none = Fixture::new().unit("clamav-daemon.service", "active", "running");
        assert_eq!(look(&none).await.diff, ["there is no daily database in /var/lib/clamav"]);
        let stopped = look(&old.unit("clamav-daemon.service", "failed", "failed")).await;
        assert_eq!((stopped.status, &stopped.details["service_running"]), (CheckStatus::Drift, &Value::from(false)));
    }

    #[tokio::test]
    async fn another_product_keeps_its_own_signatures() {
        let fixture = Fixture::new().unit("falcon-sensor.service", "active", "running");
        assert_eq!(look(&fixture).await.status, CheckStatus::Compliant);
    }

    #[tokio::test]
    async fn a_database_from_the_future_or_of_garbage_is_unknown() {
        for database in [header("15 Feb 2026 06-30 -0500", ""), b"<html>captive portal</html>".to_vec(), Vec::new()] {
            assert_eq!(look(&machine(&database)).await.status, CheckStatus::Unknown);
        }
        assert_eq!(look(&Fixture::new().without_bus()).await.status, CheckStatus::Unknown);
    }
}
