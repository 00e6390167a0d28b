//! Microsoft Defender: `Get-MpComputerStatus`, `Set-MpPreference`, `Update-MpSignature`.
//!
//! All of them ask the service WinDefend, so they fail while it does not run. A preference that Group Policy or tamper
//! protection does not admit is taken without an error, and changes nothing.

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{Value, Zone};
use super::{Action, Cmdlet, named, switch};
use crate::windows::services::Status;

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "Get-MpComputerStatus",
        class: "Get-MpComputerStatus",
        parameters: &[],
        action: Action::Whole(get_status),
    },
    Cmdlet {
        name: "Set-MpPreference",
        class: "Set-MpPreference",
        parameters: &[named("DisableRealtimeMonitoring"), switch("Force")],
        action: Action::Whole(set_preference),
    },
    Cmdlet {
        name: "Update-MpSignature",
        class: "Update-MpSignature",
        parameters: &[],
        action: Action::Whole(update_signature),
    },
];

fn error(bound: &Bound, code: &str, message: &str, category: Category) -> ErrorRecord {
    let mut record = ErrorRecord::new(
        "Microsoft.Management.Infrastructure.CimException",
        &format!("{code},{}", bound.cmdlet.name),
        message,
    )
    .category(category);
    record.target = "MSFT_Mp".to_owned();
    record
}

fn service_runs(interp: &Interpreter) -> bool {
    interp.machine.read(|s| s.services.get("WinDefend").is_some_and(|s| s.status == Status::Running))
}

fn get_status(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    if !service_runs(interp) {
        let record =
            error(bound, "MI RESULT 16", "The extrinsic Method could not be executed.", Category::NotSpecified);
        return interp.cmdlet_error(bound, record);
    }
    let now = interp.machine.clock_time();
    let defender = interp.machine.read(|s| s.antivirus.clone());
    let made = Value::DateTime(defender.signatures_made(now), Zone::Local);
    let age = Value::Int(i64::from(defender.signature_age_days));
    let active = Value::Bool(defender.real_time_in_force());
    let enabled = Value::Bool(defender.running_mode == crate::windows::antivirus::RunningMode::Normal);
    let status = Value::object(
        "Microsoft.Management.Infrastructure.CimInstance#ROOT/Microsoft/Windows/Defender/MSFT_MpComputerStatus",
        vec![
            ("AMRunningMode", Value::str(defender.running_mode.as_str())),
            ("AMServiceEnabled", Value::Bool(true)),
            ("AntispywareEnabled", enabled.clone()),
            ("AntispywareSignatureAge", age.clone()),
            ("AntispywareSignatureLastUpdated", made.clone()),
            ("AntivirusEnabled", enabled),
            ("AntivirusSignatureAge", age),
            ("AntivirusSignatureLastUpdated", made),
            ("BehaviorMonitorEnabled", active.clone()),
            ("IoavProtectionEnabled", active.clone()),
            ("IsTamperProtected", Value::Bool(defender.tamper_protected)),
            ("OnAccessProtectionEnabled", active.clone()),
            ("RealTimeProtectionEnabled", active),
        ],
    );
    out.push(interp, status)
}

fn set_preference(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let disable = match bound.get("DisableRealtimeMonitoring") {
        None => None,
        Some(Value::Bool(disable)) => Some(*disable),
        Some(Value::Int(n @ (0 | 1))) => Some(*n == 1),
        Some(other) => {
            let message = format!(
                "Cannot process argument transformation on parameter 'DisableRealtimeMonitoring'. Cannot convert value \
                 \"{}\" to type \"System.Boolean\".",
                interp.to_text(other)
            );
            return Err(interp.binding_error(bound, "ParameterArgumentTransformationError", message));
        }
    };
    if !service_runs(interp) {
        // The placeholder is the real message's own.
        let message = "Operation failed with the following error: 0x%1!x!";
        let record = error(bound, "HRESULT 0x800106ba", message, Category::NotSpecified);
        return interp.cmdlet_error(bound, record);
    }
    if let Some(disable) = disable {
        let actor = interp.actor.clone();
        interp.machine.edit(&actor, |s| (s.antivirus.prefer_real_time(!disable).into_iter().collect(), ()));
    }
    Ok(())
}

fn update_signature(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let failure = if service_runs(interp) {
        let actor = interp.actor.clone();
        let (_, updated) = interp.machine.edit(&actor, |s| match s.antivirus.update_signatures() {
            Some(change) => (change.into_iter().collect(), true),
            None => (Vec::new(), false),
        });
        (!updated).then_some(("HRESULT 0x80072ee7", "Virus and spyware definitions update was completed with errors."))
    } else {
        Some(("HRESULT 0x800106ba", "Operation failed with the following error: 0x%1!x!"))
    };
    match failure {
        None => Ok(()),
        Some((code, message)) => {
            let record = error(bound, code, message, Category::NotSpecified);
            interp.cmdlet_error(bound, record)
        }
    }
}
