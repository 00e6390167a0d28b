//! BitLocker: volumes, their key protectors, the TPM, and the directory that keeps recovery passwords.
//!
//! Encryption takes time: [`Encryption::pass_time`] moves it forward with every look at the machine. A recovery password
//! is part of the state because scripts can read it; it is left out where the state is shown.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::backup::after;
use super::ledger::{Change, Subsystem};
use crate::profiles::Profile;

/// Which kind of volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeType {
    /// The one Windows starts from.
    OperatingSystem,
    /// Any other.
    Data,
}

/// What a volume is doing, as one of the situations that scripts have to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Not encrypted.
    Decrypted,
    /// Encrypted, and its key is protected.
    Encrypted,
    /// Encrypted, with protection suspended: the key lies open.
    Suspended,
    /// Encrypted by the device's maker, with no key protector yet: protection waits for somebody to activate it.
    WaitingForActivation,
    /// On its way to encrypted.
    Encrypting,
    /// On its way, and held.
    EncryptionPaused,
    /// On its way to decrypted.
    Decrypting,
    /// Encrypted, and not unlocked since the start.
    Locked,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Decrypted => "decrypted",
            Self::Encrypted => "encrypted",
            Self::Suspended => "suspended",
            Self::WaitingForActivation => "waiting for activation",
            Self::Encrypting => "encrypting",
            Self::EncryptionPaused => "encryption paused",
            Self::Decrypting => "decrypting",
            Self::Locked => "locked",
        }
    }
}

/// A kind of key protector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ProtectorType {
    /// The TPM unseals the key.
    Tpm,
    /// 48 digits that a person types.
    RecoveryPassword,
}

impl ProtectorType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tpm => "Tpm",
            Self::RecoveryPassword => "RecoveryPassword",
        }
    }
}

/// One key protector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Protector {
    /// Its identifier, a GUID in braces.
    pub id: String,
    /// Its kind.
    pub kind: ProtectorType,
    /// The digits of a recovery password. Never shown with the state.
    #[serde(skip)]
    pub(crate) secret: String,
}

/// One volume.
#[derive(Debug, Clone, Serialize)]
pub struct Volume {
    /// Drive letter and colon.
    pub mount_point: String,
    /// Its kind.
    pub volume_type: VolumeType,
    /// Whether it can be pulled out.
    pub removable: bool,
    /// What it is doing.
    pub condition: Condition,
    /// How much of it is encrypted.
    pub percentage: u8,
    /// When an encryption under way began, in true time.
    pub began: Option<Timestamp>,
    /// Its key protectors.
    pub protectors: Vec<Protector>,
}

/// What the directory answers when a recovery password is to be kept there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escrow {
    /// It keeps it.
    Works,
    /// Group Policy does not admit it.
    RefusedByPolicy,
    /// No domain controller answers.
    Unreachable,
}

/// Why BitLocker refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such volume.
    NoVolume,
    /// No such key protector on it.
    NoProtector,
    /// The TPM is absent or not ready.
    NoTpm,
    /// The volume is not in a condition for this.
    WrongCondition,
    /// The directory does not take the recovery password.
    Escrow(Escrow),
}

/// BitLocker and what it needs.
#[derive(Debug, Clone, Serialize)]
pub struct Encryption {
    /// Whether the feature, and with it the module, is installed.
    pub installed: bool,
    /// Whether there is a TPM.
    pub tpm_present: bool,
    /// Whether it can be used.
    pub tpm_ready: bool,
    /// The volumes, the one Windows starts from first.
    pub volumes: Vec<Volume>,
    /// What the directory answers.
    pub escrow: Escrow,
    /// Identifiers of the recovery passwords that the directory keeps.
    pub escrowed: Vec<String>,
    /// How long it takes to encrypt a volume, in seconds of true time.
    pub encryption_seconds: u32,
    #[serde(skip)]
    made: u32,
}

