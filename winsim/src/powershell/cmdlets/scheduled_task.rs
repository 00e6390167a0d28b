//! The module ScheduledTasks (Windows Server 2012 and later): register, start, look at, stop and remove tasks of the root folder.
//!
//! Triggers are left out: a task here runs when a script starts it.

use std::rc::Rc;

use super::super::binding::Bound;
use super::super::error::{Category, ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::pipeline::Sink;
use super::super::value::{EnumValue, Value, same_name};
use super::{Action, Cmdlet, Parameter, named, positional, switch};
use crate::process;
use crate::windows::services::Status;
use crate::windows::tasks::{HAS_NOT_RUN, TERMINATED, Task};

const NAME: Parameter = positional("TaskName", 0);

pub(super) const CMDLETS: &[Cmdlet] = &[
    Cmdlet {
        name: "New-ScheduledTaskAction",
        class: "New-ScheduledTaskAction",
        parameters: &[positional("Execute", 0), named("Argument"), named("WorkingDirectory")],
        action: Action::Whole(new_action),
    },
    Cmdlet {
        name: "New-ScheduledTaskPrincipal",
        class: "New-ScheduledTaskPrincipal",
        parameters: &[positional("UserId", 0), named("LogonType"), named("RunLevel")],
        action: Action::Whole(new_principal),
    },
    Cmdlet {
        name: "New-ScheduledTaskSettingsSet",
        class: "New-ScheduledTaskSettingsSet",
        parameters: &[
            switch("AllowStartIfOnBatteries"),
            switch("DontStopIfGoingOnBatteries"),
            switch("Hidden"),
            named("ExecutionTimeLimit"),
            named("MultipleInstances"),
        ],
        action: Action::Whole(new_settings),
    },
    Cmdlet {
        name: "Register-ScheduledTask",
        class: "Register-ScheduledTask",
        parameters: &[
            NAME,
            named("TaskPath"),
            named("Action"),
            named("Principal"),
            named("Settings"),
            named("Description"),
            switch("Force"),
        ],
        action: Action::Whole(register),
    },
    Cmdlet {
        name: "Start-ScheduledTask",
        class: "Start-ScheduledTask",
        parameters: &[NAME, named("TaskPath")],
        action: Action::Whole(start),
    },
    Cmdlet {
        name: "Stop-ScheduledTask",
        class: "Stop-ScheduledTask",
        parameters: &[NAME, named("TaskPath")],
        action: Action::Whole(stop),
    },
    Cmdlet {
        name: "Get-ScheduledTask",
        class: "Get-ScheduledTask",
        parameters: &[NAME, named("TaskPath")],
        action: Action::Whole(get),
    },
    Cmdlet {
        name: "Get-ScheduledTaskInfo",
        class: "Get-ScheduledTaskInfo",
        parameters: &[NAME, named("TaskPath")],
        action: Action::Whole(get_info),
    },
    Cmdlet {
        name: "Unregister-ScheduledTask",
        class: "Unregister-ScheduledTask",
        parameters: &[NAME, named("TaskPath"), switch("Confirm")],
        action: Action::Whole(unregister),
    },
];

const STATES: &[(&str, i64)] = &[("Unknown", 0), ("Disabled", 1), ("Queued", 2), ("Ready", 3), ("Running", 4)];

/// The account under which tasks run here.
const SYSTEM: [&str; 3] = ["S-1-5-18", "SYSTEM", "NT AUTHORITY\\SYSTEM"];

fn text(interp: &Interpreter, bound: &Bound, name: &str) -> String {
    bound.get(name).map(|v| interp.to_text(v)).unwrap_or_default()
}

/// A property of an object that another cmdlet of this family made.
fn part(interp: &Interpreter, value: Option<&Value>, name: &str) -> Option<String> {
    match value {
        Some(Value::Object(object)) => object.borrow().get(name).map(|v| interp.to_text(v)),
        _ => None,
    }
}

fn new_action(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let (execute, arguments) = (text(interp, bound, "Execute"), text(interp, bound, "Argument"));
    out.push(
        interp,
        Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/Microsoft/Windows/TaskScheduler/MSFT_TaskExecAction",
            vec![("Execute", Value::str(&execute)), ("Arguments", Value::str(&arguments))],
        ),
    )
}

