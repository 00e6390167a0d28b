//! Windows Firewall: `Get-`/`Set-NetFirewallProfile`, `Get-NetFirewallRule`, `Get-NetFirewallPortFilter`.
//!
//! All of them ask the firewall service, so they fail while it does not run. Without `-PolicyStore` they look at the local
//! store, which is not what is in force when Group Policy speaks.

use std::rc::Rc;

use super::super::binding::Bound;
use super::super::convert::enum_member;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{EnumValue, Value, same_name};
use super::super::wildcard;
use super::{Action, Cmdlet, Parameter, named, switch};
use crate::windows::firewall::{Direction, GpoBoolean, ProfileName, Rule, Store};
use crate::windows::services::Status;

const GPO_BOOLEAN: &str = "Microsoft.PowerShell.Cmdletization.GeneratedTypes.NetSecurity.GpoBoolean";
const GPO_BOOLEANS: &[(&str, i64)] = &[("False", 0), ("True", 1), ("NotConfigured", 2)];
const RULE_ENABLED: &str = "Microsoft.PowerShell.Cmdletization.GeneratedTypes.NetSecurity.Enabled";
const RULE_ENABLEDS: &[(&str, i64)] = &[("True", 1), ("False", 2)];
const DIRECTION: &str = "Microsoft.PowerShell.Cmdletization.GeneratedTypes.NetSecurity.Direction";
const DIRECTIONS: &[(&str, i64)] = &[("Inbound", 1), ("Outbound", 2)];
const ACTION: &str = "Microsoft.PowerShell.Cmdletization.GeneratedTypes.NetSecurity.Action";
const ACTIONS: &[(&str, i64)] = &[("NotConfigured", 0), ("Allow", 2), ("Block", 4)];
const CIM_EXCEPTION: &str = "Microsoft.Management.Infrastructure.CimException";

const PROFILE: Parameter = Parameter { name: "Name", aliases: &["Profile"], switch: false, position: Some(0) };

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "Get-NetFirewallProfile",
        class: "Get-NetFirewallProfile",
        parameters: &[PROFILE, named("PolicyStore"), switch("All")],
        action: Action::Whole(get_profile),
    },
    Cmdlet {
        name: "Set-NetFirewallProfile",
        class: "Set-NetFirewallProfile",
        parameters: &[PROFILE, named("PolicyStore"), named("Enabled"), switch("All")],
        action: Action::Whole(set_profile),
    },
    Cmdlet {
        name: "Get-NetFirewallRule",
        class: "Get-NetFirewallRule",
        parameters: &[
            Parameter { name: "Name", aliases: &["ID", "InstanceID"], switch: false, position: Some(0) },
            named("DisplayName"),
            named("PolicyStore"),
            named("Enabled"),
            named("Direction"),
            named("Action"),
        ],
        action: Action::Whole(get_rule),
    },
    Cmdlet {
        name: "Get-NetFirewallPortFilter",
        class: "Get-NetFirewallPortFilter",
        parameters: &[named("PolicyStore"), named("Protocol")],
        action: Action::Whole(get_port_filter),
    },
];

