//! Disk: how full the file systems are, in space and inodes, counted as df(1) does.

use super::mounts::Mounts;
use super::{Machine, and_unclear};
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::Severity;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// At this many per cent programs begin to fail.
const NEARLY_FULL: u64 = 95;

/// The check.
pub struct Disk {
    pub machine: Arc<Machine>,
    pub desired: baseline::Disk,
}

impl Check for Disk {
    fn kind(&self) -> CheckKind {
        CheckKind::Disk
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(async { self.look() })
    }
}

impl Disk {
    fn look(&self) -> Observation {
        let kind = self.kind();
        let desired = json!({
            "max_used_percent": self.desired.max_used_percent,
            "max_inodes_used_percent": self.desired.max_inodes_used_percent,
        });
        let mounts = match Mounts::read(&self.machine.files) {
            Ok(mounts) => mounts,
            Err(error) => {
                return Observation::unknown(kind, desired, format!("the mount table could not be read ({error})"));
            }
        };
        let (mut actual, mut diff, mut unread) = (Map::new(), Vec::new(), Vec::new());
        let mut fullest = 0;
        for point in self.desired.mounts.iter().filter(|point| mounts.on(point).is_some()) {
            let name = point.display().to_string();
            let stat = self
                .machine
                .files
                .resolve(point)
                .and_then(|path| rustix::fs::statvfs(&path).map_err(std::io::Error::from));
            let stat = match stat {
                Ok(stat) => stat,
                Err(error) => {
                    unread.push(format!("{name}: {error}"));
                    continue;
                }
            };
            let used = percent(stat.f_blocks.saturating_sub(stat.f_bfree), stat.f_bavail);
            let inodes = percent(stat.f_files.saturating_sub(stat.f_ffree), stat.f_favail);
            if let Some(used) = used.filter(|used| *used > u64::from(self.desired.max_used_percent)) {
                diff.push(format!("{name} is {used} % full, allowed are {} %", self.desired.max_used_percent));
            }
            if let Some(inodes) = inodes.filter(|used| *used > u64::from(self.desired.max_inodes_used_percent)) {
                let allowed = self.desired.max_inodes_used_percent;
                diff.push(format!("{name} has used {inodes} % of its inodes, allowed are {allowed} %"));
            }
            fullest = fullest.max(used.unwrap_or(0)).max(inodes.unwrap_or(0));
            actual.insert(name, json!({"used_percent": used, "inodes_used_percent": inodes}));
        }
        let observation = if !diff.is_empty() {
            let severity = if fullest >= NEARLY_FULL { Severity::Critical } else { Severity::High };
            and_unclear(Observation::drift(kind, severity, actual.into(), desired, diff), &unread)
                .recommend("find what grew with `du -xh --max-depth=2 / | sort -h | tail`, then remove or extend")
        } else if !unread.is_empty() {
            Observation::unknown(kind, desired, unread.join("; "))
        } else if actual.is_empty() {
            Observation::unknown(kind, desired, "none of the baseline's mount points exists on this machine")
                .recommend("name this machine's mount points under appliance.disk.mounts in the baseline")
        } else {
            Observation::compliant(kind, actual.into(), desired)
        };
        observation.detail("fullest_percent", fullest).detail("unread", Value::from(unread))
    }
}

/// Used of what ordinary users could use, rounded up; none where the file system does not count it.
fn percent(used: u64, available: u64) -> Option<u64> {
    let total = u128::from(used) + u128::from(available);
    (total > 0).then(|| (u128::from(used) * 100).div_ceil(total).try_into().unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, observe};
    use super::*;
    use msp_contracts::finding::CheckStatus;

    const TABLE: &str = "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 254:1 / /gone rw - ext4 /dev/vdb rw\n";

    async fn look(mounts: &[&str], max: u8, max_inodes: u8) -> Observation {
        let fixture = Fixture::new().file("/proc/self/mountinfo", TABLE);
        let mounts = mounts.iter().map(Into::into).collect();
        let desired = baseline::Disk { mounts, max_used_percent: max, max_inodes_used_percent: max_inodes };
        observe(&Disk { machine: fixture.machine(), desired }).await
    }

    #[test]
    fn percentages_are_those_of_df() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(0, 100), Some(0));
        assert_eq!(percent(1, 1000), Some(1));
        assert_eq!(percent(85, 15), Some(85));
        assert_eq!(percent(u64::MAX, u64::MAX), Some(50));
    }

    #[tokio::test]
    async fn a_file_system_over_the_limit_is_drift_and_under_it_compliant() {
        assert_eq!(look(&["/", "/not-mounted"], 100, 100).await.status, CheckStatus::Compliant);
        let seen = look(&["/"], 0, 100).await;
        assert_eq!(seen.status, CheckStatus::Drift);
        assert!(seen.diff[0].starts_with("/ is "), "{:?}", seen.diff);
    }

    #[tokio::test]
    async fn a_mount_that_cannot_be_read_and_a_machine_without_any_are_unknown() {
        let seen = look(&["/", "/gone"], 100, 100).await;
        assert_eq!(seen.status, CheckStatus::Unknown);
        assert!(seen.reason.unwrap().starts_with("/gone: "));
        assert_eq!(look(&["/not-mounted"], 100, 100).await.status, CheckStatus::Unknown);
    }
}
