//! `New-Object -ComObject`. Objects of .NET made this way are not in the subset.

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::Value;
use super::{Action, Cmdlet, named, positional, switch};

pub(super) const CMDLETS: &[Cmdlet] = &[Cmdlet {
    name: "New-Object",
    class: "Microsoft.PowerShell.Commands.NewObjectCommand",
    parameters: &[positional("TypeName", 0), named("ComObject"), switch("Strict")],
    action: Action::Whole(new_object),
}];

fn new_object(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let Some(prog_id) = bound.get("ComObject").map(|v| interp.to_text(v)) else {
        return Err(Signal::unsupported("New-Object without -ComObject", bound.pos));
    };
    match super::super::com::create(&prog_id) {
        Some(object) => out.push(interp, object),
        None => {
            let message = "Retrieving the COM class factory for component with CLSID {00000000-0000-0000-0000-000000000000} failed \
                 due to the following error: 80040154 Class not registered (Exception from HRESULT: 0x80040154 \
                 (REGDB_E_CLASSNOTREG)).";
            let record = ErrorRecord::new(
                "System.Runtime.InteropServices.COMException",
                &format!("NoCOMClassIdentified,{}", bound.cmdlet.class),
                message,
            )
            .category(Category::NotSpecified);
            interp.cmdlet_error(bound, record)
        }
    }
}
