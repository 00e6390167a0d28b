//! `Get-ItemProperty` over the part of the registry that the simulated machine has.

use std::rc::Rc;

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{CUSTOM_OBJECT, Object, Value, same_name};
use super::{Action, Cmdlet, Parameter};
use crate::windows::registry::{self, Data};

pub(super) const CMDLETS: &[Cmdlet] = &[Cmdlet {
    name: "Get-ItemProperty",
    class: "Microsoft.PowerShell.Commands.GetItemPropertyCommand",
    parameters: &[Parameter { name: "Path", aliases: &["LiteralPath"], switch: false, position: Some(0) }],
    action: Action::Whole(get_item_property),
}];

const FIREWALL_RULES: &str =
    "SYSTEM\\CurrentControlSet\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\FirewallRules";

const DEFENDER_POLICY: &str = "SOFTWARE\\Policies\\Microsoft\\Windows Defender\\Real-Time Protection";

fn get_item_property(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let paths = bound.texts(interp, "Path").unwrap_or_default();
    for path in paths {
        if !path.to_ascii_uppercase().starts_with("HKLM:\\") {
            return Err(Signal::unsupported(format!("The path '{path}'"), bound.pos));
        }
        let Some(mut properties) = values(interp, path.get(6..).unwrap_or_default().trim_end_matches('\\')) else {
            let record = ErrorRecord::new(
                "System.Management.Automation.ItemNotFoundException",
                &format!("PathNotFound,{}", bound.cmdlet.class),
                format!("Cannot find path '{path}' because it does not exist."),
            )
            .category(Category::ObjectNotFound)
            .target(path.clone(), "System.String");
            interp.cmdlet_error(bound, record)?;
            continue;
        };
        // The provider adds properties of its own, which scripts that walk over all of them meet.
        let full = path.replacen("HKLM:", "Microsoft.PowerShell.Core\\Registry::HKEY_LOCAL_MACHINE", 1);
        properties.push((Rc::from("PSPath"), Value::str(&full)));
        let leaf = path.trim_end_matches('\\').rsplit('\\').next().unwrap_or_default();
        properties.push((Rc::from("PSChildName"), Value::str(leaf)));
        properties.push((Rc::from("PSDrive"), Value::str("HKLM")));
        properties.push((Rc::from("PSProvider"), Value::str("Microsoft.PowerShell.Core\\Registry")));
        let object = Object { type_name: CUSTOM_OBJECT, properties };
        out.push(interp, Value::Object(Rc::new(std::cell::RefCell::new(object))))?;
    }
    Ok(())
}

/// Whether `HKLM:\\` has this key.
pub(super) fn exists(interp: &Interpreter, key: &str) -> bool {
    values(interp, key).is_some()
}

/// The values of a key, by its path below `HKLM:\\`.
fn values(interp: &Interpreter, key: &str) -> Option<Vec<(Rc<str>, Value)>> {
    if same_name(key, FIREWALL_RULES) {
        let rules = interp.machine.read(|s| s.firewall.registry_values());
        return Some(rules.into_iter().map(|(name, data)| (Rc::from(name), Value::str(&data))).collect());
    }
    if same_name(key, DEFENDER_POLICY) {
        let policy = interp.machine.read(|s| s.antivirus.policy_registry_values())?;
        return Some(policy.into_iter().map(|(name, data)| (Rc::from(name), Value::Int(data))).collect());
    }
    if let Some(logging) = interp.machine.read(|s| s.logging.registry_values(&format!("HKLM:\\{key}"))) {
        return Some(logging.into_iter().map(|(name, number)| (Rc::from(name), Value::Int(number))).collect());
    }
    let values = interp.machine.read(|s| registry::key(s, key))?;
    let value = |data| match data {
        Data::Text(text) => Value::str(&text),
        Data::Number(n) => Value::Int(n),
        Data::Texts(list) => Value::array(list.iter().map(|t| Value::str(t)).collect()),
    };
    Some(values.into_iter().map(|(name, data)| (Rc::from(name), value(data))).collect())
}
