//! Services: `Get-`, `Start-`, `Stop-`, `Restart-` and `Set-Service`, with the messages of Windows PowerShell 5.1.

use std::rc::Rc;

use super::super::binding::Bound;
use super::super::convert::enum_member;
use super::super::error::{Category, ErrorRecord, Run};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{EnumValue, Value};
use super::super::wildcard;
use super::{Action, Cmdlet, Parameter, named, switch};
use crate::windows::services::{Refusal, Service, StartType, Status};

const EXCEPTION: &str = "Microsoft.PowerShell.Commands.ServiceCommandException";

/// `-Name`, which most of these take first, and which takes services from the pipeline.
const NAME: Parameter =
    Parameter { name: "Name", aliases: &["ServiceName", "InputObject"], switch: false, position: Some(0) };

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "Get-Service",
        class: "Microsoft.PowerShell.Commands.GetServiceCommand",
        parameters: &[NAME],
        action: Action::Whole(get_service),
    },
    Cmdlet {
        name: "Start-Service",
        class: "Microsoft.PowerShell.Commands.StartServiceCommand",
        parameters: &[NAME, switch("PassThru")],
        action: Action::Whole(start_service),
    },
    Cmdlet {
        name: "Stop-Service",
        class: "Microsoft.PowerShell.Commands.StopServiceCommand",
        parameters: &[NAME, switch("Force"), switch("PassThru")],
        action: Action::Whole(stop_service),
    },
    Cmdlet {
        name: "Restart-Service",
        class: "Microsoft.PowerShell.Commands.RestartServiceCommand",
        parameters: &[NAME, switch("Force"), switch("PassThru")],
        action: Action::Whole(restart_service),
    },
    Cmdlet {
        name: "Set-Service",
        class: "Microsoft.PowerShell.Commands.SetServiceCommand",
        parameters: &[NAME, named("StartupType"), named("Status")],
        action: Action::Whole(set_service),
    },
];

const STATUSES: &[(&str, i64)] = &[
    ("Stopped", 1),
    ("StartPending", 2),
    ("StopPending", 3),
    ("Running", 4),
    ("ContinuePending", 5),
    ("PausePending", 6),
    ("Paused", 7),
];

const START_TYPES: &[(&str, i64)] = &[("Boot", 0), ("System", 1), ("Automatic", 2), ("Manual", 3), ("Disabled", 4)];

fn as_object(service: &Service) -> Value {
    let status = Value::Enum(Rc::new(EnumValue {
        type_name: "System.ServiceProcess.ServiceControllerStatus",
        name: service.status.as_str(),
        number: service.status as i64,
        members: STATUSES,
    }));
    let start_type = Value::Enum(Rc::new(EnumValue {
        type_name: "System.ServiceProcess.ServiceStartMode",
        name: service.start_type.as_str(),
        number: service.start_type as i64,
        members: START_TYPES,
    }));
    Value::object(
        "System.ServiceProcess.ServiceController",
        vec![
            ("Name", Value::str(&service.name)),
            ("ServiceName", Value::str(&service.name)),
            ("DisplayName", Value::str(&service.display_name)),
            ("Status", status),
            ("StartType", start_type),
            ("CanStop", Value::Bool(service.accepts_stop && service.status == Status::Running)),
        ],
    )
}

/// The names that a call asks for, from its input or its parameter.
fn wanted(interp: &Interpreter, bound: &Bound, input: Option<Vec<Value>>) -> Option<Vec<String>> {
    let name_of = |value: &Value| match value {
        Value::Object(object) => match object.borrow().get("Name") {
            Some(name) => interp.to_text(name),
            None => String::new(),
        },
        other => interp.to_text(other),
    };
    match (input, bound.get("Name")) {
        (Some(values), _) => Some(values.iter().map(name_of).collect()),
        (None, Some(value)) => Some(value.enumerate().iter().map(name_of).collect()),
        (None, None) => None,
    }
}

/// The services that the names stand for; a plain name that none has is an error, a pattern that fits none is not.
fn resolve(interp: &mut Interpreter, bound: &Bound, names: &[String]) -> Run<Vec<Service>> {
    let all = interp.machine.read(|s| s.services.all().to_vec());
    let mut found = Vec::new();
    for name in names {
        let pattern = wildcard::is_pattern(name);
        let before = found.len();
        found.extend(all.iter().filter(|s| wildcard::matches(name, &s.name, false)).cloned());
        if found.len() == before && !pattern {
            let record = ErrorRecord::new(
                EXCEPTION,
                &format!("NoServiceFoundForGivenName,{}", bound.cmdlet.class),
                format!("Cannot find any service with service name '{name}'."),
            )
            .category(Category::ObjectNotFound)
            .target(name.clone(), "System.String");
            interp.cmdlet_error(bound, record)?;
        }
    }
    Ok(found)
}

fn mandatory(interp: &Interpreter, bound: &Bound, names: Option<Vec<String>>) -> Run<Vec<String>> {
    names.ok_or_else(|| {
        interp.binding_error(
            bound,
            "MissingMandatoryParameter",
            "Cannot process command because of one or more missing mandatory parameters: Name.".to_owned(),
        )
    })
}

fn get_service(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let names = wanted(interp, bound, input).unwrap_or_else(|| vec!["*".to_owned()]);
    for service in resolve(interp, bound, &names)? {
        out.push(interp, as_object(&service))?;
    }
    Ok(())
}