fn member(type_name: &'static str, members: &'static [(&'static str, i64)], wanted: &str) -> Value {
    let (name, number) = members.iter().find(|(n, _)| same_name(n, wanted)).copied().unwrap_or(("", 0));
    Value::Enum(Rc::new(EnumValue { type_name, name, number, members }))
}

/// An error as CIM reports it.
fn cim_error(bound: &Bound, code: &str, message: String, category: Category) -> ErrorRecord {
    let mut record =
        ErrorRecord::new(CIM_EXCEPTION, &format!("{code},{}", bound.cmdlet.name), message).category(category);
    record.target = bound.cmdlet.name.to_owned();
    record
}

/// Whether the firewall service answers; if not, the error was reported.
fn service_answers(interp: &mut Interpreter, bound: &Bound) -> Run<bool> {
    let running = interp.machine.read(|s| s.services.get("MpsSvc").is_some_and(|s| s.status == Status::Running));
    if !running {
        let message = "There are no more endpoints available from the endpoint mapper. ".to_owned();
        let record = cim_error(bound, "Windows System Error 1753", message, Category::NotSpecified);
        interp.cmdlet_error(bound, record)?;
    }
    Ok(running)
}

fn store(interp: &Interpreter, bound: &Bound) -> Run<Store> {
    let Some(name) = bound.get("PolicyStore") else {
        return Ok(Store::Persistent);
    };
    let name = interp.to_text(name);
    match name.to_ascii_lowercase().as_str() {
        "persistentstore" | "localhost" => Ok(Store::Persistent),
        "activestore" => Ok(Store::Active),
        "rsop" => Ok(Store::Rsop),
        _ => Err(Signal::unsupported(format!("The policy store '{name}'"), bound.pos)),
    }
}

fn profiles(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>) -> Run<Vec<ProfileName>> {
    let names: Vec<String> = match (input, bound.texts(interp, "Name")) {
        (Some(objects), _) => {
            let mut names = Vec::new();
            for object in objects {
                let name = interp.member(&object, "Name", bound.pos)?;
                names.push(interp.to_text(&name));
            }
            names
        }
        (None, Some(names)) => names,
        (None, None) => return Ok(ProfileName::ALL.to_vec()),
    };
    let mut found = Vec::new();
    for name in names {
        if same_name(&name, "Any") {
            return Ok(ProfileName::ALL.to_vec());
        }
        match ProfileName::ALL.into_iter().find(|p| same_name(p.as_str(), &name)) {
            Some(profile) => found.push(profile),
            None => {
                let message = format!(
                    "No MSFT_NetFirewallProfile objects found with property 'Name' equal to '{name}'.  Verify the value of the property and retry."
                );
                let record = cim_error(bound, "CmdletizationQuery_NotFound_Name", message, Category::ObjectNotFound);
                interp.cmdlet_error(bound, record)?;
            }
        }
    }
    Ok(found)
}

fn get_profile(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let store = store(interp, bound)?;
    if !service_answers(interp, bound)? {
        return Ok(());
    }
    for profile in profiles(interp, bound, input)? {
        let enabled = interp.machine.read(|s| s.firewall.enabled(store, profile));
        let object = Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/standardcimv2/MSFT_NetFirewallProfile",
            vec![
                ("Name", Value::str(profile.as_str())),
                ("Profile", Value::str(profile.as_str())),
                ("Enabled", member(GPO_BOOLEAN, GPO_BOOLEANS, enabled.as_str())),
            ],
        );
        out.push(interp, object)?;
    }
    Ok(())
}

fn set_profile(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    if store(interp, bound)? != Store::Persistent {
        let message = "The specified store is read-only or cannot be changed by this operation. ".to_owned();
        let record = cim_error(bound, "Windows System Error 5", message, Category::InvalidOperation);
        return interp.cmdlet_error(bound, record);
    }
    let enabled = match bound.get("Enabled") {
        None => None,
        Some(value) => match enum_member(value, GPO_BOOLEANS, GPO_BOOLEAN) {
            Some(Value::Enum(e)) => Some(match e.number {
                0 => GpoBoolean::False,
                1 => GpoBoolean::True,
                _ => GpoBoolean::NotConfigured,
            }),
            _ => {
                let text = interp.to_text(value);
                return Err(interp.binding_error(
                    bound,
                    "CannotConvertArgumentNoMessage",
                    format!(
                        "Cannot bind parameter 'Enabled'. Cannot convert value \"{text}\" to type \"{GPO_BOOLEAN}\". \
                         Error: \"Unable to match the identifier name {text} to a valid enumerator name. Specify one of \
                         the following enumerator names and try again: False, True, NotConfigured\""
                    ),
                ));
            }
        },
    };
    let every = bound.switch("All");
    if input.is_none() && bound.get("Name").is_none() && !every {
        return Err(interp.binding_error(
            bound,
            "MissingMandatoryParameter",
            "Cannot process command because of one or more missing mandatory parameters: Name.".to_owned(),
        ));
    }
    if !service_answers(interp, bound)? {
        return Ok(());
    }
    let Some(enabled) = enabled else {
        return Ok(());
    };
    let wanted = profiles(interp, bound, input)?;
    let actor = interp.actor.clone();
    interp.machine.edit(&actor, |s| {
        let changes = wanted.iter().filter_map(|p| s.firewall.set_local(*p, enabled)).collect();
        (changes, ())
    });
    Ok(())
}

/// The rules of a store; in this simulation all rules are local, and in force.
fn rules(interp: &Interpreter, store: Store) -> Vec<Rule> {
    match store {
        Store::Rsop => Vec::new(),
        Store::Persistent | Store::Active => interp.machine.read(|s| s.firewall.rules.clone()),
    }
}

fn get_rule(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let store = store(interp, bound)?;
    if !service_answers(interp, bound)? {
        return Ok(());
    }
    let mut found = rules(interp, store);
    if let Some(objects) = input {
        // A port filter carries the identity of its rule.
        let mut ids = Vec::new();
        for object in objects {
            let id = interp.member(&object, "InstanceID", bound.pos)?;
            ids.push(interp.to_text(&id));
        }
        found.retain(|r| ids.iter().any(|id| same_name(id, &r.instance_id)));
    }
    if let Some(names) = bound.texts(interp, "Name") {
        found.retain(|r| names.iter().any(|n| wildcard::matches(n, &r.instance_id, false)));
    }
    if let Some(names) = bound.texts(interp, "DisplayName") {
        found.retain(|r| names.iter().any(|n| wildcard::matches(n, &r.display_name, false)));
    }
    for (name, type_name, members) in
        [("Enabled", RULE_ENABLED, RULE_ENABLEDS), ("Direction", DIRECTION, DIRECTIONS), ("Action", ACTION, ACTIONS)]
    {
        let Some(value) = bound.get(name) else {
            continue;
        };
        let wanted = enum_member(value, members, type_name);
        let Some(Value::Enum(wanted)) = wanted else {
            let text = interp.to_text(value);
            let message =
                format!("Cannot bind parameter '{name}'. Cannot convert value \"{text}\" to type \"{type_name}\".");
            return Err(interp.binding_error(bound, "CannotConvertArgumentNoMessage", message));
        };
        found.retain(|r| property(r, name) == wanted.name);
    }
    if found.is_empty()
        && ["Name", "DisplayName", "Enabled", "Direction", "Action"].iter().any(|n| bound.get(n).is_some())
    {
        let message = "No MSFT_NetFirewallRule objects found with the given properties.  Verify the values of the \
                       properties and retry."
            .to_owned();
        let record = cim_error(bound, "CmdletizationQuery_NotFound", message, Category::ObjectNotFound);
        return interp.cmdlet_error(bound, record);
    }
    for rule in found {
        let object = Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/standardcimv2/MSFT_NetFirewallRule",
            vec![
                ("Name", Value::str(&rule.instance_id)),
                ("InstanceID", Value::str(&rule.instance_id)),
                ("DisplayName", Value::str(&rule.display_name)),
                ("Enabled", member(RULE_ENABLED, RULE_ENABLEDS, property(&rule, "Enabled"))),
                ("Direction", member(DIRECTION, DIRECTIONS, property(&rule, "Direction"))),
                ("Action", member(ACTION, ACTIONS, property(&rule, "Action"))),
            ],
        );
        out.push(interp, object)?;
    }
    Ok(())
}

