//! The checks whose runbook itself knows what is right: its detect phase says compliant or drift, and why.
//!
//! What a baseline could ask differently (firewall profiles, the list of services) is judged in files of their own.
//! Everything that the script observed goes into the finding's details, under the names that rules rely on.
//!
//! Some of these checks see a stopped service too. Where the services check looks after it, it is that check's drift:
//! one fault has one incident and one heal.

use super::{Seen, could_not_tell, reasons};
use crate::adapters::winrm::PhaseError;
use crate::causes::chain;
use crate::config::baseline::Windows;
use crate::model::report::ReportStatus;
use crate::model::{CheckKind, Observation, PhaseReport};
use msp_contracts::finding::Severity;
use serde_json::{Map, Value, json};

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
    /// The services that the script saw stopped.
    stopped: fn(&Map<String, Value>) -> Vec<&str>,
}

/// The script looks at no service, or at one that says so itself.
fn none(_: &Map<String, Value>) -> Vec<&str> {
    Vec::new()
}

/// `service` where the script saw that it does not run.
fn unless_running<'s>(observed: &Map<String, Value>, service: &'s str) -> Vec<&'s str> {
    if observed.get("service_running") == Some(&Value::Bool(false)) { vec![service] } else { Vec::new() }
}

pub const PATCHING: Scripted = Scripted {
    check: CheckKind::Patching,
    runbook_id: "RB-WIN-PATCH-001",
    severity: Severity::High,
    recommended: "Install the missing updates in the maintenance window, and restart the server where Windows asks for it",
    desired: || json!({ "missing": 0, "reboot_pending": false }),
    stopped: none,
};

pub const ANTIVIRUS: Scripted = Scripted {
    check: CheckKind::Antivirus,
    runbook_id: "RB-WIN-AV-001",
    severity: Severity::High,
    recommended: "Set-MpPreference -DisableRealtimeMonitoring $false; Update-MpSignature",
    desired: || json!({ "service_running": true, "real_time_protection": true }),
    stopped: |observed| unless_running(observed, "WinDefend"),
};

pub const BACKUP: Scripted = Scripted {
    check: CheckKind::Backup,
    runbook_id: "RB-WIN-BACKUP-001",
    severity: Severity::High,
    recommended: "Start-WBBackup -Policy (Get-WBPolicy), then find out why the scheduled backup did not run",
    desired: || json!({ "backup_age_hours": "24 or less", "policy_configured": true }),
    stopped: none,
};

pub const LOGGING: Scripted = Scripted {
    check: CheckKind::Logging,
    runbook_id: "RB-WIN-LOGGING-001",
    severity: Severity::High,
    recommended: "Restore the audit policy with auditpol and the Security log with wevtutil; look for a Group Policy that undoes it",
    desired: || json!({ "service_running": true, "audit_missing": [] }),
    stopped: |observed| unless_running(observed, "EventLog"),
};

pub const ENCRYPTION: Scripted = Scripted {
    check: CheckKind::Encryption,
    runbook_id: "RB-WIN-ENCRYPTION-001",
    severity: Severity::High,
    recommended: "Keep the recovery key in the directory first, then Enable-BitLocker or Resume-BitLocker",
    desired: || json!({ "unprotected": [] }),
    stopped: none,
};

pub const DIRECTORY: Scripted = Scripted {
    check: CheckKind::Directory,
    runbook_id: "RB-WIN-AD-001",
    severity: Severity::High,
    recommended: "Start the directory's services, then repadmin /syncall; read repadmin /showrepl and dcdiag",
    desired: || json!({ "stopped": [], "replication_failures": 0, "dcdiag_failed": [] }),
    stopped: |observed| texts(observed.get("stopped")),
};

fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

impl Scripted {
    pub fn desired(&self) -> Value {
        (self.desired)()
    }

    pub fn read(&self, report: Result<PhaseReport, PhaseError>, baseline: &Windows) -> Seen {
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
            ReportStatus::Drift if self.services_see_to(&report.observed, baseline) => {
                let stopped = (self.stopped)(&report.observed).join(", ");
                Observation::pending(check, actual, desired, format!("the services check sees to {stopped} first"))
            }
            ReportStatus::Drift => {
                let diff =
                    if report.reasons.is_empty() { vec![format!("{check} is not as desired")] } else { report.reasons };
                Observation::drift(check, self.severity, actual, desired, diff).recommend(self.recommended)
            }
        };
        seen.details.extend(report.observed);
        Seen { check, complete: true, observations: vec![seen] }
    }

    /// Whether there are stopped services, and the services check looks after every one of them.
    fn services_see_to(&self, observed: &Map<String, Value>, baseline: &Windows) -> bool {
        let stopped = (self.stopped)(observed);
        let looked_after = |name: &&str| baseline.services.iter().any(|one| one.eq_ignore_ascii_case(name));
        !stopped.is_empty() && stopped.iter().all(looked_after)
    }
}
