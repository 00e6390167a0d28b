//! The drifts of what protects a machine and its data: antivirus, backup, encryption.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::kinds::{UnknownObject, unknown};
use crate::clock::Clock;
use crate::windows::State;
use crate::windows::antivirus::{OtherProduct, RunningMode};
use crate::windows::backup::{Job, NeverShownAs, after, before};
use crate::windows::encryption::{Condition, Escrow};
use crate::windows::ledger::Change;

/// Something happens to Microsoft Defender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Defender {
    /// Somebody turns real-time protection on or off, whatever protects it.
    RealTime(bool),
    /// Group Policy sets `DisableRealtimeMonitoring`, or (null) stops setting it.
    PolicyDisablesRealTime(Option<bool>),
    /// Tamper protection is turned on or off.
    TamperProtected(bool),
    /// Who is in charge.
    RunningMode(RunningMode),
    /// The signatures are this many days old.
    SignatureAgeDays(u32),
    /// No source of signatures answers (or one does again).
    UpdatesFail(bool),
    /// The feature is removed, with its service, or installed again.
    Installed(bool),
    /// Another vendor's product comes, changes or (null) goes.
    OtherProduct(Option<OtherProduct>),
}

impl Defender {
    pub(super) fn change(&self, state: &mut State) -> Option<Change> {
        let defender = &mut state.antivirus;
        match self {
            Self::RealTime(on) => defender.set_real_time(*on),
            Self::PolicyDisablesRealTime(to) => defender.set_policy(*to),
            Self::TamperProtected(on) => defender.set_tamper_protected(*on),
            Self::RunningMode(mode) => defender.set_running_mode(*mode),
            Self::SignatureAgeDays(days) => defender.set_signature_age(*days),
            Self::UpdatesFail(fail) => defender.set_updates_fail(*fail),
            Self::Installed(installed) => {
                let change = defender.set_installed(*installed);
                if *installed {
                    defender.service_set_aside.take().into_iter().for_each(|s| state.services.add(s));
                } else if change.is_some() {
                    defender.service_set_aside = state.services.remove("WinDefend");
                }
                change
            }
            Self::OtherProduct(product) => defender.set_other_product(product.clone()),
        }
    }
}

/// Something happens to Windows Server Backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WindowsBackup {
    /// The last good backup is this many hours ago (negative: in the future), and the schedule makes no more.
    LastSuccessHoursAgo(i64),
    /// There never was a backup, which a summary shows in one of two ways, and the schedule makes none.
    NeverRan(NeverShownAs),
    /// Somebody configures the policy, or takes it away.
    PolicyConfigured(bool),
    /// The feature is installed or removed.
    Installed(bool),
    /// A backup is at work that somebody else started.
    JobRunning {
        /// How long it has been at work.
        hours: i64,
        /// How long it will still be, in seconds.
        seconds_left: u32,
    },
    /// How long a backup takes.
    JobSeconds(u32),
    /// How the coming backups end: 0, or an HRESULT such as 2155348040.
    ComingResult(u32),
}

impl WindowsBackup {
    pub(super) fn change(&self, state: &mut State) -> Option<Change> {
        let now = Clock.now();
        let shown = after(now, SignedDuration::from_secs(state.computer.clock_offset_seconds));
        let backup = &mut state.backup;
        match self {
            Self::LastSuccessHoursAgo(hours) => {
                let at = before(shown, SignedDuration::from_secs(hours.saturating_mul(3600)));
                backup.neglect(Some(at), backup.never_shown_as)
            }
            Self::NeverRan(shown_as) => backup.neglect(None, *shown_as),
            Self::PolicyConfigured(configured) => backup.set_policy_configured(*configured),
            Self::Installed(installed) => backup.set_installed(*installed),
            Self::JobRunning { hours, seconds_left } => {
                let started = before(shown, SignedDuration::from_secs(hours.saturating_mul(3600)));
                let due = after(now, SignedDuration::from_secs(i64::from(*seconds_left)));
                backup.set_job(Some(Job { started, due }))
            }
            Self::JobSeconds(seconds) => backup.set_job_seconds(*seconds),
            Self::ComingResult(hresult) => backup.set_coming_result(*hresult),
        }
    }
}

/// Something happens to BitLocker or what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Bitlocker {
    /// A volume gets into a condition.
    Volume {
        /// Its drive letter and colon.
        mount_point: String,
        /// The condition.
        condition: Condition,
        /// How much is encrypted, where the condition is one of being under way.
        #[serde(default)]
        percentage: u8,
    },
    /// A disk with one volume that is not encrypted is plugged in.
    DataVolume {
        /// Its drive letter and colon.
        mount_point: String,
        /// Whether it can be pulled out.
        removable: bool,
    },
    /// Somebody removes the recovery passwords of a volume.
    RecoveryPasswordsLost {
        /// Its drive letter and colon.
        mount_point: String,
    },
    /// The TPM is there or not, and ready or not.
    Tpm {
        /// Whether there is one.
        present: bool,
        /// Whether it can be used.
        ready: bool,
    },
    /// What the directory answers when it is to keep a recovery password.
    Escrow(Escrow),
    /// The feature is installed or removed.
    Installed(bool),
    /// How long it takes to encrypt a volume.
    EncryptionSeconds(u32),
}

impl Bitlocker {
    pub(super) fn change(&self, state: &mut State) -> Result<Option<Change>, UnknownObject> {
        let encryption = &mut state.encryption;
        let known = encryption.volumes.iter().map(|v| v.mount_point.clone()).collect::<Vec<_>>().join(", ");
        Ok(match self {
            Self::Volume { mount_point, condition, percentage } => {
                let change = encryption.put(mount_point, *condition, *percentage, Clock.now());
                change.ok_or_else(|| unknown("volume", mount_point, known, "mount_point"))?
            }
            Self::RecoveryPasswordsLost { mount_point } => encryption
                .lose_recovery_passwords(mount_point)
                .ok_or_else(|| unknown("volume", mount_point, known, "mount_point"))?,
            Self::DataVolume { mount_point, removable } => encryption.add_data_volume(mount_point, *removable),
            Self::Tpm { present, ready } => encryption.set_tpm(*present, *ready),
            Self::Escrow(answer) => encryption.set_escrow(*answer),
            Self::Installed(installed) => encryption.set_installed(*installed),
            Self::EncryptionSeconds(seconds) => encryption.set_encryption_seconds(*seconds),
        })
    }
}
