//! A scheduled task's program, run as SYSTEM on a thread of its own; the scheduler is told when it ends.

use std::collections::HashMap;
use std::sync::Arc;

use super::{CommandIo, Start, powershell_exe};
use crate::windows::Machine;
use crate::windows::ledger::Actor;
use crate::windows::tasks::Task;

/// `ERROR_FILE_NOT_FOUND` as the scheduler reports it.
const NO_SUCH_PROGRAM: i64 = 2_147_942_402;

/// The longest command line that a process can be given, in characters.
const LONGEST_LINE: usize = 32_767;

/// Starts a run of a task. What it changes is recorded as made by the task, on behalf of the command that started it.
///
/// # Errors
/// The thread could not be made.
pub(crate) fn start(task: &Task, run: u64, machine: &Arc<Machine>, command_id: Option<&str>) -> std::io::Result<()> {
    let io = Arc::new(CommandIo::default());
    // A task has no console: its input has ended before it began.
    let _ = io.feed(&[], true);
    let stop = Arc::clone(&io);
    machine.on_stop_task(&task.name, move || stop.cancel());
    let start = Start {
        line: String::new(),
        environment: HashMap::new(),
        user: "SYSTEM".to_owned(),
        machine: Arc::clone(machine),
        actor: Actor::task(command_id, &task.name),
    };
    let task = task.clone();
    let thread = std::thread::Builder::new().name("task".to_owned()).stack_size(crate::powershell::STACK_BYTES);
    thread.spawn(move || {
        // Also when the interpreter has a fault of its own, the scheduler must see an end.
        let mut ended = EndOnDrop { start: &start, name: &task.name, run, result: 1 };
        ended.result = run_program(&task, &start, &io);
    })?;
    Ok(())
}

fn run_program(task: &Task, start: &Start, io: &Arc<CommandIo>) -> i64 {
    let program = task.execute.trim_matches('"');
    let length = program.chars().count() + task.arguments.chars().count() + 1;
    if !super::cmd::is_powershell(program) || length > LONGEST_LINE {
        return NO_SUCH_PROGRAM;
    }
    // The scheduler shows an exit code as the unsigned number that it is.
    i64::from(powershell_exe::run(&task.arguments, start, io).cast_unsigned())
}

struct EndOnDrop<'a> {
    start: &'a Start,
    name: &'a str,
    run: u64,
    result: i64,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let Self { start, name, run, result } = self;
        start.machine.edit(&start.actor, |s| (s.tasks.end(name, Some(*run), *result).into_iter().collect(), ()));
    }
}
