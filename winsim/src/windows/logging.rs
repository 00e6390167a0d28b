//! The audit policy by subcategory, and the Security log.
//!
//! Both have two owners: what is set locally, and what Group Policy says. For the audit policy, policy is no layer on top: each
//! refresh writes its settings over the local ones, and between two refreshes the local ones count. For the log's size it is
//! one: while policy has a value, that value is in force.

use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};
use crate::profiles::Profile;

/// What a subcategory audits, with the numbers of `auditpol`'s backup format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditSetting {
    /// Nothing.
    NoAuditing = 0,
    /// What succeeded.
    Success = 1,
    /// What failed.
    Failure = 2,
    /// Both.
    SuccessAndFailure = 3,
}

impl AuditSetting {
    /// From whether successes and failures are audited.
    pub(crate) fn of(success: bool, failure: bool) -> Self {
        match (success, failure) {
            (false, false) => Self::NoAuditing,
            (true, false) => Self::Success,
            (false, true) => Self::Failure,
            (true, true) => Self::SuccessAndFailure,
        }
    }

    pub(crate) fn success(self) -> bool {
        matches!(self, Self::Success | Self::SuccessAndFailure)
    }

    pub(crate) fn failure(self) -> bool {
        matches!(self, Self::Failure | Self::SuccessAndFailure)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::NoAuditing => "no_auditing",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::SuccessAndFailure => "success_and_failure",
        }
    }
}

/// A subcategory of the audit policy.
#[derive(Debug, Clone, Serialize)]
pub struct Subcategory {
    /// Which: the two digits in which the identifiers `{0CCE92xx-69AE-11D9-BED3-505054503030}` differ.
    pub number: u8,
    /// Its name in English; the tools print it in the language of the machine.
    pub name: &'static str,
    /// The same in German.
    #[serde(skip)]
    pub(crate) german: &'static str,
    /// What is audited now.
    pub setting: AuditSetting,
    /// What Group Policy sets at each refresh; none when it leaves the subcategory alone.
    pub policy: Option<AuditSetting>,
}

impl Subcategory {
    /// The identifier as the tools print it.
    #[must_use]
    pub fn guid(&self) -> String {
        format!("{{0CCE92{:02X}-69AE-11D9-BED3-505054503030}}", self.number)
    }
}

/// The event log `Security`.
#[derive(Debug, Clone, Serialize)]
pub struct SecurityLog {
    /// Whether events are written to it.
    pub enabled: bool,
    /// Its maximum size as set locally, in bytes.
    pub local_max_bytes: u64,
    /// What Group Policy says, in bytes; none when it says nothing.
    pub policy_max_bytes: Option<u64>,
}

/// Audit policy and Security log.
#[derive(Debug, Clone, Serialize)]
pub struct Logging {
    /// The subcategories, in the order in which `auditpol` lists them.
    pub audit: Vec<Subcategory>,
    /// The Security log.
    pub security_log: SecurityLog,
    /// `SCENoApplyLegacyAuditPolicy`: none when the value does not exist, which counts as 1.
    pub no_apply_legacy_audit_policy: Option<u32>,
}

/// The subcategories that every simulated machine has: number, English name, German name, and what a healthy machine audits.
const SUBCATEGORIES: [(u8, &str, &str, AuditSetting); 24] = {
    use AuditSetting::{Failure, NoAuditing, Success, SuccessAndFailure};
    [
        (0x11, "Security System Extension", "Sicherheitssystemerweiterung", NoAuditing),
        (0x12, "System Integrity", "Systemintegrität", SuccessAndFailure),
        (0x13, "IPsec Driver", "IPSEC-Treiber", NoAuditing),
        (0x14, "Other System Events", "Andere Systemereignisse", SuccessAndFailure),
        (0x10, "Security State Change", "Sicherheitsstatusänderung", Success),
        (0x15, "Logon", "Anmelden", SuccessAndFailure),
        (0x16, "Logoff", "Abmelden", Success),
        (0x17, "Account Lockout", "Kontosperrung", SuccessAndFailure),
        (0x1B, "Special Logon", "Spezielle Anmeldung", Success),
        (0x1C, "Other Logon/Logoff Events", "Andere Anmelde-/Abmeldeereignisse", NoAuditing),
        (0x1D, "File System", "Dateisystem", NoAuditing),
        (0x1E, "Registry", "Registrierung", NoAuditing),
        (0x28, "Sensitive Privilege Use", "Sensible Verwendung von Rechten", NoAuditing),
        (0x2B, "Process Creation", "Prozesserstellung", Success),
        (0x2C, "Process Termination", "Prozessbeendigung", NoAuditing),
        (0x2F, "Audit Policy Change", "Überwachungsrichtlinienänderung", Success),
        (0x30, "Authentication Policy Change", "Authentifizierungsrichtlinienänderung", Success),
        (0x35, "User Account Management", "Benutzerkontenverwaltung", SuccessAndFailure),
        (0x36, "Computer Account Management", "Computerkontoverwaltung", Success),
        (0x37, "Security Group Management", "Sicherheitsgruppenverwaltung", Success),
        (0x3B, "Directory Service Access", "Verzeichnisdienstzugriff", NoAuditing),
        (0x3F, "Credential Validation", "Überprüfen der Anmeldeinformationen", Failure),
        (0x40, "Kerberos Service Ticket Operations", "Ticketvorgänge des Kerberos-Diensts", NoAuditing),
        (0x42, "Kerberos Authentication Service", "Kerberos-Authentifizierungsdienst", NoAuditing),
    ]
};

