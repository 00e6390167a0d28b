//! `Get-CimInstance` for what protects the machine: disks, and the Security Center, which servers do not have.

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{Value, same_name};
use crate::windows::services::Status;

/// The instances of a class in a namespace.
pub(super) fn get(
    interp: &mut Interpreter,
    bound: &Bound,
    namespace: &str,
    class: &str,
    out: &mut dyn Sink,
) -> Run<()> {
    if !same_name(&namespace.replace('\\', "/"), "root/SecurityCenter2") {
        return Err(Signal::unsupported(format!("The CIM namespace '{namespace}'"), bound.pos));
    }
    let (defender, runs) = interp.machine.read(|s| {
        let runs = s.services.get("WinDefend").is_some_and(|s| s.status == Status::Running);
        (s.antivirus.clone(), runs)
    });
    if !defender.security_center || !same_name(class, "AntiVirusProduct") {
        let (code, message) = if defender.security_center {
            ("0x80041010", "Invalid class ")
        } else {
            ("0x8004100e", "Invalid namespace ")
        };
        let record = ErrorRecord::new(
            "Microsoft.Management.Infrastructure.CimException",
            &format!("HRESULT {code},{}", bound.cmdlet.class),
            message,
        )
        .category(Category::NotSpecified)
        .target(format!("{namespace}:{class}"), "System.String");
        return interp.cmdlet_error(bound, record);
    }
    if defender.installed {
        out.push(interp, product("Windows Defender", runs && defender.real_time_in_force()))?;
    }
    if let Some(other) = &defender.other_product {
        out.push(interp, product(&other.name, other.on))?;
    }
    Ok(())
}

/// A product as the Security Center lists it. Of the three bytes of its state, the middle one says whether it is on
/// (`0x10`) or off (`0x00`, or `0x01` when it expired).
fn product(name: &str, on: bool) -> Value {
    Value::object(
        "Microsoft.Management.Infrastructure.CimInstance#root/securitycenter2/AntiVirusProduct",
        vec![("displayName", Value::str(name)), ("productState", Value::Int(if on { 0x06_10_00 } else { 0x06_00_00 }))],
    )
}

/// `Win32_LogicalDisk`: every volume that has a letter. `DriveType` is 3 for a fixed disk and 2 for one to pull out.
pub(super) fn logical_disks(interp: &mut Interpreter, out: &mut dyn Sink) -> Run<()> {
    for volume in interp.machine.read(|s| s.encryption.volumes.clone()) {
        let disk = Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/cimv2/Win32_LogicalDisk",
            vec![
                ("DeviceID", Value::str(&volume.mount_point)),
                ("DriveType", Value::Int(if volume.removable { 2 } else { 3 })),
            ],
        );
        out.push(interp, disk)?;
    }
    Ok(())
}