fn new_principal(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    let user = text(interp, bound, "UserId");
    let level = text(interp, bound, "RunLevel");
    out.push(
        interp,
        Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/Microsoft/Windows/TaskScheduler/MSFT_TaskPrincipal2",
            vec![("UserId", Value::str(&user)), ("RunLevel", Value::str(&level))],
        ),
    )
}

fn new_settings(interp: &mut Interpreter, _: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    out.push(
        interp,
        Value::object(
            "Microsoft.Management.Infrastructure.CimInstance#root/Microsoft/Windows/TaskScheduler/MSFT_TaskSettings3",
            Vec::new(),
        ),
    )
}

/// Without the Task Scheduler none of this works.
fn need_service(interp: &mut Interpreter, bound: &Bound) -> Run<bool> {
    let runs = interp.machine.read(|s| s.services.get("Schedule").is_some_and(|t| t.status == Status::Running));
    if runs {
        return Ok(true);
    }
    let record = cim(bound, "HRESULT 0x800706b5", "The Task Scheduler service is not running.", "");
    interp.cmdlet_error(bound, record)?;
    Ok(false)
}

fn cim(bound: &Bound, id: &str, message: &str, target: &str) -> ErrorRecord {
    ErrorRecord::new(
        "Microsoft.Management.Infrastructure.CimException",
        &format!("{id},{}", bound.cmdlet.class),
        message,
    )
    .category(Category::ObjectNotFound)
    .target(target, "System.String")
}

fn no_such_task(interp: &mut Interpreter, bound: &Bound, name: &str) -> Run<()> {
    // Get-ScheduledTask looks for instances, the others name one file of the scheduler.
    let record = if bound.cmdlet.name == "Get-ScheduledTask" {
        let message = format!(
            "No MSFT_ScheduledTask objects found with property 'TaskName' equal to '{name}'.  Verify the value of the \
             property and retry."
        );
        cim(bound, "CmdletizationQuery_NotFound_TaskName", &message, name)
    } else {
        cim(bound, "HRESULT 0x80070002", "The system cannot find the file specified.", name)
    };
    interp.cmdlet_error(bound, record)
}

fn check_folder(interp: &Interpreter, bound: &Bound) -> Run<()> {
    match bound.get("TaskPath").map(|v| interp.to_text(v)) {
        Some(path) if path != "\\" => Err(Signal::unsupported(format!("The task folder '{path}'"), bound.pos)),
        _ => Ok(()),
    }
}

/// The one task that a call names, unless there is none, which has been said then.
fn named_task(interp: &mut Interpreter, bound: &Bound) -> Run<Option<Task>> {
    check_folder(interp, bound)?;
    if !need_service(interp, bound)? {
        return Ok(None);
    }
    let name = text(interp, bound, "TaskName");
    let task = interp.machine.read(|s| s.tasks.get(&name).cloned());
    if task.is_none() {
        no_such_task(interp, bound, &name)?;
    }
    Ok(task)
}

fn as_object(task: &Task) -> Value {
    let (name, number) = if task.running { ("Running", 4) } else { ("Ready", 3) };
    let state = EnumValue {
        type_name: "Microsoft.PowerShell.Cmdletization.GeneratedTypes.ScheduledTask.StateEnum",
        name,
        number,
        members: STATES,
    };
    Value::object(
        "Microsoft.Management.Infrastructure.CimInstance#Root/Microsoft/Windows/TaskScheduler/MSFT_ScheduledTask",
        vec![
            ("TaskName", Value::str(&task.name)),
            ("TaskPath", Value::str("\\")),
            ("State", Value::Enum(Rc::new(state))),
        ],
    )
}

