//! `Get-ItemProperty` over the part of the registry that the simulated machine has: the firewall's rules.

use std::rc::Rc;

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{CUSTOM_OBJECT, Object, Value, same_name};
use super::{Action, Cmdlet, Parameter};

pub(super) const CMDLETS: &[Cmdlet] = &[Cmdlet {
    name: "Get-ItemProperty",
    class: "Microsoft.PowerShell.Commands.GetItemPropertyCommand",
    parameters: &[Parameter { name: "Path", aliases: &["LiteralPath"], switch: false, position: Some(0) }],
    action: Action::Whole(get_item_property),
}];

const FIREWALL_RULES: &str =
    "HKLM:\\SYSTEM\\CurrentControlSet\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\FirewallRules";

const DEFENDER_POLICY: &str = "HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows Defender\\Real-Time Protection";

fn get_item_property(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let paths = bound.texts(interp, "Path").unwrap_or_default();
    for path in paths {
        if !path.to_ascii_uppercase().starts_with("HKLM:\\") {
            return Err(Signal::unsupported(format!("The path '{path}'"), bound.pos));
        }
        if let Some(values) = interp.machine.read(|s| s.logging.registry_values(path.trim_end_matches('\\'))) {
            let properties = values.into_iter().map(|(name, number)| (name, Value::Int(number))).collect();
            out.push(interp, Value::object(CUSTOM_OBJECT, properties))?;
            continue;
        }
        if same_name(path.trim_end_matches('\\'), DEFENDER_POLICY)
            && let Some(values) = interp.machine.read(|s| s.antivirus.policy_registry_values())
        {
            let properties = values.into_iter().map(|(name, data)| (Rc::from(name), Value::Int(data))).collect();
            let object = Object { type_name: CUSTOM_OBJECT, properties };
            out.push(interp, Value::Object(Rc::new(std::cell::RefCell::new(object))))?;
            continue;
        }
        if !same_name(path.trim_end_matches('\\'), FIREWALL_RULES) {
            let record = ErrorRecord::new(
                "System.Management.Automation.ItemNotFoundException",
                &format!("PathNotFound,{}", bound.cmdlet.class),
                format!("Cannot find path '{path}' because it does not exist."),
            )
            .category(Category::ObjectNotFound)
            .target(path.clone(), "System.String");
            interp.cmdlet_error(bound, record)?;
            continue;
        }
        let mut properties: Vec<(Rc<str>, Value)> = interp
            .machine
            .read(|s| s.firewall.registry_values())
            .into_iter()
            .map(|(name, data)| (Rc::from(name), Value::str(&data)))
            .collect();
        // The provider adds properties of its own, which scripts that walk over all of them meet.
        let full = path.replacen("HKLM:", "Microsoft.PowerShell.Core\\Registry::HKEY_LOCAL_MACHINE", 1);
        properties.push((Rc::from("PSPath"), Value::str(&full)));
        properties.push((Rc::from("PSChildName"), Value::str("FirewallRules")));
        properties.push((Rc::from("PSDrive"), Value::str("HKLM")));
        properties.push((Rc::from("PSProvider"), Value::str("Microsoft.PowerShell.Core\\Registry")));
        let object = Object { type_name: CUSTOM_OBJECT, properties };
        out.push(interp, Value::Object(Rc::new(std::cell::RefCell::new(object))))?;
    }
    Ok(())
}
