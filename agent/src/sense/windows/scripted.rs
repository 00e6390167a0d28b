//! The checks whose runbook itself knows what is right: its detect phase says compliant or drift, and why.
//!
//! What a baseline could ask differently (firewall profiles, the list of services) is judged in files of their own.
//! Everything that the script observed goes into the finding's details, under the names that rules rely on.

use super::{Seen, could_not_tell, reasons};
use crate::adapters::winrm::PhaseError;
use crate::causes::chain;
use crate::model::report::ReportStatus;
use crate::model::{CheckKind, Observation, PhaseReport};
use msp_contracts::finding::Severity;
use serde_json::{Value, json};

/// One such check.
#[derive(Debug)]
pub struct Scripted {
    pub check: CheckKind,
    pub runbook_id: &'static str,
    severity: Severity,
    /// What a person would do about it.
    recommended: &'static str,
    /// What is right, in the words of what the script observes.
    desired: fn() -> Value,
}

pub const PATCHING: Scripted = Scripted {
    check: CheckKind::Patching,
    runbook_id: "RB-WIN-PATCH-001",
    severity: Severity::High,
    recommended: "Install the missing updates in the maintenance window, and restart the server where Windows asks for it",
    desired: || json!({ "missing": 0, "reboot_pending": false }),
};

pub const ANTIVIRUS: Scripted = Scripted {
    check: CheckKind::Antivirus,
    runbook_id: "RB-WIN-AV-001",
    severity: Severity::High,
    recommended: "Set-MpPreference -DisableRealtimeMonitoring $false; Update-MpSignature",
    desired: || json!({ "service_running": true, "real_time_protection": true }),
};

pub const BACKUP: Scripted = Scripted {
    check: CheckKind::Backup,
    runbook_id: "RB-WIN-BACKUP-001",
    severity: Severity::High,
    recommended: "Start-WBBackup -Policy (Get-WBPolicy), then find out why the scheduled backup did not run",
    desired: || json!({ "backup_age_hours": "24 or less", "policy_configured": true }),
};

pub const LOGGING: Scripted = Scripted {
    check: CheckKind::Logging,
    runbook_id: "RB-WIN-LOGGING-001",
    severity: Severity::High,
    recommended: "Restore the audit policy with auditpol and the Security log with wevtutil; look for a Group Policy that undoes it",
    desired: || json!({ "service_running": true, "audit_missing": [] }),
};

pub const ENCRYPTION: Scripted = Scripted {
    check: CheckKind::Encryption,
    runbook_id: "RB-WIN-ENCRYPTION-001",
    severity: Severity::High,
    recommended: "Keep the recovery key in the directory first, then Enable-BitLocker or Resume-BitLocker",
    desired: || json!({ "unprotected": [] }),
};

pub const DIRECTORY: Scripted = Scripted {
    check: CheckKind::Directory,
    runbook_id: "RB-WIN-AD-001",
    severity: Severity::High,
    recommended: "Start the directory's services, then repadmin /syncall; read repadmin /showrepl and dcdiag",
    desired: || json!({ "stopped": [], "replication_failures": 0, "dcdiag_failed": [] }),
};

impl Scripted {
    pub fn desired(&self) -> Value {
        (self.desired)()
    }

    pub fn read(&self, report: Result<PhaseReport, PhaseError>) -> Seen {
        let (check, desired) = (self.check, self.desired());
        let report = match report {
            Ok(report) => report,
            Err(error) => return could_not_tell(check, desired, &chain(&error)),
        };
        let actual = Value::Object(report.observed.clone());
        let mut seen = match report.status {
            ReportStatus::Error => {
                Observation::unknown(check, desired, reasons(&report, "the detect script says error"))
            }
            ReportStatus::Unsupported => {
                Observation::unsupported(check, desired, reasons(&report, "not on this server"))
            }
            ReportStatus::Pending => {
                Observation::pending(check, actual, desired, reasons(&report, "a change is under way"))
            }
            ReportStatus::Compliant => Observation::compliant(check, actual, desired),
            ReportStatus::Drift => {
                let diff =
                    if report.reasons.is_empty() { vec![format!("{check} is not as desired")] } else { report.reasons };
                Observation::drift(check, self.severity, actual, desired, diff).recommend(self.recommended)
            }
        };
        seen.details.extend(report.observed);
        Seen { check, complete: true, observations: vec![seen] }
    }
}
