//! Windows Server Backup: `Get-WBSummary`, `Get-WBPolicy`, `Get-WBJob`, `Start-WBBackup`.

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp, civil};

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{EnumValue, Value, Zone};
use super::{Action, Cmdlet, named, switch};
use crate::windows::backup::NeverShownAs;

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "Get-WBSummary",
        class: "Microsoft.Windows.ServerBackup.Commands.GetWBSummary",
        parameters: &[],
        action: Action::Whole(get_summary),
    },
    Cmdlet {
        name: "Get-WBPolicy",
        class: "Microsoft.Windows.ServerBackup.Commands.GetWBPolicy",
        parameters: &[switch("Editable")],
        action: Action::Whole(get_policy),
    },
    Cmdlet {
        name: "Get-WBJob",
        class: "Microsoft.Windows.ServerBackup.Commands.GetWBJob",
        parameters: &[],
        action: Action::Whole(get_job),
    },
    Cmdlet {
        name: "Start-WBBackup",
        class: "Microsoft.Windows.ServerBackup.Commands.StartWBBackup",
        parameters: &[named("Policy"), switch("Async"), switch("Force")],
        action: Action::Whole(start_backup),
    },
];

const POLICY: &str = "Microsoft.Windows.ServerBackup.Commands.WBPolicy";
const STATES: &[(&str, i64)] = &[("Unknown", 0), ("Running", 1), ("Completed", 2)];
const OPERATIONS: &[(&str, i64)] = &[("NoOperationInProgress", 0), ("BackupInProgress", 1)];
const KINDS: &[(&str, i64)] = &[("Backup", 0)];

fn member(type_name: &'static str, members: &'static [(&'static str, i64)], index: usize) -> Value {
    let (name, number) = members.get(index).copied().unwrap_or(("", 0));
    Value::Enum(Rc::new(EnumValue { type_name, name, number, members }))
}

/// `DateTime.MinValue`.
fn min_value() -> Value {
    let first = civil::date(1, 1, 1).at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
    Value::DateTime(first.map_or(Timestamp::MIN, |z| z.timestamp()), Zone::Local)
}

fn get_summary(interp: &mut Interpreter, _: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let (backup, offset) = interp.machine.read(|s| (s.backup.clone(), s.computer.clock_offset_seconds));
    let never = match backup.never_shown_as {
        NeverShownAs::Null => Value::Null,
        NeverShownAs::MinValue => min_value(),
    };
    let date = |time: Option<Timestamp>| time.map_or(never.clone(), |time| Value::DateTime(time, Zone::Local));
    let result = Value::Int(i64::from(backup.last_result));
    let target = if backup.last_success.is_some() { Value::str("E:") } else { Value::Null };
    let summary = Value::object(
        "Microsoft.Windows.ServerBackup.Commands.WBSummary",
        vec![
            ("NextBackupTime", date(backup.next(SignedDuration::from_secs(offset)))),
            ("NumberOfVersions", Value::Int(i64::from(backup.versions))),
            ("LastSuccessfulBackupTime", date(backup.last_success)),
            ("LastSuccessfulBackupTargetPath", target),
            ("LastBackupTime", date(backup.last_attempt)),
            ("DetailedMessage", Value::str("")),
            ("LastBackupResultHR", result.clone()),
            ("LastBackupResultDetailedHR", result),
            (
                "CurrentOperationStatus",
                member(
                    "Microsoft.Windows.ServerBackup.Commands.WBOperationStatus",
                    OPERATIONS,
                    usize::from(backup.job.is_some()),
                ),
            ),
        ],
    );
    out.push(interp, summary)
}

fn get_policy(interp: &mut Interpreter, _: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    if !interp.machine.read(|s| s.backup.policy_configured) {
        return Ok(());
    }
    let volumes = Value::array(vec![Value::str("Local disk (C:)")]);
    let policy = Value::object(
        POLICY,
        vec![("VolumesToBackup", volumes), ("BMR", Value::Bool(true)), ("SystemState", Value::Bool(true))],
    );
    out.push(interp, policy)
}

fn job_object(started: Timestamp) -> Value {
    Value::object(
        "Microsoft.Windows.ServerBackup.Commands.WBJob",
        vec![
            ("JobType", member("Microsoft.Windows.ServerBackup.Commands.WBJobType", KINDS, 0)),
            ("StartTime", Value::DateTime(started, Zone::Local)),
            ("EndTime", min_value()),
            ("JobState", member("Microsoft.Windows.ServerBackup.Commands.WBJobState", STATES, 1)),
            ("CurrentOperation", Value::str("Volume backup")),
            ("HResult", Value::Int(0)),
            ("DetailedHResult", Value::Int(0)),
            ("ErrorDescription", Value::str("")),
        ],
    )
}

fn get_job(interp: &mut Interpreter, _: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    match interp.machine.read(|s| s.backup.job.clone()) {
        Some(job) => out.push(interp, job_object(job.started)),
        None => Ok(()),
    }
}

fn start_backup(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    if !matches!(bound.get("Policy"), Some(Value::Object(policy)) if policy.borrow().type_name == POLICY) {
        return Err(interp.binding_error(
            bound,
            "ParameterArgumentValidationErrorNullNotAllowed",
            "Cannot bind argument to parameter 'Policy' because it is null.".to_owned(),
        ));
    }
    if !bound.switch("Async") {
        return Err(Signal::unsupported("Start-WBBackup without -Async", bound.pos));
    }
    let (now, shown) = (interp.machine.true_time(), interp.machine.clock_time());
    let actor = interp.actor.clone();
    let (_, started) = interp.machine.edit(&actor, |s| match s.backup.start(now, shown) {
        Some(change) => (change.into_iter().collect(), true),
        None => (Vec::new(), false),
    });
    if !started {
        let record = ErrorRecord::new(
            "System.Runtime.InteropServices.COMException",
            &format!("StartWBBackupFailed,{}", bound.cmdlet.class),
            "The operation cannot be started because another backup or recovery operation is in progress.",
        )
        .category(Category::InvalidOperation);
        return interp.cmdlet_error(bound, record);
    }
    out.push(interp, job_object(shown))
}
