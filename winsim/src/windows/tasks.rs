//! The Task Scheduler: tasks that scripts register, whether each runs, and how its last run ended.
//!
//! The state is here; running a task's program is the affair of `process::task`, which comes back to say that it ended.

use serde::Serialize;

use super::ledger::{Change, Subsystem};

/// `LastTaskResult` of a task that has not run yet, and of one that was stopped (`SCHED_S_TASK_HAS_NOT_RUN`, `_TERMINATED`).
pub(crate) const HAS_NOT_RUN: i64 = 267_011;
pub(crate) const RUNNING: i64 = 267_009;
pub(crate) const TERMINATED: i64 = 267_014;

/// One registered task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Its name, without the folder, which is always the root.
    pub name: String,
    /// The program.
    pub execute: String,
    /// Its arguments.
    pub arguments: String,
    /// The account that it runs as, by name or SID.
    pub user: String,
    /// Whether it runs now.
    pub running: bool,
    /// How its last run ended.
    pub last_result: i64,
    /// Which of its runs this is, so that the end of an earlier one is not taken for that of a later.
    #[serde(skip)]
    pub(crate) run: u64,
}

/// All tasks that scripts have registered.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Tasks {
    list: Vec<Task>,
    /// How many runs there were.
    #[serde(skip)]
    runs: u64,
}

/// Most tasks at a time.
const MOST_TASKS: usize = 100;

impl Tasks {
    /// In the order of their registration.
    #[must_use]
    pub fn all(&self) -> &[Task] {
        &self.list
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Task> {
        self.list.iter().find(|t| t.name.eq_ignore_ascii_case(name))
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Task> {
        self.list.iter_mut().find(|t| t.name.eq_ignore_ascii_case(name))
    }

    /// Registers a task; `replace` takes the place of one of that name. None: there is one, or there are too many.
    pub(crate) fn register(&mut self, task: Task, replace: bool) -> Option<Vec<Change>> {
        let mut changes = Vec::new();
        if self.get(&task.name).is_some() {
            if !replace {
                return None;
            }
            changes.extend(self.unregister(&task.name));
        }
        if self.list.len() >= MOST_TASKS {
            return None;
        }
        changes.push(change(&task.name, "registered", "false", "true"));
        self.list.push(task);
        Some(changes)
    }

    pub(crate) fn unregister(&mut self, name: &str) -> Option<Change> {
        let at = self.list.iter().position(|t| t.name.eq_ignore_ascii_case(name))?;
        let task = self.list.remove(at);
        Some(change(&task.name, "registered", "true", "false"))
    }

    /// A run begins, unless one goes on: its number.
    pub(crate) fn begin(&mut self, name: &str) -> (Option<Change>, Option<u64>) {
        let number = self.runs + 1;
        let Some(task) = self.get_mut(name) else {
            return (None, None);
        };
        if task.running {
            return (None, None);
        }
        task.running = true;
        task.last_result = RUNNING;
        task.run = number;
        let change = change(&task.name, "running", "false", "true");
        self.runs = number;
        (Some(change), Some(number))
    }

    /// The machine goes down, and what ran with it.
    pub(crate) fn end_all(&mut self) -> Vec<Change> {
        let names: Vec<String> = self.list.iter().map(|t| t.name.clone()).collect();
        names.iter().filter_map(|name| self.end(name, None, TERMINATED)).collect()
    }

    /// A run has ended. One that was stopped before, or whose task is gone, changes nothing any more.
    pub(crate) fn end(&mut self, name: &str, run: Option<u64>, result: i64) -> Option<Change> {
        let task = self.get_mut(name)?;
        if !task.running || run.is_some_and(|r| r != task.run) {
            return None;
        }
        task.running = false;
        task.last_result = result;
        Some(change(&task.name, "running", "true", "false"))
    }
}

fn change(object: &str, property: &'static str, from: &str, to: &str) -> Change {
    Change {
        subsystem: Subsystem::Tasks,
        object: object.to_owned(),
        property,
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

/// How the tasks that run are stopped, by name. The windows do not know what a run is; who starts one says how it stops.
#[derive(Default)]
pub(super) struct Stops(std::collections::HashMap<String, Box<dyn Fn() + Send>>);

impl std::fmt::Debug for Stops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Stops {
    pub(super) fn keep(&mut self, name: &str, stop: impl Fn() + Send + 'static) {
        self.0.insert(name.to_lowercase(), Box::new(stop));
    }

    pub(super) fn stop(&mut self, name: &str) {
        if let Some(stop) = self.0.remove(&name.to_lowercase()) {
            stop();
        }
    }

    pub(super) fn stop_all(&mut self) {
        for (_, stop) in self.0.drain() {
            stop();
        }
    }
}
