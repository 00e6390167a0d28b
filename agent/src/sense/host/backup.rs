//! Backup: how old the newest backup is, by every source that the baseline names.
//!
//! A stamp that the job writes, a restic or a borg repository. Each must be fresh, so the oldest counts. A time
//! in the future is no freshness, and a site that named nothing has no known backup: unknown, with how to name
//! one. Age alone does not show that a backup can be restored.

mod borg;
mod restic;

use super::{Machine, and_unclear};
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use jiff::Timestamp;
use msp_contracts::finding::Severity;
use serde_json::{Map, Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The check.
pub struct Backup {
    pub machine: Arc<Machine>,
    pub desired: baseline::Backup,
}

/// When the newest backup was made, as one source tells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Newest {
    At(Timestamp),
    /// The source can be read, and there is none.
    None(String),
    /// Why it cannot be told.
    Unclear(String),
}

impl Check for Backup {
    fn kind(&self) -> CheckKind {
        CheckKind::Backup
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl Backup {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let limit = f64::from(self.desired.max_age_hours);
        let desired = json!({"max_age_hours": self.desired.max_age_hours});
        let mut sources = Vec::new();
        if let Some(stamp) = &self.desired.stamp {
            sources.push((format!("stamp {}", stamp.display()), self.stamp(stamp)));
        }
        if let Some(restic) = &self.desired.restic {
            sources.push((format!("restic {}", restic.repository), restic::newest(&self.machine, restic).await));
        }
        if let Some(borg) = &self.desired.borg {
            sources.push((format!("borg {}", borg.repository), borg::newest(&self.machine, borg).await));
        }
        if sources.is_empty() {
            return Observation::unknown(kind, desired, "no backup is configured, so none can be looked at")
                .recommend("name one under appliance.backup in the baseline: stamp: /path/written/by/the/job, or restic: {repository: ...}, or borg: {repository: ...}");
        }
        let (mut actual, mut diff, mut unclear) = (Map::new(), Vec::new(), Vec::new());
        let mut oldest: Option<f64> = None;
        for (name, newest) in sources {
            match newest {
                Newest::At(then) => match self.machine.age_hours(then) {
                    Some(age) => {
                        oldest = Some(oldest.map_or(age, |oldest| oldest.max(age)));
                        if age > limit {
                            diff.push(format!("{name}: the newest backup is {age} h old, allowed are {limit} h"));
                        }
                        actual.insert(name, json!({"newest": then, "age_hours": age}));
                    }
                    None => {
                        unclear.push(format!("{name}: its time {then} lies in the future, which is no age"));
                        actual.insert(name, json!({"newest": then}));
                    }
                },
                Newest::None(line) => {
                    actual.insert(name.clone(), Value::Null);
                    diff.push(format!("{name}: {line}"));
                }
                Newest::Unclear(why) => unclear.push(format!("{name}: {why}")),
            }
        }
        let observation = if !diff.is_empty() {
            and_unclear(Observation::drift(kind, Severity::High, actual.into(), desired, diff), &unclear)
                .recommend("run the backup job now and read its log; then try a restore")
        } else if !unclear.is_empty() {
            Observation::unknown(kind, desired, unclear.join("; "))
        } else {
            Observation::compliant(kind, actual.into(), desired)
        };
        match oldest {
            Some(age) => observation.detail("backup_age_hours", age),
            None => observation,
        }
    }

    fn stamp(&self, path: &Path) -> Newest {
        let files = &self.machine.files;
        let written = match files.head(path, 64) {
            Ok(bytes) => time_in(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Newest::None("the stamp was never written".to_owned());
            }
            Err(error) => return Newest::Unclear(format!("could not be read ({error})")),
        };
        match written.map_or_else(|| files.modified(path), Ok) {
            Ok(then) => Newest::At(then),
            Err(error) => Newest::Unclear(format!("its time could not be read ({error})")),
        }
    }
}

/// The time that a stamp holds in its first line: RFC 3339 with a zone, or seconds since 1970.
fn time_in(text: &str) -> Option<Timestamp> {
    let line = text.lines().next()?.trim();
    line.parse().ok().or_else(|| Timestamp::from_second(line.parse().ok()?).ok())
}

/// The newest modification among the files of a directory whose names are wanted.
fn newest_file(machine: &Machine, directory: &str, wanted: impl Fn(&str) -> bool) -> io::Result<Option<Timestamp>> {
    let mut newest = None;
    for name in machine.files.list(directory)?.iter().filter(|name| wanted(name)) {
        newest = newest.max(Some(machine.files.modified(format!("{directory}/{name}"))?));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests;
