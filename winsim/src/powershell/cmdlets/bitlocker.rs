//! BitLocker and the TPM: `Get-BitLockerVolume`, `Add-`, `Remove-` and `Backup-BitLockerKeyProtector`,
//! `Enable-BitLocker`, `Resume-BitLocker`, `Get-Tpm`.
//!
//! As on Windows, adding a recovery password says it in a warning: a script that does not silence that prints the key.

use std::rc::Rc;

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{EnumValue, Value, same_name};
use super::{Action, Cmdlet, Parameter, named, switch};
use crate::windows::encryption::{Condition, Escrow, Protector, ProtectorType, Refusal, Volume, VolumeType};

const MOUNT_POINT: Parameter = Parameter { name: "MountPoint", aliases: &[], switch: false, position: Some(0) };
const PROTECTOR_ID: Parameter = Parameter { name: "KeyProtectorId", aliases: &[], switch: false, position: Some(1) };

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "Get-BitLockerVolume",
        class: "Get-BitLockerVolume",
        parameters: &[MOUNT_POINT],
        action: Action::Whole(get_volume),
    },
    Cmdlet {
        name: "Add-BitLockerKeyProtector",
        class: "Add-BitLockerKeyProtector",
        parameters: &[MOUNT_POINT, switch("RecoveryPasswordProtector"), switch("TpmProtector"), switch("Confirm")],
        action: Action::Whole(add_protector),
    },
    Cmdlet {
        name: "Remove-BitLockerKeyProtector",
        class: "Remove-BitLockerKeyProtector",
        parameters: &[MOUNT_POINT, PROTECTOR_ID, switch("Confirm")],
        action: Action::Whole(remove_protector),
    },
    Cmdlet {
        name: "Backup-BitLockerKeyProtector",
        class: "Backup-BitLockerKeyProtector",
        parameters: &[MOUNT_POINT, PROTECTOR_ID, switch("Confirm")],
        action: Action::Whole(backup_protector),
    },
    Cmdlet {
        name: "Enable-BitLocker",
        class: "Enable-BitLocker",
        parameters: &[MOUNT_POINT, switch("TpmProtector"), switch("SkipHardwareTest"), switch("Confirm")],
        action: Action::Whole(enable),
    },
    Cmdlet {
        name: "Resume-BitLocker",
        class: "Resume-BitLocker",
        parameters: &[MOUNT_POINT, switch("Confirm")],
        action: Action::Whole(resume),
    },
];

/// The module of the TPM is there whatever features are installed.
pub(super) const TPM_CMDLETS: &[Cmdlet] = &[Cmdlet {
    name: "Get-Tpm",
    class: "Microsoft.Tpm.Commands.GetTpmCommand",
    parameters: &[named("ComputerName")],
    action: Action::Whole(get_tpm),
}];

const VOLUME_STATUS: &[(&str, i64)] = &[
    ("FullyDecrypted", 0),
    ("FullyEncrypted", 1),
    ("EncryptionInProgress", 2),
    ("DecryptionInProgress", 3),
    ("EncryptionPaused", 4),
    ("DecryptionPaused", 5),
];
const PROTECTION: &[(&str, i64)] = &[("Off", 0), ("On", 1), ("Unknown", 2)];
const LOCK: &[(&str, i64)] = &[("Unlocked", 0), ("Locked", 1)];
const VOLUME_TYPE: &[(&str, i64)] = &[("OperatingSystem", 0), ("Data", 1)];
const PROTECTOR: &[(&str, i64)] = &[("Unknown", 0), ("Tpm", 1), ("ExternalKey", 2), ("RecoveryPassword", 3)];