fn start_service(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let names = wanted(interp, bound, input);
    let names = mandatory(interp, bound, names)?;
    for service in resolve(interp, bound, &names)? {
        start(interp, bound, &service)?;
        pass_through(interp, bound, &service.name, out)?;
    }
    Ok(())
}

fn start(interp: &mut Interpreter, bound: &Bound, service: &Service) -> Run<()> {
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| s.services.start(&service.name));
    match result {
        Ok(()) => Ok(()),
        Err(_) => {
            let (name, display) = (&service.name, &service.display_name);
            let record = ErrorRecord::new(
                EXCEPTION,
                &format!("CouldNotStartService,{}", bound.cmdlet.class),
                format!(
                    "Service '{display} ({name})' cannot be started due to the following error: Cannot start service \
                     {name} on computer '.'."
                ),
            )
            .category(Category::OpenError)
            .target("System.ServiceProcess.ServiceController", "System.ServiceProcess.ServiceController");
            interp.cmdlet_error(bound, record)
        }
    }
}

/// Whether the service is stopped now; a failure was reported.
fn stop(interp: &mut Interpreter, bound: &Bound, service: &Service) -> Run<bool> {
    let force = bound.switch("Force");
    let actor = interp.actor.clone();
    let (_, result) = interp.machine.edit(&actor, |s| s.services.stop(&service.name, force));
    let (name, display) = (&service.name, &service.display_name);
    let (id, message, category) = match result {
        Ok(()) => return Ok(true),
        Err(Refusal::HasDependents) => (
            "ServiceHasDependentServices",
            format!(
                "Cannot stop service '{display} ({name})' because it has dependent services. It can only be stopped if \
                 the Force flag is set."
            ),
            Category::InvalidOperation,
        ),
        Err(_) => (
            "CouldNotStopService",
            format!(
                "Service '{display} ({name})' cannot be stopped due to the following error: Cannot stop {name} service \
                 on computer '.'."
            ),
            Category::CloseError,
        ),
    };
    let record = ErrorRecord::new(EXCEPTION, &format!("{id},{}", bound.cmdlet.class), message)
        .category(category)
        .target("System.ServiceProcess.ServiceController", "System.ServiceProcess.ServiceController");
    interp.cmdlet_error(bound, record)?;
    Ok(false)
}

fn stop_service(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let names = wanted(interp, bound, input);
    let names = mandatory(interp, bound, names)?;
    for service in resolve(interp, bound, &names)? {
        stop(interp, bound, &service)?;
        pass_through(interp, bound, &service.name, out)?;
    }
    Ok(())
}

fn restart_service(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let names = wanted(interp, bound, input);
    let names = mandatory(interp, bound, names)?;
    for service in resolve(interp, bound, &names)? {
        if stop(interp, bound, &service)? {
            start(interp, bound, &service)?;
        }
        pass_through(interp, bound, &service.name, out)?;
    }
    Ok(())
}

fn pass_through(interp: &mut Interpreter, bound: &Bound, name: &str, out: &mut dyn Sink) -> Run<()> {
    if !bound.switch("PassThru") {
        return Ok(());
    }
    match interp.machine.read(|s| s.services.get(name).cloned()) {
        Some(service) => out.push(interp, as_object(&service)),
        None => Ok(()),
    }
}

fn set_service(interp: &mut Interpreter, bound: &Bound, input: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let names = wanted(interp, bound, input);
    let names = mandatory(interp, bound, names)?;
    let start_type = match bound.get("StartupType") {
        None => None,
        Some(value) => Some(startup_type(interp, bound, value)?),
    };
    let status = bound.get("Status").map(|value| interp.to_text(value).to_ascii_lowercase());
    for service in resolve(interp, bound, &names)? {
        if let Some(to) = start_type {
            let actor = interp.actor.clone();
            interp.machine.edit(&actor, |s| {
                let change = s.services.set_start_type(&service.name, to);
                (change.ok().flatten().into_iter().collect(), ())
            });
        }
        match status.as_deref() {
            None => {}
            Some("running") => start(interp, bound, &service)?,
            Some("stopped") => {
                stop(interp, bound, &service)?;
            }
            Some(other) => {
                let message = format!(
                    "Cannot validate argument on parameter 'Status'. The argument \"{other}\" does not belong to the set \"Running,Stopped,Paused\"."
                );
                return Err(interp.binding_error(bound, "ParameterArgumentValidationError", message));
            }
        }
    }
    Ok(())
}

fn startup_type(interp: &Interpreter, bound: &Bound, value: &Value) -> Run<StartType> {
    let member = enum_member(value, START_TYPES, "System.ServiceProcess.ServiceStartMode");
    match member {
        Some(Value::Enum(e)) if e.number == 2 => Ok(StartType::Automatic),
        Some(Value::Enum(e)) if e.number == 3 => Ok(StartType::Manual),
        Some(Value::Enum(e)) if e.number == 4 => Ok(StartType::Disabled),
        _ => {
            let text = interp.to_text(value);
            Err(interp.binding_error(
                bound,
                "CannotConvertArgumentNoMessage",
                format!(
                    "Cannot bind parameter 'StartupType'. Cannot convert value \"{text}\" to type \
                     \"System.ServiceProcess.ServiceStartMode\"."
                ),
            ))
        }
    }
}