fn register(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    check_folder(interp, bound)?;
    if !need_service(interp, bound)? {
        return Ok(());
    }
    let name = text(interp, bound, "TaskName");
    let user = part(interp, bound.get("Principal"), "UserId").unwrap_or_default();
    if !SYSTEM.iter().any(|known| same_name(known, &user)) {
        return Err(Signal::unsupported(format!("A scheduled task that runs as '{user}'"), bound.pos));
    }
    let Some(execute) = part(interp, bound.get("Action"), "Execute") else {
        return Err(Signal::unsupported("A scheduled task without one action", bound.pos));
    };
    let arguments = part(interp, bound.get("Action"), "Arguments").unwrap_or_default();
    let task = Task { name: name.clone(), execute, arguments, user, running: false, last_result: HAS_NOT_RUN, run: 0 };
    let force = bound.switch("Force");
    let actor = interp.actor.clone();
    let (_, done) = interp.machine.edit(&actor, |s| match s.tasks.register(task.clone(), force) {
        Some(changes) => (changes, true),
        None => (Vec::new(), false),
    });
    if done {
        // A run of the task that was replaced ends with it.
        interp.machine.stop_task(&name);
        return out.push(interp, as_object(&task));
    }
    let record = cim(bound, "HRESULT 0x800700b7", "Cannot create a file when that file already exists.", &name);
    interp.cmdlet_error(bound, record)
}

fn start(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let Some(task) = named_task(interp, bound)? else {
        return Ok(());
    };
    let actor = interp.actor.clone();
    let (_, run) = interp.machine.edit(&actor, |s| {
        let (change, run) = s.tasks.begin(&task.name);
        (change.into_iter().collect(), run)
    });
    // One that runs already goes on: a second instance is ignored.
    let Some(run) = run else {
        return Ok(());
    };
    let started = process::task::start(&task, run, &interp.machine, actor.command_id.as_deref());
    started.map_err(|e| Signal::unsupported(format!("A task that cannot be started ({e})"), bound.pos))
}

fn stop(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    let Some(task) = named_task(interp, bound)? else {
        return Ok(());
    };
    let actor = interp.actor.clone();
    interp.machine.edit(&actor, |s| (s.tasks.end(&task.name, None, TERMINATED).into_iter().collect(), ()));
    interp.machine.stop_task(&task.name);
    Ok(())
}

fn get(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    match named_task(interp, bound)? {
        Some(task) => out.push(interp, as_object(&task)),
        None => Ok(()),
    }
}

fn get_info(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, out: &mut dyn Sink) -> Run<()> {
    match named_task(interp, bound)? {
        Some(task) => {
            let info = Value::object(
                "Microsoft.Management.Infrastructure.CimInstance#Root/Microsoft/Windows/TaskScheduler/MSFT_TaskDynamicInfo",
                vec![
                    ("TaskName", Value::str(&task.name)),
                    ("TaskPath", Value::str("\\")),
                    ("LastTaskResult", Value::Int(task.last_result)),
                ],
            );
            out.push(interp, info)
        }
        None => Ok(()),
    }
}

fn unregister(interp: &mut Interpreter, bound: &Bound, _: Option<Vec<Value>>, _: &mut dyn Sink) -> Run<()> {
    if bound.get("Confirm").is_none_or(Value::is_true) {
        let record = ErrorRecord::new(
            "System.Management.Automation.PSInvalidOperationException",
            "InvalidOperation",
            "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.",
        )
        .category(Category::InvalidOperation);
        return interp.cmdlet_error(bound, record);
    }
    let Some(task) = named_task(interp, bound)? else {
        return Ok(());
    };
    // What runs goes on running: only the registration goes.
    let actor = interp.actor.clone();
    interp.machine.edit(&actor, |s| (s.tasks.unregister(&task.name).into_iter().collect(), ()));
    Ok(())
}
