//! Windows Server Backup: its policy, the backups it made, and the job at work.
//!
//! Jobs take time, and end when their time has come whether or not anybody looks: [`Backup::pass_time`] is called with
//! every look at the machine. Times that the cmdlets show are those of the machine's clock when they were noted; what is
//! due goes by true time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};
use crate::clock::Clock;
use crate::profiles::Profile;

/// A backup at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// When it started, by the machine's clock.
    pub started: Timestamp,
    /// When it ends, in true time.
    pub due: Timestamp,
}

/// What stands in a summary where no backup was ever made; both were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeverShownAs {
    /// No date.
    Null,
    /// The first moment of the year 1.
    MinValue,
}

/// Windows Server Backup.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// Whether the feature, and with it the module, is installed.
    pub installed: bool,
    /// Whether somebody configured what is backed up, where to and when.
    pub policy_configured: bool,
    /// The last good backup, by the machine's clock.
    pub last_success: Option<Timestamp>,
    /// The last backup, good or not, by the machine's clock.
    pub last_attempt: Option<Timestamp>,
    /// How the last backup ended: 0, or an HRESULT as the unsigned number that the cmdlet shows.
    pub last_result: u32,
    /// How many backups the target holds.
    pub versions: u32,
    /// What a summary shows where there never was a backup.
    pub never_shown_as: NeverShownAs,
    /// The backup at work.
    pub job: Option<Job>,
    /// How long a backup takes, in seconds of true time.
    pub job_seconds: u32,
    /// How the coming backups end.
    pub coming_result: u32,
    /// When the schedule makes the next one, in true time; none when it stopped doing so.
    pub scheduled: Option<Timestamp>,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Backup {
    /// The healthy state on such a machine: a backup each night, the last one eight hours ago.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let installed = !matches!(profile, Profile::Core | Profile::Workstation);
        let now = Clock.now();
        let last = installed.then(|| before(now, SignedDuration::from_hours(8)));
        Self {
            installed,
            policy_configured: installed,
            last_success: last,
            last_attempt: last,
            last_result: 0,
            versions: if installed { 14 } else { 0 },
            never_shown_as: NeverShownAs::MinValue,
            job: None,
            job_seconds: 60,
            coming_result: 0,
            scheduled: installed.then(|| after(now, SignedDuration::from_hours(16))),
        }
    }

    /// Ends the job whose time has come, and makes the backups that the schedule wants. `offset` is how far the machine's
    /// clock is ahead of `now`.
    pub(crate) fn pass_time(&mut self, now: Timestamp, offset: SignedDuration) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(job) = self.job.as_ref().filter(|job| job.due <= now) {
            let shown = after(job.due, offset);
            changes.extend(self.set_job(None));
            changes.extend(self.finish(shown));
        }
        while let Some(due) = self.scheduled.filter(|due| *due <= now) {
            self.scheduled = (due < Timestamp::MAX).then(|| after(due, DAY));
            if self.installed && self.policy_configured && self.job.is_none() {
                changes.extend(self.finish(after(due, offset)));
            }
        }
        changes
    }

    fn finish(&mut self, at: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        self.last_attempt = Some(at);
        changes.extend(self.set_last_result(self.coming_result));
        if self.last_result == 0 {
            self.versions = self.versions.saturating_add(1);
            changes.extend(self.set_last_success(Some(at)));
        }
        changes
    }

    /// Starts a backup at `shown` by the machine's clock; none when one is at work already.
    pub(crate) fn start(&mut self, now: Timestamp, shown: Timestamp) -> Option<Option<Change>> {
        if self.job.is_some() {
            return None;
        }
        let due = after(now, SignedDuration::from_secs(i64::from(self.job_seconds)));
        Some(self.set_job(Some(Job { started: shown, due })))
    }

    /// When the next backup is due by the schedule, for the summary.
    pub(crate) fn next(&self, offset: SignedDuration) -> Option<Timestamp> {
        self.scheduled.filter(|_| self.policy_configured).map(|due| after(due, offset))
    }

    pub(crate) fn set_job(&mut self, to: Option<Job>) -> Option<Change> {
        let word = |job: &Option<Job>| job.as_ref().map_or("none", |_| "running");
        let from = std::mem::replace(&mut self.job, to);
        change("job", word(&from), word(&self.job))
    }

    /// Puts the last good backup back in time, and stops the schedule from making another.
    pub(crate) fn neglect(&mut self, last: Option<Timestamp>, never: NeverShownAs) -> Option<Change> {
        self.never_shown_as = never;
        self.scheduled = None;
        self.last_attempt = last;
        if last.is_none() {
            self.versions = 0;
        }
        self.set_last_success(last)
    }

    fn set_last_success(&mut self, to: Option<Timestamp>) -> Option<Change> {
        let word = |time: Option<Timestamp>| time.map_or("never".to_owned(), |time| time.to_string());
        let from = std::mem::replace(&mut self.last_success, to);
        change("last_success", word(from), word(to))
    }

    fn set_last_result(&mut self, to: u32) -> Option<Change> {
        let from = std::mem::replace(&mut self.last_result, to);
        change("last_result", from, to)
    }

    pub(crate) fn set_coming_result(&mut self, to: u32) -> Option<Change> {
        let from = std::mem::replace(&mut self.coming_result, to);
        change("coming_result", from, to)
    }

    pub(crate) fn set_job_seconds(&mut self, to: u32) -> Option<Change> {
        let from = std::mem::replace(&mut self.job_seconds, to);
        change("job_seconds", from, to)
    }

    pub(crate) fn set_policy_configured(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.policy_configured, to);
        change("policy_configured", from, to)
    }

    pub(crate) fn set_installed(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.installed, to);
        change("installed", from, to)
    }
}

/// `time` plus `span`, at the end of time at most.
pub(crate) fn after(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// `time` minus `span`, at the beginning of time at least.
pub(crate) fn before(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// A change, or none when nothing changed.
fn change(property: &'static str, from: impl ToString, to: impl ToString) -> Option<Change> {
    let (from, to) = (from.to_string(), to.to_string());
    (from != to).then(|| Change { subsystem: Subsystem::Backup, object: "backup".to_owned(), property, from, to })
}