fn property(rule: &Rule, name: &str) -> &'static str {
    match name {
        "Enabled" if rule.enabled => "True",
        "Enabled" => "False",
        "Direction" if rule.direction == Direction::Inbound => "Inbound",
        "Direction" => "Outbound",
        _ if rule.allow => "Allow",
        _ => "Block",
    }
}

fn get_port_filter(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let store = store(interp, bound)?;
    if input.is_some() {
        return Err(Signal::unsupported("Get-NetFirewallPortFilter with pipeline input", bound.pos));
    }
    if !service_answers(interp, bound)? {
        return Ok(());
    }
    let protocols = bound.texts(interp, "Protocol");
    let mut found = rules(interp, store);
    if let Some(protocols) = &protocols {
        found.retain(|r| protocols.iter().any(|p| same_name(p, &r.protocol)));
    }
    if found.is_empty() && protocols.is_some() {
        let message =
            "No MSFT_NetProtocolPortFilter objects found with property 'Protocol' equal to the given value.  \
                       Verify the value of the property and retry."
                .to_owned();
        let record = cim_error(bound, "CmdletizationQuery_NotFound_Protocol", message, Category::ObjectNotFound);
        return interp.cmdlet_error(bound, record);
    }
    for rule in found {
        let ports: Vec<Value> = rule.local_ports.iter().map(|p| Value::str(p)).collect();
        let object = Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/standardcimv2/MSFT_NetProtocolPortFilter",
            vec![
                ("InstanceID", Value::str(&rule.instance_id)),
                ("Protocol", Value::str(&rule.protocol)),
                // One port shows as text, several as a list.
                ("LocalPort", Value::from_output(ports)),
                ("RemotePort", Value::str("Any")),
            ],
        );
        out.push(interp, object)?;
    }
    Ok(())
}