impl Encryption {
    /// The healthy state on such a machine.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let tpm = profile != Profile::NoTpm;
        let mut state = Self {
            installed: true,
            tpm_present: tpm,
            tpm_ready: tpm,
            volumes: vec![Volume {
                mount_point: "C:".to_owned(),
                volume_type: VolumeType::OperatingSystem,
                removable: false,
                condition: Condition::Decrypted,
                percentage: 0,
                began: None,
                protectors: Vec::new(),
            }],
            escrow: Escrow::Works,
            escrowed: Vec::new(),
            encryption_seconds: 120,
            made: 0,
        };
        if tpm {
            let protectors = vec![state.make(ProtectorType::Tpm), state.make(ProtectorType::RecoveryPassword)];
            state.escrowed.extend(protectors.iter().skip(1).map(|p| p.id.clone()));
            if let Some(volume) = state.volumes.first_mut() {
                volume.protectors = protectors;
                volume.condition = Condition::Encrypted;
                volume.percentage = 100;
            }
        }
        state
    }

    fn make(&mut self, kind: ProtectorType) -> Protector {
        self.made = self.made.saturating_add(1);
        let n = self.made;
        // Eight groups of six digits, each a multiple of eleven, as the real ones are.
        let group =
            |i: u32| format!("{:06}", (n.wrapping_mul(7_919).wrapping_add(i.wrapping_mul(6_133)) % 65_536) * 11);
        let secret = match kind {
            ProtectorType::Tpm => String::new(),
            ProtectorType::RecoveryPassword => (1..=8).map(group).collect::<Vec<_>>().join("-"),
        };
        Protector { id: format!("{{5B0F2C4E-9D31-4A77-8C10-{n:012X}}}"), kind, secret }
    }

    pub(crate) fn volume(&self, mount_point: &str) -> Option<&Volume> {
        self.volumes.iter().find(|v| v.mount_point.eq_ignore_ascii_case(mount_point.trim_end_matches('\\')))
    }

    fn volume_mut(&mut self, mount_point: &str) -> Result<&mut Volume, Refusal> {
        let wanted = mount_point.trim_end_matches('\\');
        self.volumes.iter_mut().find(|v| v.mount_point.eq_ignore_ascii_case(wanted)).ok_or(Refusal::NoVolume)
    }

    /// Moves encryptions under way forward. Only their end is a change worth a line in the ledger.
    pub(crate) fn pass_time(&mut self, now: Timestamp) -> Vec<Change> {
        let seconds = i64::from(self.encryption_seconds).max(1);
        let mut changes = Vec::new();
        for volume in self.volumes.iter_mut().filter(|v| v.condition == Condition::Encrypting) {
            let Some(began) = volume.began else {
                continue;
            };
            let elapsed = now.duration_since(began).as_secs().clamp(0, seconds);
            volume.percentage = u8::try_from(elapsed.saturating_mul(100) / seconds).unwrap_or(100);
            if volume.percentage >= 100 {
                volume.began = None;
                changes.extend(set_condition(volume, Condition::Encrypted));
            }
        }
        changes
    }

    /// Adds a key protector; its identifier is with the change.
    pub(crate) fn add_protector(
        &mut self,
        mount_point: &str,
        kind: ProtectorType,
    ) -> Result<(Change, String), Refusal> {
        let volume = self.volume(mount_point).ok_or(Refusal::NoVolume)?;
        if volume.condition == Condition::Locked {
            return Err(Refusal::WrongCondition);
        }
        if kind == ProtectorType::Tpm && !(self.tpm_present && self.tpm_ready) {
            return Err(Refusal::NoTpm);
        }
        let protector = self.make(kind);
        let change = protector_change(mount_point, "none", &word(&protector));
        let secret = protector.secret.clone();
        self.volume_mut(mount_point)?.protectors.push(protector);
        Ok((change, secret))
    }

    pub(crate) fn remove_protector(&mut self, mount_point: &str, id: &str) -> Result<Change, Refusal> {
        let volume = self.volume_mut(mount_point)?;
        let at = volume.protectors.iter().position(|p| p.id.eq_ignore_ascii_case(id)).ok_or(Refusal::NoProtector)?;
        let removed = volume.protectors.remove(at);
        Ok(protector_change(mount_point, &word(&removed), "none"))
    }

    /// Gives a recovery password to the directory; no change when it has it already.
    pub(crate) fn escrow(&mut self, mount_point: &str, id: &str) -> Result<Option<Change>, Refusal> {
        let volume = self.volume(mount_point).ok_or(Refusal::NoVolume)?;
        let protector = volume.protectors.iter().find(|p| p.id.eq_ignore_ascii_case(id)).ok_or(Refusal::NoProtector)?;
        if protector.kind != ProtectorType::RecoveryPassword {
            return Err(Refusal::NoProtector);
        }
        if self.escrow != Escrow::Works {
            return Err(Refusal::Escrow(self.escrow));
        }
        let id = protector.id.clone();
        if self.escrowed.contains(&id) {
            return Ok(None);
        }
        self.escrowed.push(id.clone());
        Ok(Some(change(mount_point, "escrowed", "none", &id)))
    }

    /// Adds a TPM protector and starts to encrypt.
    pub(crate) fn enable(&mut self, mount_point: &str, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let volume = self.volume(mount_point).ok_or(Refusal::NoVolume)?;
        if volume.condition != Condition::Decrypted || volume.volume_type != VolumeType::OperatingSystem {
            return Err(Refusal::WrongCondition);
        }
        let (added, _) = self.add_protector(mount_point, ProtectorType::Tpm)?;
        let volume = self.volume_mut(mount_point)?;
        volume.began = Some(now);
        volume.percentage = 0;
        Ok([Some(added), set_condition(volume, Condition::Encrypting)].into_iter().flatten().collect())
    }

    /// Protects a suspended volume again; a volume that is not suspended stays as it is.
    pub(crate) fn resume(&mut self, mount_point: &str) -> Result<Option<Change>, Refusal> {
        let volume = self.volume_mut(mount_point)?;
        match volume.condition {
            Condition::Suspended | Condition::WaitingForActivation if volume.protectors.is_empty() => {
                Err(Refusal::NoProtector)
            }
            Condition::Suspended | Condition::WaitingForActivation => Ok(set_condition(volume, Condition::Encrypted)),
            Condition::Locked => Err(Refusal::WrongCondition),
            _ => Ok(None),
        }
    }

    /// Puts a volume into a condition, whatever it takes. None: no such volume.
    pub(crate) fn put(
        &mut self,
        mount_point: &str,
        to: Condition,
        percentage: u8,
        now: Timestamp,
    ) -> Option<Option<Change>> {
        let has = self.volume(mount_point)?.protectors.clone();
        let protectors = match to {
            Condition::Decrypted | Condition::WaitingForActivation => Vec::new(),
            _ if has.is_empty() => {
                let made = vec![self.make(ProtectorType::Tpm), self.make(ProtectorType::RecoveryPassword)];
                self.escrowed.extend(made.iter().skip(1).map(|p| p.id.clone()));
                made
            }
            _ => has,
        };
        let seconds = i64::from(self.encryption_seconds);
        let volume = self.volume_mut(mount_point).ok()?;
        volume.protectors = protectors;
        volume.percentage = match to {
            Condition::Decrypted => 0,
            Condition::Encrypting | Condition::EncryptionPaused | Condition::Decrypting => percentage.min(99),
            _ => 100,
        };
        // An encryption under way began as long ago as its percentage says.
        let done = seconds.saturating_mul(i64::from(volume.percentage)) / 100;
        volume.began = (to == Condition::Encrypting).then(|| after(now, SignedDuration::from_secs(-done)));
        Some(set_condition(volume, to))
    }

    /// A new disk with one volume that is not encrypted; none when the drive letter is taken.
    pub(crate) fn add_data_volume(&mut self, mount_point: &str, removable: bool) -> Option<Change> {
        if self.volume(mount_point).is_some() {
            return None;
        }
        self.volumes.push(Volume {
            mount_point: mount_point.to_owned(),
            volume_type: VolumeType::Data,
            removable,
            condition: Condition::Decrypted,
            percentage: 0,
            began: None,
            protectors: Vec::new(),
        });
        Some(change(mount_point, "volume", "none", if removable { "removable" } else { "fixed" }))
    }

    /// The recovery password is lost: the protectors of that kind are gone.
    pub(crate) fn lose_recovery_passwords(&mut self, mount_point: &str) -> Option<Option<Change>> {
        let volume = self.volume_mut(mount_point).ok()?;
        let (lost, kept): (Vec<_>, Vec<_>) =
            volume.protectors.drain(..).partition(|p| p.kind == ProtectorType::RecoveryPassword);
        volume.protectors = kept;
        let lost = lost.iter().map(word).collect::<Vec<_>>().join(", ");
        Some((!lost.is_empty()).then(|| protector_change(mount_point, &lost, "none")))
    }

    pub(crate) fn set_tpm(&mut self, present: bool, ready: bool) -> Option<Change> {
        let show = |s: &Self| format!("present {}, ready {}", s.tpm_present, s.tpm_ready);
        let from = show(self);
        (self.tpm_present, self.tpm_ready) = (present, present && ready);
        let to = show(self);
        (from != to).then(|| change("TPM", "tpm", &from, &to))
    }

    pub(crate) fn set_escrow(&mut self, to: Escrow) -> Option<Change> {
        let from = std::mem::replace(&mut self.escrow, to);
        (from != to).then(|| change("directory", "escrow", &format!("{from:?}"), &format!("{to:?}")))
    }

    pub(crate) fn set_installed(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.installed, to);
        (from != to).then(|| change("BitLocker", "installed", &from.to_string(), &to.to_string()))
    }

    pub(crate) fn set_encryption_seconds(&mut self, to: u32) -> Option<Change> {
        let from = std::mem::replace(&mut self.encryption_seconds, to);
        (from != to).then(|| change("BitLocker", "encryption_seconds", &from.to_string(), &to.to_string()))
    }
}

fn set_condition(volume: &mut Volume, to: Condition) -> Option<Change> {
    let from = std::mem::replace(&mut volume.condition, to);
    (from != to).then(|| change(&volume.mount_point, "condition", from.as_str(), to.as_str()))
}

fn word(protector: &Protector) -> String {
    format!("{} {}", protector.kind.as_str(), protector.id)
}

fn protector_change(mount_point: &str, from: &str, to: &str) -> Change {
    change(mount_point, "key_protector", from, to)
}

fn change(object: &str, property: &'static str, from: &str, to: &str) -> Change {
    Change {
        subsystem: Subsystem::Encryption,
        object: object.to_owned(),
        property,
        from: from.to_owned(),
        to: to.to_owned(),
    }
}
