//! The warning stream: what cmdlets say beside their output, unless a script silences it.

use super::ast::{Pos, Variable};
use super::binding::Bound;
use super::error::{ErrorRecord, Run, Signal};
use super::interpreter::{ErrorAction, Interpreter};
use super::value::Value;

impl Interpreter {
    /// A warning of a cmdlet, by `-WarningAction` or `$WarningPreference`.
    pub(crate) fn cmdlet_warning(&mut self, bound: &Bound, text: &str) -> Run<()> {
        let action = match bound.warning_action {
            Some(action) => action,
            None => {
                let variable = Variable { scope: None, name: "WarningPreference".to_owned() };
                match self.get_variable(&variable, Pos::default())? {
                    Value::Str(text) => ErrorAction::parse(&text).unwrap_or(ErrorAction::Continue),
                    _ => ErrorAction::Continue,
                }
            }
        };
        match action {
            ErrorAction::SilentlyContinue => Ok(()),
            ErrorAction::Continue if self.warnings_silenced > 0 => Ok(()),
            ErrorAction::Continue => {
                self.charge_size(text.len())?;
                self.host.write_warning(text);
                Ok(())
            }
            ErrorAction::Stop => Err(Signal::error(ErrorRecord::runtime(
                "ActionPreferenceStop",
                format!(
                    "The running command stopped because the preference variable \"WarningPreference\" or common \
                     parameter is set to Stop: {text}"
                ),
            ))),
        }
    }
}
