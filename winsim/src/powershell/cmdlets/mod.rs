//! The cmdlets, one file a family, and the table by which they are found.

mod bitlocker;
mod cim;
mod cim_namespaces;
mod csv;
mod defender;
mod file_system;
mod json;
mod net_firewall;
mod new_object;
mod objects;
mod output;
mod registry;
mod scheduled_task;
mod server_backup;
mod service;
mod timespan;

use super::binding::Bound;
use super::error::Run;
use super::interpreter::Interpreter;
use super::pipeline::Sink;
use super::value::{Value, same_name};
use crate::windows::State;

/// A cmdlet: its names, its parameters and what it does.
#[derive(Debug)]
pub(crate) struct Cmdlet {
    pub(crate) name: &'static str,
    /// The .NET class, which is part of error identifiers.
    pub(crate) class: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) action: Action,
}

/// One parameter.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) switch: bool,
    pub(crate) position: Option<u8>,
}

/// What a cmdlet does: once with all its input (none when it stands first in its pipeline), or for each value of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Whole(Body<Option<Vec<Value>>>),
    Each(Body<Value>),
}

/// The function behind a cmdlet, for this kind of input.
type Body<Input> = fn(&mut Interpreter, &Bound, Input, &mut dyn Sink) -> Run<()>;

/// A parameter that takes a value, by name only.
const fn named(name: &'static str) -> Parameter {
    Parameter { name, aliases: &[], switch: false, position: None }
}

/// A parameter that takes a value, by name or position.
const fn positional(name: &'static str, position: u8) -> Parameter {
    Parameter { name, aliases: &[], switch: false, position: Some(position) }
}

const fn switch(name: &'static str) -> Parameter {
    Parameter { name, aliases: &[], switch: true, position: None }
}

const FAMILIES: [&[Cmdlet]; 16] = [
    file_system::CMDLETS,
    bitlocker::CMDLETS,
    bitlocker::TPM_CMDLETS,
    cim::CMDLETS,
    defender::CMDLETS,
    csv::CMDLETS,
    json::CMDLETS,
    net_firewall::CMDLETS,
    new_object::CMDLETS,
    objects::CMDLETS,
    output::CMDLETS,
    registry::CMDLETS,
    scheduled_task::CMDLETS,
    server_backup::CMDLETS,
    service::CMDLETS,
    timespan::CMDLETS,
];

/// Whether the feature that a cmdlet comes with is on the machine.
pub(crate) fn is_installed(cmdlet: &Cmdlet, state: &State) -> bool {
    let comes_with = |family: &[Cmdlet]| family.iter().any(|c| c.name == cmdlet.name);
    if comes_with(bitlocker::CMDLETS) {
        state.encryption.installed
    } else if comes_with(defender::CMDLETS) {
        state.antivirus.installed
    } else if comes_with(server_backup::CMDLETS) {
        state.backup.installed
    } else {
        true
    }
}

/// Whether a cmdlet is a function of a module, as those are that a CIM class stands behind, and BitLocker's.
pub(crate) fn is_function_of_a_module(cmdlet: &Cmdlet) -> bool {
    let functions = [bitlocker::CMDLETS, defender::CMDLETS, net_firewall::CMDLETS];
    functions.into_iter().flatten().any(|c| c.name == cmdlet.name)
}

/// The cmdlet of this name.
pub(crate) fn find(name: &str) -> Option<&'static Cmdlet> {
    FAMILIES.into_iter().flatten().find(|c| same_name(c.name, name))
}
