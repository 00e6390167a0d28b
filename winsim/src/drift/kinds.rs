//! Every drift that can be caused, as one typed list.

use serde::{Deserialize, Serialize};

use super::protection::{Bitlocker, Defender, WindowsBackup};
use crate::windows::computer::Language;
use crate::windows::directory::{Replication, TESTS};
use crate::windows::firewall::{GpoBoolean, ProfileName};
use crate::windows::ledger::{Actor, Change};
use crate::windows::logging::AuditSetting;
use crate::windows::services::{Refusal, StartType, Status};
use crate::windows::updates::{HResult, RebootMark, Update};
use crate::windows::winrm::{Drops, Message, Moment};
use crate::windows::{Machine, State};

/// A change to the machine from outside. In JSON the variant is the field `kind`; its fields stand beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Drift {
    /// A profile is turned off locally.
    FirewallProfileOff {
        /// The profile.
        profile: ProfileName,
    },
    /// A profile is turned on locally.
    FirewallProfileOn {
        /// The profile.
        profile: ProfileName,
    },
    /// Somebody sets a profile locally to any of the three values.
    FirewallProfileSet {
        /// The profile.
        profile: ProfileName,
        /// The value, `NotConfigured` included.
        enabled: GpoBoolean,
    },
    /// Group Policy sets a profile, or (`NotConfigured`) stops setting it.
    FirewallPolicy {
        /// The profile.
        profile: ProfileName,
        /// What policy says.
        enabled: GpoBoolean,
    },
    /// A rule is enabled or disabled.
    FirewallRule {
        /// Its instance identifier, such as `WINRM-HTTPS-In-TCP`.
        rule: String,
        /// Whether it applies.
        enabled: bool,
    },
    /// A service crashes or is stopped, whatever it thinks of that.
    ServiceStopped {
        /// Its short name.
        service: String,
    },
    /// A service runs.
    ServiceRunning {
        /// Its short name.
        service: String,
    },
    /// The start type of a service changes.
    ServiceStartType {
        /// Its short name.
        service: String,
        /// The new start type.
        start_type: StartType,
    },
    /// A service fails to start from now on (or no longer does).
    ServiceStartFails {
        /// Its short name.
        service: String,
        /// Whether starts fail.
        fails: bool,
    },
    /// An update is offered, or the one of that number becomes another.
    UpdateOffered {
        /// The update, with its faults.
        update: Update,
    },
    /// Searches for updates fail, as when the WSUS server cannot be reached (or, without an error, work again).
    UpdateSearchFails {
        /// The error, such as `0x8024402C`.
        error: Option<HResult>,
    },
    /// Searches end with errors, and what they list is not all (or is again).
    UpdateSearchIncomplete {
        /// Whether they do.
        incomplete: bool,
    },
    /// Group Policy names a WSUS server, or none any more.
    WsusServer {
        /// Its address, such as `http://wsus.clinic.example:8530`.
        url: Option<String>,
    },
    /// Somebody's installation left a reboot due (or a mark of it is gone).
    RebootPending {
        /// Where that is noted.
        mark: RebootMark,
        /// Whether it is due.
        pending: bool,
    },
    /// The machine restarts: what waited for that is installed, and tasks that ran have ended.
    Reboot {},
    /// Something happens to Microsoft Defender.
    Defender(Defender),
    /// Something happens to Windows Server Backup.
    WindowsBackup(WindowsBackup),
    /// Something happens to BitLocker or what it needs.
    Bitlocker(Bitlocker),
    /// The clock of the machine goes wrong.
    ClockOffset {
        /// Seconds ahead of true time; negative means behind.
        seconds: i64,
    },
    /// WinRM hands out errors cut in the middle of their tags, as Server 2025 does (or whole).
    WinrmSplitsErrors {
        /// Whether it cuts them.
        split: bool,
    },
    /// WinRM sends its answers in chunks, without their length (or whole).
    WinrmChunks {
        /// Whether it does.
        chunked: bool,
    },
    /// WinRM holds every answer back.
    WinrmDelays {
        /// For so long; zero ends it.
        milliseconds: u32,
    },
    /// WinRM accepts connections, and says nothing on any of them (or goes on).
    WinrmHangs {
        /// Whether it hangs.
        hangs: bool,
    },
    /// Connections to WinRM break after a request has arrived and before its answer.
    WinrmDrops {
        /// At which message.
        message: Message,
        /// Whether what it asks for is done first.
        moment: Moment,
        /// At how many of them; zero ends it.
        times: u32,
    },
    /// Somebody changes what a subcategory audits.
    AuditSetting {
        /// Its English name or its identifier in braces.
        subcategory: String,
        /// What it audits from now on.
        setting: AuditSetting,
    },
    /// Group Policy sets a subcategory at each refresh from now on, or (null) leaves it alone.
    AuditGroupPolicy {
        /// Its English name or its identifier in braces.
        subcategory: String,
        /// What policy says.
        setting: Option<AuditSetting>,
    },
    /// Group Policy is refreshed: its audit settings are written over the local ones.
    GroupPolicyRefresh {},
    /// Somebody changes the maximum size of the Security log.
    SecurityLogSize {
        /// The size in bytes.
        bytes: u64,
    },
    /// Group Policy sets the maximum size of the Security log, or (null) no longer does.
    SecurityLogSizePolicy {
        /// The size in bytes.
        bytes: Option<u64>,
    },
    /// The Security log is switched off or on.
    SecurityLogEnabled {
        /// Whether events are written to it.
        enabled: bool,
    },
    /// The registry value `SCENoApplyLegacyAuditPolicy` changes, or (null) goes.
    LegacyAuditPolicy {
        /// The value.
        no_apply: Option<u32>,
    },
    /// Replication from a partner of a domain controller fares differently.
    Replication {
        /// The partner's name.
        partner: String,
        /// `ok`, `failing` (until somebody synchronises) or `offline` (whoever asks).
        state: Replication,
    },
    /// A partner is taken out of the directory.
    ReplicationPartnerRemoved {
        /// The partner's name.
        partner: String,
    },
    /// The directory no longer says how replication fares (or says it again).
    ReplicationQueryFails {
        /// Whether asking fails.
        fails: bool,
    },
    /// A test of `dcdiag` fails (or no longer does).
    DcdiagTest {
        /// Its name, such as `SysVolCheck`.
        test: String,
        /// Whether it fails.
        fails: bool,
    },
    /// The display language of Windows changes, and with it what its tools print.
    DisplayLanguage {
        /// The language.
        language: Language,
    },
    /// WinRM answers every logon with 401 (or no longer does).
    RefuseLogons {
        /// Whether it refuses.
        refuse: bool,
    },
}