/// The registry keys whose values show this state.
const POLICY_KEY: &str = "HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows\\EventLog\\Security";
const LSA_KEY: &str = "HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Lsa";

impl Logging {
    /// What a healthy machine of this kind has.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let policy = |setting| (profile == Profile::GroupPolicy).then_some(setting);
        let audit = SUBCATEGORIES
            .into_iter()
            .map(|(number, name, german, setting)| Subcategory {
                number,
                name,
                german,
                setting,
                policy: policy(setting),
            })
            .collect();
        let local_max_bytes = if profile == Profile::Dc { 1 << 30 } else { 201_326_592 };
        Self {
            audit,
            security_log: SecurityLog { enabled: true, local_max_bytes, policy_max_bytes: None },
            no_apply_legacy_audit_policy: None,
        }
    }

    /// The size in force, in bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.security_log.policy_max_bytes.unwrap_or(self.security_log.local_max_bytes)
    }

    /// A subcategory by its name or identifier.
    pub(crate) fn find(&self, wanted: &str) -> Option<&Subcategory> {
        self.audit.iter().find(|s| is(s, wanted))
    }

    /// Sets what a subcategory audits. The outer none: no such subcategory; the inner: it was so already.
    pub(crate) fn set_audit(&mut self, wanted: &str, to: AuditSetting) -> Option<Option<Change>> {
        let subcategory = self.audit.iter_mut().find(|s| is(s, wanted))?;
        Some(set(subcategory, to))
    }

    /// Sets what Group Policy says of a subcategory; it takes effect at the next refresh.
    pub(crate) fn set_policy(&mut self, wanted: &str, to: Option<AuditSetting>) -> Option<Option<Change>> {
        let subcategory = self.audit.iter_mut().find(|s| is(s, wanted))?;
        let from = std::mem::replace(&mut subcategory.policy, to);
        let shown = |s: Option<AuditSetting>| s.map_or("not_configured", AuditSetting::as_str).to_owned();
        Some((from != to).then(|| change(subcategory.name, "policy_setting", shown(from), shown(to))))
    }

    /// Group Policy writes its settings over the local ones.
    pub(crate) fn refresh_policy(&mut self) -> Vec<Change> {
        self.audit.iter_mut().filter_map(|s| s.policy.and_then(|policy| set(s, policy))).collect()
    }

    pub(crate) fn set_log_enabled(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.security_log.enabled, to);
        (from != to).then(|| change("Security", "enabled", from.to_string(), to.to_string()))
    }

    pub(crate) fn set_log_size(&mut self, to: u64) -> Option<Change> {
        let from = std::mem::replace(&mut self.security_log.local_max_bytes, to);
        (from != to).then(|| change("Security", "max_bytes", from.to_string(), to.to_string()))
    }

    pub(crate) fn set_log_size_policy(&mut self, to: Option<u64>) -> Option<Change> {
        let from = std::mem::replace(&mut self.security_log.policy_max_bytes, to);
        let shown = |n: Option<u64>| n.map_or("not_configured".to_owned(), |n| n.to_string());
        (from != to).then(|| change("Security", "policy_max_bytes", shown(from), shown(to)))
    }

    pub(crate) fn set_no_apply_legacy(&mut self, to: Option<u32>) -> Option<Change> {
        let from = std::mem::replace(&mut self.no_apply_legacy_audit_policy, to);
        let shown = |n: Option<u32>| n.map_or("absent".to_owned(), |n| n.to_string());
        (from != to).then(|| change("SCENoApplyLegacyAuditPolicy", "value", shown(from), shown(to)))
    }

    /// The values of a registry key that shows this state; none for another key, or one that does not exist.
    pub(crate) fn registry_values(&self, key: &str) -> Option<Vec<(&'static str, i64)>> {
        if key.eq_ignore_ascii_case(POLICY_KEY) {
            // Policy counts in kibibytes.
            let kib = self.security_log.policy_max_bytes? / 1024;
            return Some(vec![("MaxSize", i64::try_from(kib).unwrap_or(i64::MAX))]);
        }
        if key.eq_ignore_ascii_case(LSA_KEY) {
            let mut values = vec![("LimitBlankPasswordUse", 1)];
            values.extend(self.no_apply_legacy_audit_policy.map(|v| ("SCENoApplyLegacyAuditPolicy", i64::from(v))));
            return Some(values);
        }
        None
    }
}

fn is(subcategory: &Subcategory, wanted: &str) -> bool {
    [subcategory.name, subcategory.german, &subcategory.guid()].iter().any(|n| n.eq_ignore_ascii_case(wanted))
}

fn set(subcategory: &mut Subcategory, to: AuditSetting) -> Option<Change> {
    let from = std::mem::replace(&mut subcategory.setting, to);
    (from != to).then(|| change(subcategory.name, "audit", from.as_str().to_owned(), to.as_str().to_owned()))
}

fn change(object: &str, property: &'static str, from: String, to: String) -> Change {
    Change { subsystem: Subsystem::Logging, object: object.to_owned(), property, from, to }
}
