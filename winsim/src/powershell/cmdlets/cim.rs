//! `Get-CimInstance` for the classes that describe the computer.

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::Value;
use super::{Action, Cmdlet, Parameter, named};

pub(super) const CMDLETS: &[Cmdlet] = &[Cmdlet {
    name: "Get-CimInstance",
    class: "Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand",
    parameters: &[Parameter { name: "ClassName", aliases: &[], switch: false, position: Some(0) }, named("Namespace")],
    action: Action::Whole(get_cim_instance),
}];

fn get_cim_instance(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let class = bound.get("ClassName").map(|v| interp.to_text(v)).unwrap_or_default();
    if let Some(namespace) = bound.get("Namespace").map(|v| interp.to_text(v))
        && !super::super::value::same_name(&namespace.replace('\\', "/"), "root/cimv2")
    {
        return super::cim_namespaces::get(interp, bound, &namespace, &class, out);
    }
    if super::super::value::same_name(&class, "Win32_LogicalDisk") {
        return super::cim_namespaces::logical_disks(interp, out);
    }
    let computer = interp.machine.read(|s| s.computer.clone());
    let object = match class.to_ascii_lowercase().as_str() {
        "win32_computersystem" => Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/cimv2/Win32_ComputerSystem",
            vec![
                ("Name", Value::str(&computer.name)),
                ("Domain", Value::str(&computer.domain)),
                ("DomainRole", Value::Int(computer.domain_role as i64)),
                ("PartOfDomain", Value::Bool(true)),
            ],
        ),
        "win32_operatingsystem" => Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/cimv2/Win32_OperatingSystem",
            vec![
                ("Caption", Value::str(&computer.os_caption)),
                ("Version", Value::str(&computer.os_version)),
                ("CSName", Value::str(&computer.name)),
            ],
        ),
        _ => {
            let record = ErrorRecord::new(
                "Microsoft.Management.Infrastructure.CimException",
                &format!("HRESULT 0x80041010,{}", bound.cmdlet.class),
                "Invalid class ",
            )
            .category(Category::NotSpecified)
            .target(format!("root\\cimv2:{class}"), "System.String");
            return interp.cmdlet_error(bound, record);
        }
    };
    out.push(interp, object)
}
