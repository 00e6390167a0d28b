//! Microsoft Defender: what it is told, what Group Policy tells it, and who else looks after the machine.
//!
//! Whether real-time protection is on follows from several parts: the service, the mode, policy, and only then the local
//! preference. A change of the preference that policy or tamper protection does not admit is accepted and has no effect,
//! as the real product does it; that silence is what a script has to notice.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};
use super::services::Service;
use crate::profiles::Profile;

/// `AMRunningMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunningMode {
    /// Defender is in charge.
    Normal,
    /// Another product is in charge; Defender looks on.
    #[serde(rename = "Passive Mode")]
    Passive,
    /// Passive, and only stops what the cloud service found.
    #[serde(rename = "EDR Block Mode")]
    EdrBlock,
    /// Passive beside another product, with scans on demand.
    #[serde(rename = "SxS Passive Mode")]
    SxsPassive,
}

impl RunningMode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Passive => "Passive Mode",
            Self::EdrBlock => "EDR Block Mode",
            Self::SxsPassive => "SxS Passive Mode",
        }
    }
}

/// A product of another vendor, as the Security Center of a workstation lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherProduct {
    /// Its name.
    pub name: String,
    /// Whether it says that it protects.
    pub on: bool,
}

/// Defender and its rivals.
#[derive(Debug, Clone, Serialize)]
pub struct Antivirus {
    /// Whether the feature is installed: without it there is neither service nor cmdlet.
    pub installed: bool,
    /// Who is in charge.
    pub running_mode: RunningMode,
    /// The local preference; its name in PowerShell is the opposite, `DisableRealtimeMonitoring`.
    pub real_time_on: bool,
    /// What Group Policy sets `DisableRealtimeMonitoring` to, if it does.
    pub policy_disables_real_time: Option<bool>,
    /// Whether local changes of protected settings are ignored.
    pub tamper_protected: bool,
    /// Age of the signatures in days.
    pub signature_age_days: u32,
    /// A fault of the simulation: no source of signatures answers.
    pub updates_fail: bool,
    /// Another vendor's product.
    pub other_product: Option<OtherProduct>,
    /// Whether there is a Security Center: on workstations only.
    pub security_center: bool,
    /// The service, while the feature is removed.
    #[serde(skip)]
    pub(crate) service_set_aside: Option<Service>,
}

impl Antivirus {
    /// The healthy state on such a machine.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let other = profile == Profile::ThirdPartyAntivirus;
        Self {
            installed: true,
            running_mode: if other { RunningMode::Passive } else { RunningMode::Normal },
            real_time_on: true,
            policy_disables_real_time: None,
            tamper_protected: profile == Profile::Workstation,
            signature_age_days: 0,
            updates_fail: false,
            other_product: other.then(|| OtherProduct { name: "Contoso Endpoint Protection".to_owned(), on: true }),
            security_center: profile == Profile::Workstation,
            service_set_aside: None,
        }
    }

    /// Whether real-time protection is on, the service running.
    pub(crate) fn real_time_in_force(&self) -> bool {
        self.running_mode == RunningMode::Normal
            && match self.policy_disables_real_time {
                Some(disabled) => !disabled,
                None => self.real_time_on,
            }
    }

    /// When the signatures were made, by a clock that shows `now`.
    pub(crate) fn signatures_made(&self, now: Timestamp) -> Timestamp {
        let age = SignedDuration::from_hours(i64::from(self.signature_age_days).saturating_mul(24));
        now.checked_sub(age).unwrap_or(Timestamp::MIN)
    }

    /// What `Set-MpPreference` does: nothing while policy or tamper protection has the say.
    pub(crate) fn prefer_real_time(&mut self, on: bool) -> Option<Change> {
        if self.policy_disables_real_time.is_some() || self.tamper_protected {
            return None;
        }
        self.set_real_time(on)
    }

    /// Sets the preference whatever protects it.
    pub(crate) fn set_real_time(&mut self, on: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.real_time_on, on);
        change("real_time_protection", from, on)
    }

    pub(crate) fn set_policy(&mut self, to: Option<bool>) -> Option<Change> {
        let word = |value: Option<bool>| value.map_or("not configured".to_owned(), |disabled| disabled.to_string());
        let from = std::mem::replace(&mut self.policy_disables_real_time, to);
        change("policy_disables_real_time", word(from), word(to))
    }

    pub(crate) fn set_tamper_protected(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.tamper_protected, to);
        change("tamper_protected", from, to)
    }

    pub(crate) fn set_running_mode(&mut self, to: RunningMode) -> Option<Change> {
        let from = std::mem::replace(&mut self.running_mode, to);
        change("running_mode", from.as_str(), to.as_str())
    }

    pub(crate) fn set_signature_age(&mut self, days: u32) -> Option<Change> {
        let from = std::mem::replace(&mut self.signature_age_days, days);
        change("signature_age_days", from, days)
    }

    /// What `Update-MpSignature` does; none when no source answers.
    pub(crate) fn update_signatures(&mut self) -> Option<Option<Change>> {
        if self.updates_fail {
            return None;
        }
        Some(self.set_signature_age(0))
    }

    pub(crate) fn set_updates_fail(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.updates_fail, to);
        change("updates_fail", from, to)
    }

    pub(crate) fn set_installed(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.installed, to);
        change("installed", from, to)
    }

    pub(crate) fn set_other_product(&mut self, to: Option<OtherProduct>) -> Option<Change> {
        let word = |product: &Option<OtherProduct>| match product {
            None => "none".to_owned(),
            Some(product) => format!("{} ({})", product.name, if product.on { "on" } else { "off" }),
        };
        let from = std::mem::replace(&mut self.other_product, to);
        change("other_product", word(&from), word(&self.other_product))
    }

    /// The values that Group Policy leaves in the registry under Defender's key for real-time protection; none when
    /// there is no such key.
    pub(crate) fn policy_registry_values(&self) -> Option<Vec<(&'static str, i64)>> {
        self.policy_disables_real_time.map(|disabled| vec![("DisableRealtimeMonitoring", i64::from(disabled))])
    }
}

/// A change, or none when nothing changed.
fn change(property: &'static str, from: impl ToString, to: impl ToString) -> Option<Change> {
    let (from, to) = (from.to_string(), to.to_string());
    (from != to).then(|| Change { subsystem: Subsystem::Antivirus, object: "Defender".to_owned(), property, from, to })
}