fn member(type_name: &'static str, members: &'static [(&'static str, i64)], wanted: &str) -> Value {
    let (name, number) = members.iter().find(|(n, _)| same_name(n, wanted)).copied().unwrap_or(("", 0));
    Value::Enum(Rc::new(EnumValue { type_name, name, number, members }))
}

fn as_object(computer: &str, volume: &Volume) -> Value {
    let (status, protection) = match volume.condition {
        Condition::Decrypted => (Some("FullyDecrypted"), "Off"),
        Condition::Encrypted => (Some("FullyEncrypted"), "On"),
        Condition::Suspended | Condition::WaitingForActivation => (Some("FullyEncrypted"), "Off"),
        Condition::Encrypting => (Some("EncryptionInProgress"), "Off"),
        Condition::EncryptionPaused => (Some("EncryptionPaused"), "Off"),
        Condition::Decrypting => (Some("DecryptionInProgress"), "Off"),
        Condition::Locked => (None, "Unknown"),
    };
    let locked = volume.condition == Condition::Locked;
    let kind = match volume.volume_type {
        VolumeType::OperatingSystem => "OperatingSystem",
        VolumeType::Data => "Data",
    };
    Value::object(
        "Microsoft.BitLocker.Structures.BitLockerVolume",
        vec![
            ("ComputerName", Value::str(computer)),
            ("MountPoint", Value::str(&volume.mount_point)),
            (
                "VolumeStatus",
                status.map_or(Value::Null, |s| {
                    member("Microsoft.BitLocker.Structures.BitLockerVolumeStatus", VOLUME_STATUS, s)
                }),
            ),
            (
                "ProtectionStatus",
                member("Microsoft.BitLocker.Structures.BitLockerVolumeProtectionStatus", PROTECTION, protection),
            ),
            (
                "LockStatus",
                member(
                    "Microsoft.BitLocker.Structures.BitLockerVolumeLockStatus",
                    LOCK,
                    if locked { "Locked" } else { "Unlocked" },
                ),
            ),
            ("EncryptionPercentage", if locked { Value::Null } else { Value::Int(i64::from(volume.percentage)) }),
            ("VolumeType", member("Microsoft.BitLocker.Structures.BitLockerVolumeType", VOLUME_TYPE, kind)),
            ("KeyProtector", Value::array(volume.protectors.iter().map(protector).collect())),
        ],
    )
}

fn protector(protector: &Protector) -> Value {
    let kind =
        member("Microsoft.BitLocker.Structures.BitLockerVolumeKeyProtectorType", PROTECTOR, protector.kind.as_str());
    Value::object(
        "Microsoft.BitLocker.Structures.BitLockerVolumeKeyProtector",
        vec![
            ("KeyProtectorId", Value::str(&protector.id)),
            ("KeyProtectorType", kind),
            ("RecoveryPassword", Value::str(&protector.secret)),
        ],
    )
}

/// Reports a refusal in the words of BitLocker.
fn refuse(interp: &mut Interpreter, bound: &Bound, mount_point: &str, refusal: Refusal) -> Run<()> {
    let message = match refusal {
        Refusal::NoVolume => format!("{mount_point} does not have an associated BitLocker volume."),
        Refusal::NoProtector => {
            "The requested key protector was not found on the volume. (Exception from HRESULT: 0x80310033)".to_owned()
        }
        Refusal::NoTpm if interp.machine.read(|s| s.encryption.tpm_present) => {
            "You must initialize the Trusted Platform Module (TPM) before you can use BitLocker Drive Encryption. \
             (Exception from HRESULT: 0x80310018)"
                .to_owned()
        }
        Refusal::NoTpm => {
            "A compatible Trusted Platform Module (TPM) Security Device cannot be found on this computer. \
                           (Exception from HRESULT: 0x8028400F)"
                .to_owned()
        }
        Refusal::WrongCondition => format!("The operation cannot be performed on {mount_point} in its current state."),
        Refusal::Escrow(Escrow::RefusedByPolicy) => {
            "Group policy does not permit the storage of recovery information to Active Directory. The operation was \
             not attempted."
                .to_owned()
        }
        Refusal::Escrow(_) => "The specified domain either does not exist or could not be contacted. (Exception from \
                               HRESULT: 0x8007054B)"
            .to_owned(),
    };
    let exception = "System.Runtime.InteropServices.COMException";
    let record = ErrorRecord::new(exception, &format!("{exception},{}", bound.cmdlet.class), message)
        .category(Category::NotSpecified);
    interp.cmdlet_error(bound, record)
}

/// The one volume that a call names.
fn mount_point(interp: &Interpreter, bound: &Bound) -> Run<String> {
    match bound.texts(interp, "MountPoint").as_deref() {
        Some([one]) => Ok(one.clone()),
        Some(_) => Err(Signal::unsupported("Several mount points in one call", bound.pos)),
        None => Err(mandatory(interp, bound, "MountPoint")),
    }
}

fn mandatory(interp: &Interpreter, bound: &Bound, name: &str) -> Signal {
    let message = format!("Cannot process command because of one or more missing mandatory parameters: {name}.");
    interp.binding_error(bound, "MissingMandatoryParameter", message)
}

/// The cmdlets are functions of a module, and those that change something ask for confirmation when told to.
fn no_confirmation(bound: &Bound, input: Option<&Vec<Value>>) -> Run<()> {
    if bound.switch("Confirm") {
        return Err(Signal::unsupported("A question for confirmation", bound.pos));
    }
    if input.is_some() {
        return Err(Signal::unsupported(format!("{} with pipeline input", bound.cmdlet.name), bound.pos));
    }
    Ok(())
}

fn show(interp: &mut Interpreter, mount_point: &str, out: &mut dyn Sink) -> Run<()> {
    let found =
        interp.machine.read(|s| s.encryption.volume(mount_point).map(|volume| as_object(&s.computer.name, volume)));
    match found {
        Some(object) => out.push(interp, object),
        None => Ok(()),
    }
}

fn get_volume(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    no_confirmation(bound, input.as_ref())?;
    let wanted = match bound.texts(interp, "MountPoint") {
        Some(wanted) => wanted,
        None => interp.machine.read(|s| s.encryption.volumes.iter().map(|v| v.mount_point.clone()).collect()),
    };
    for mount_point in wanted {
        if interp.machine.read(|s| s.encryption.volume(&mount_point).is_none()) {
            refuse(interp, bound, &mount_point, Refusal::NoVolume)?;
        }
        show(interp, &mount_point, out)?;
    }
    Ok(())
}

fn add_protector(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    no_confirmation(bound, input.as_ref())?;
    let mount_point = mount_point(interp, bound)?;
    let kind = match (bound.switch("RecoveryPasswordProtector"), bound.switch("TpmProtector")) {
        (true, false) => ProtectorType::RecoveryPassword,
        (false, true) => ProtectorType::Tpm,
        _ => {
            let message = "Parameter set cannot be resolved using the specified named parameters.".to_owned();
            return Err(interp.binding_error(bound, "AmbiguousParameterSet", message));
        }
    };
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| match s.encryption.add_protector(&mount_point, kind) {
        Ok((change, secret)) => (vec![change], Ok(secret)),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    match result {
        Ok(secret) => {
            if kind == ProtectorType::RecoveryPassword {
                let text = format!(
                    "ACTIONS REQUIRED:\r\n\r\n1. Save this numerical recovery password in a secure location away from \
                     your computer:\r\n\r\n{secret}\r\n\r\nTo prevent data loss, save this password immediately. This \
                     password helps ensure that you can unlock the encrypted volume."
                );
                interp.cmdlet_warning(bound, &text)?;
            }
            show(interp, &mount_point, out)
        }
        Err(refusal) => refuse(interp, bound, &mount_point, refusal),
    }
}

fn remove_protector(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    no_confirmation(bound, input.as_ref())?;
    let mount_point = mount_point(interp, bound)?;
    let Some(id) = bound.get("KeyProtectorId").map(|id| interp.to_text(id)) else {
        return Err(mandatory(interp, bound, "KeyProtectorId"));
    };
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| match s.encryption.remove_protector(&mount_point, &id) {
        Ok(change) => (vec![change], Ok(())),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    finish(interp, bound, &mount_point, result, out)
}

fn backup_protector(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    no_confirmation(bound, input.as_ref())?;
    let mount_point = mount_point(interp, bound)?;
    let Some(id) = bound.get("KeyProtectorId").map(|id| interp.to_text(id)) else {
        return Err(mandatory(interp, bound, "KeyProtectorId"));
    };
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| match s.encryption.escrow(&mount_point, &id) {
        Ok(change) => (change.into_iter().collect(), Ok(())),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    finish(interp, bound, &mount_point, result, out)
}

fn enable(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    no_confirmation(bound, input.as_ref())?;
    let mount_point = mount_point(interp, bound)?;
    if !bound.switch("TpmProtector") || !bound.switch("SkipHardwareTest") {
        return Err(Signal::unsupported("Enable-BitLocker without -TpmProtector and -SkipHardwareTest", bound.pos));
    }
    let now = interp.machine.true_time();
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| match s.encryption.enable(&mount_point, now) {
        Ok(changes) => (changes, Ok(())),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    finish(interp, bound, &mount_point, result, out)
}

fn resume(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    no_confirmation(bound, input.as_ref())?;
    let mount_point = mount_point(interp, bound)?;
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| match s.encryption.resume(&mount_point) {
        Ok(change) => (change.into_iter().collect(), Ok(())),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    finish(interp, bound, &mount_point, result, out)
}

fn finish(
    interp: &mut Interpreter,
    bound: &Bound,
    mount_point: &str,
    result: Result<(), Refusal>,
    out: &mut dyn Sink,
) -> Run<()> {
    match result {
        Ok(()) => show(interp, mount_point, out),
        Err(refusal) => refuse(interp, bound, mount_point, refusal),
    }
}

fn get_tpm(interp: &mut Interpreter, _: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let (present, ready) = interp.machine.read(|s| (s.encryption.tpm_present, s.encryption.tpm_ready));
    let tpm = Value::object(
        "Microsoft.Tpm.Commands.TpmObject",
        vec![
            ("TpmPresent", Value::Bool(present)),
            ("TpmReady", Value::Bool(ready)),
            ("TpmEnabled", Value::Bool(ready)),
            ("TpmActivated", Value::Bool(ready)),
            ("TpmOwned", Value::Bool(ready)),
        ],
    );
    out.push(interp, tpm)
}
