//! What a download or an installation comes to: one result for all of it, and one for each update.

use std::rc::Rc;

use super::super::error::Run;
use super::super::interpreter::Interpreter;
use super::super::value::Value;
use super::ComObject;
use crate::windows::updates::HResult;

/// `OperationResultCode`, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded = 2,
    SucceededWithErrors = 3,
    Failed = 4,
}

/// `WU_E_ALL_UPDATES_FAILED`, and `WU_E_INVALIDINDEX`.
const ALL_FAILED: HResult = HResult(0x8024_0022_u32.cast_signed());
const BAD_INDEX: HResult = HResult(0x8024_0007_u32.cast_signed());

/// The result of one update.
#[derive(Debug, Clone, Copy)]
pub(super) struct CodeAndError {
    code: Outcome,
    error: HResult,
    reboot: bool,
}

impl CodeAndError {
    pub(super) fn of(result: Result<bool, HResult>) -> Self {
        match result {
            Ok(reboot) => Self { code: Outcome::Succeeded, error: HResult(0), reboot },
            Err(error) => Self { code: Outcome::Failed, error, reboot: false },
        }
    }

    fn property(self, name: &str) -> Option<Value> {
        match name {
            "resultcode" => Some(Value::Int(self.code as i64)),
            "hresult" => Some(Value::Int(i64::from(self.error.0))),
            "rebootrequired" => Some(Value::Bool(self.reboot)),
            _ => None,
        }
    }
}

/// The result of all of them.
pub(super) fn outcome(each: Vec<CodeAndError>) -> Value {
    let failed = each.iter().filter(|r| r.code == Outcome::Failed).count();
    let (code, error) = match failed {
        0 => (Outcome::Succeeded, HResult(0)),
        n if n == each.len() => (Outcome::Failed, ALL_FAILED),
        _ => (Outcome::SucceededWithErrors, HResult(0)),
    };
    let whole = CodeAndError { code, error, reboot: each.iter().any(|r| r.reboot) };
    Value::Com(Rc::new(Results { whole, each }))
}

#[derive(Debug)]
struct Results {
    whole: CodeAndError,
    each: Vec<CodeAndError>,
}

impl ComObject for Results {
    fn interface(&self) -> &'static str {
        "IInstallationResult"
    }

    fn get(&self, _: &mut Interpreter, name: &str) -> Run<Option<Value>> {
        Ok(self.whole.property(name))
    }

    fn call(&self, interp: &mut Interpreter, name: &str, args: &[Value]) -> Run<Option<Value>> {
        let ("getupdateresult", [index]) = (name, args) else {
            return Ok(None);
        };
        let index = interp.to_int(index)?;
        match usize::try_from(index).ok().and_then(|i| self.each.get(i)) {
            Some(result) => Ok(Some(Value::Com(Rc::new(OneResult(*result))))),
            None => Err(interp.com_error(BAD_INDEX)),
        }
    }
}

#[derive(Debug)]
struct OneResult(CodeAndError);

impl ComObject for OneResult {
    fn interface(&self) -> &'static str {
        "IUpdateInstallationResult"
    }

    fn get(&self, _: &mut Interpreter, name: &str) -> Run<Option<Value>> {
        Ok(self.0.property(name))
    }
}