/// A drift names something that the machine does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this machine has no {what} named '{name}' (it has {known})")]
pub struct UnknownObject {
    what: &'static str,
    name: String,
    known: String,
    /// The field of the request that names it.
    pub(crate) field: &'static str,
}

impl Drift {
    /// Brings the drift about. Whether the state changed: one that already holds changes nothing.
    ///
    /// # Errors
    /// The service or rule does not exist.
    pub fn apply(&self, machine: &Machine) -> Result<bool, UnknownObject> {
        if matches!(self, Self::Reboot {}) {
            let (changes, ()) = machine.edit(&Actor::drift(), |state| {
                let mut changes = state.tasks.end_all();
                changes.extend(state.updates.reboot());
                (changes, ())
            });
            // What ran has ended for the scheduler before it learns of it itself.
            machine.stop_tasks();
            return Ok(changes > 0);
        }
        let (changes, result) = machine.edit(&Actor::drift(), |state| match self.change(state) {
            Ok(_) if matches!(self, Self::GroupPolicyRefresh {}) => (state.logging.refresh_policy(), Ok(())),
            Ok(change) => (change.into_iter().collect(), Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        });
        result.map(|()| changes > 0)
    }

    fn change(&self, state: &mut State) -> Result<Option<Change>, UnknownObject> {
        Ok(match self {
            Self::FirewallProfileOff { profile } => state.firewall.set_local(*profile, GpoBoolean::False),
            Self::FirewallProfileOn { profile } => state.firewall.set_local(*profile, GpoBoolean::True),
            Self::FirewallProfileSet { profile, enabled } => state.firewall.set_local(*profile, *enabled),
            Self::FirewallPolicy { profile, enabled } => state.firewall.set_policy(*profile, *enabled),
            Self::FirewallRule { rule, enabled } => match state.firewall.set_rule(rule, *enabled) {
                Some(change) => change,
                None => return Err(unknown_rule(state, rule)),
            },
            Self::ServiceStopped { service } => {
                let result = state.services.set_status(service, Status::Stopped);
                known_service(state, service, result)?
            }
            Self::ServiceRunning { service } => {
                let result = state.services.set_status(service, Status::Running);
                known_service(state, service, result)?
            }
            Self::ServiceStartType { service, start_type } => {
                let result = state.services.set_start_type(service, *start_type);
                known_service(state, service, result)?
            }
            Self::ServiceStartFails { service, fails } => {
                let result = state.services.set_start_fails(service, *fails);
                known_service(state, service, result)?
            }
            Self::UpdateOffered { update } => state.updates.offer(update.clone()),
            Self::UpdateSearchFails { error } => state.updates.set_search_error(*error),
            Self::UpdateSearchIncomplete { incomplete } => state.updates.set_search_incomplete(*incomplete),
            Self::WsusServer { url } => state.updates.set_wsus_server(url.clone()),
            Self::RebootPending { mark, pending } => state.updates.set_mark(*mark, *pending),
            // More than one change: see `apply`.
            Self::Reboot {} => None,
            Self::Defender(event) => event.change(state),
            Self::WindowsBackup(event) => event.change(state),
            Self::Bitlocker(event) => event.change(state)?,
            Self::AuditSetting { subcategory, setting } => {
                let result = state.logging.set_audit(subcategory, *setting);
                known_subcategory(state, subcategory, result)?
            }
            Self::AuditGroupPolicy { subcategory, setting } => {
                let result = state.logging.set_policy(subcategory, *setting);
                known_subcategory(state, subcategory, result)?
            }
            // Makes several changes: see `apply`.
            Self::GroupPolicyRefresh {} => None,
            Self::SecurityLogSize { bytes } => state.logging.set_log_size(*bytes),
            Self::SecurityLogSizePolicy { bytes } => state.logging.set_log_size_policy(*bytes),
            Self::SecurityLogEnabled { enabled } => state.logging.set_log_enabled(*enabled),
            Self::LegacyAuditPolicy { no_apply } => state.logging.set_no_apply_legacy(*no_apply),
            Self::Replication { partner, state: to } => {
                let result = state.directory.as_mut().and_then(|d| d.set_replication(partner, *to));
                known_partner(state, partner, result)?
            }
            Self::ReplicationPartnerRemoved { partner } => {
                let result = state.directory.as_mut().and_then(|d| d.remove_partner(partner));
                Some(known_partner(state, partner, result)?)
            }
            Self::ReplicationQueryFails { fails } => state.directory.as_mut().and_then(|d| d.set_query_fails(*fails)),
            Self::DcdiagTest { test, fails } => {
                let result = state.directory.as_mut().and_then(|d| d.set_test(test, *fails));
                result.ok_or_else(|| UnknownObject {
                    what: "dcdiag test",
                    name: test.clone(),
                    known: state.directory.as_ref().map_or(String::new(), |_| TESTS.join(", ")),
                    field: "test",
                })?
            }
            Self::DisplayLanguage { language } => state.computer.set_language(*language),
            Self::ClockOffset { seconds } => state.computer.set_clock_offset(*seconds),
            Self::WinrmSplitsErrors { split } => state.winrm.set_split_errors(*split),
            Self::WinrmChunks { chunked } => state.winrm.set_chunked(*chunked),
            Self::WinrmDelays { milliseconds } => state.winrm.set_delay(*milliseconds),
            Self::WinrmHangs { hangs } => state.winrm.set_hangs(*hangs),
            Self::WinrmDrops { message, moment, times } => {
                state.winrm.set_drops(Drops { message: *message, moment: *moment, times: *times })
            }
            Self::RefuseLogons { refuse } => state.set_refuse_logons(*refuse),
        })
    }
}

/// A drift that names something that the machine does not have.
pub(super) fn unknown(what: &'static str, name: &str, known: String, field: &'static str) -> UnknownObject {
    UnknownObject { what, name: name.to_owned(), known, field }
}

fn known_service<T>(state: &State, name: &str, result: Result<T, Refusal>) -> Result<T, UnknownObject> {
    result.map_err(|_| {
        let names: Vec<&str> = state.services.all().iter().map(|s| s.name.as_str()).collect();
        UnknownObject { what: "service", name: name.to_owned(), known: names.join(", "), field: "service" }
    })
}

fn known_partner<T>(state: &State, name: &str, result: Option<T>) -> Result<T, UnknownObject> {
    result.ok_or_else(|| {
        let partners = state.directory.as_ref().map(|d| d.partners.as_slice()).unwrap_or_default();
        let names: Vec<&str> = partners.iter().map(|p| p.name.as_str()).collect();
        UnknownObject { what: "replication partner", name: name.to_owned(), known: names.join(", "), field: "partner" }
    })
}

fn known_subcategory<T>(state: &State, name: &str, result: Option<T>) -> Result<T, UnknownObject> {
    result.ok_or_else(|| {
        let names: Vec<&str> = state.logging.audit.iter().map(|s| s.name).collect();
        UnknownObject {
            what: "audit subcategory",
            name: name.to_owned(),
            known: names.join(", "),
            field: "subcategory",
        }
    })
}

fn unknown_rule(state: &State, name: &str) -> UnknownObject {
    let names: Vec<&str> = state.firewall.rules.iter().map(|r| r.instance_id.as_str()).collect();
    UnknownObject { what: "firewall rule", name: name.to_owned(), known: names.join(", "), field: "rule" }
}
