//! COM objects, as `New-Object -ComObject` makes them: typed objects with properties and methods over the machine's state.
//!
//! What an object lacks here stops the script loudly, as a method of .NET does that is not in the subset.

mod update_agent;
mod update_results;

use std::fmt::Debug;
use std::rc::Rc;

use super::ast::Pos;
use super::error::{Category, ErrorRecord, Run, Signal};
use super::interpreter::Interpreter;
use super::value::Value;
use crate::windows::computer::Language;
use crate::windows::updates::HResult;

/// `E_ACCESSDENIED`
const ACCESS_DENIED: HResult = HResult(0x8007_0005_u32.cast_signed());

/// What every COM object answers. Names come in lower case.
pub(crate) trait ComObject: Debug {
    /// Its interface, for messages.
    fn interface(&self) -> &'static str;
    /// A property; none if it has no such property here.
    fn get(&self, _: &mut Interpreter, _: &str) -> Run<Option<Value>> {
        Ok(None)
    }
    /// Sets a property; whether it has such a property.
    fn set(&self, _: &mut Interpreter, _: &str, _: &Value) -> Run<bool> {
        Ok(false)
    }
    /// Calls a method; none if it has no such method here.
    fn call(&self, _: &mut Interpreter, _: &str, _: &[Value]) -> Run<Option<Value>> {
        Ok(None)
    }
    /// The elements of a collection.
    fn items(&self) -> Option<Vec<Value>> {
        None
    }
    /// For telling two references to the same collection.
    fn as_updates(&self) -> Option<&update_agent::UpdateCollection> {
        None
    }
    /// The update, if it is one.
    fn update(&self) -> Option<&str> {
        None
    }
}

/// The object behind a programmatic identifier; none if no class is registered under it.
pub(crate) fn create(prog_id: &str) -> Option<Value> {
    let object: Rc<dyn ComObject> = match prog_id.to_ascii_lowercase().as_str() {
        "microsoft.update.session" => Rc::new(update_agent::Session),
        "microsoft.update.updatecoll" => Rc::new(update_agent::UpdateCollection::default()),
        _ => return None,
    };
    Some(Value::Com(object))
}

impl Interpreter {
    /// Whether the script runs for somebody who is logged on over the network, rather than as SYSTEM in a task.
    pub(super) fn is_remote(&self) -> bool {
        self.actor.task.is_none()
    }

    pub(super) fn com_get(&mut self, object: &Rc<dyn ComObject>, name: &str, pos: Pos) -> Run<Value> {
        self.charge(1)?;
        match object.get(self, &name.to_ascii_lowercase())? {
            Some(value) => Ok(value),
            None => Err(Signal::unsupported(format!("The property '{name}' of {}", object.interface()), pos)),
        }
    }

    pub(super) fn com_set(&mut self, object: &Rc<dyn ComObject>, name: &str, value: &Value, pos: Pos) -> Run<()> {
        if object.set(self, &name.to_ascii_lowercase(), value)? {
            return Ok(());
        }
        Err(Signal::unsupported(format!("Setting the property '{name}' of {}", object.interface()), pos))
    }

    pub(super) fn com_call(&mut self, object: &Rc<dyn ComObject>, name: &str, args: &[Value], pos: Pos) -> Run<Value> {
        match object.call(self, &name.to_ascii_lowercase(), args)? {
            Some(value) => Ok(value),
            None => Err(Signal::unsupported(
                format!("The method '{name}' of {} with {} arguments", object.interface(), args.len()),
                pos,
            )),
        }
    }

    /// A failed call, worded as the runtime words an `HRESULT`, in the language of Windows.
    fn com_error(&self, code: HResult) -> Signal {
        let german = self.machine.read(|s| s.computer.language) == Language::German;
        let (exception, message) = match (code == ACCESS_DENIED, german) {
            (true, false) => (
                "System.UnauthorizedAccessException",
                format!("Access is denied. (Exception from HRESULT: {code} (E_ACCESSDENIED))"),
            ),
            (true, true) => (
                "System.UnauthorizedAccessException",
                format!("Zugriff verweigert (Ausnahme von HRESULT: {code} (E_ACCESSDENIED))"),
            ),
            (false, false) => {
                ("System.Runtime.InteropServices.COMException", format!("Exception from HRESULT: {code}"))
            }
            (false, true) => ("System.Runtime.InteropServices.COMException", format!("Ausnahme von HRESULT: {code}")),
        };
        let mut record = ErrorRecord::new(exception, exception, message).category(Category::OperationStopped);
        record.hresult = code.0;
        Signal::error(record)
    }
}
