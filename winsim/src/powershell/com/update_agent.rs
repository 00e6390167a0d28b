//! The Windows Update Agent: session, searcher, downloader, installer, updates and their collections.
//!
//! Callers who are logged on over the network may search, except where Windows refuses even that, and may never
//! download or install.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::super::ast::Pos;
use super::super::error::{ErrorRecord, Run, Signal};
use super::super::interpreter::Interpreter;
use super::super::value::Value;
use super::update_results::{CodeAndError, Outcome, outcome};
use super::{ACCESS_DENIED, ComObject};
use crate::windows::services::StartType;
use crate::windows::updates::{HResult, Stage, Update};

/// `ERROR_SERVICE_DISABLED`, `WU_E_EULAS_DECLINED`, `WU_E_NO_UPDATE`.
const SERVICE_DISABLED: HResult = HResult(0x8007_0422_u32.cast_signed());
const EULA_DECLINED: HResult = HResult(0x8024_0023_u32.cast_signed());
const NO_UPDATE: HResult = HResult(0x8024_0024_u32.cast_signed());

/// `Microsoft.Update.Session`
#[derive(Debug)]
pub(super) struct Session;

impl ComObject for Session {
    fn interface(&self) -> &'static str {
        "IUpdateSession"
    }

    fn set(&self, _: &mut Interpreter, name: &str, _: &Value) -> Run<bool> {
        Ok(name == "clientapplicationid")
    }

    fn call(&self, interp: &mut Interpreter, name: &str, args: &[Value]) -> Run<Option<Value>> {
        if !args.is_empty() {
            return Ok(None);
        }
        let object: Rc<dyn ComObject> = match name {
            "createupdatesearcher" => {
                if interp.is_remote() && interp.machine.read(|s| s.updates.searcher_local_only) {
                    return Err(interp.com_error(ACCESS_DENIED));
                }
                Rc::new(Searcher)
            }
            "createupdatedownloader" | "createupdateinstaller" if interp.is_remote() => {
                return Err(interp.com_error(ACCESS_DENIED));
            }
            "createupdatedownloader" => Rc::new(Worker { installs: false, updates: RefCell::default() }),
            "createupdateinstaller" => Rc::new(Worker { installs: true, updates: RefCell::default() }),
            _ => return Ok(None),
        };
        Ok(Some(Value::Com(object)))
    }
}

#[derive(Debug)]
struct Searcher;

impl ComObject for Searcher {
    fn interface(&self) -> &'static str {
        "IUpdateSearcher"
    }

    fn set(&self, _: &mut Interpreter, name: &str, value: &Value) -> Run<bool> {
        // Searching what is cached, or another service, would be another search.
        Ok(name == "online" && value.is_true())
    }

    fn call(&self, interp: &mut Interpreter, name: &str, args: &[Value]) -> Run<Option<Value>> {
        let ("search", [criteria]) = (name, args) else {
            return Ok(None);
        };
        let criteria = interp.to_text(criteria);
        check_criteria(&criteria)?;
        let disabled =
            interp.machine.read(|s| s.services.get("wuauserv").is_none_or(|w| w.start_type == StartType::Disabled));
        let (error, incomplete, offered) =
            interp.machine.read(|s| (s.updates.search_error, s.updates.search_incomplete, s.updates.offered()));
        if let Some(error) = disabled.then_some(SERVICE_DISABLED).or(error) {
            return Err(interp.com_error(error));
        }
        interp.charge(offered.len())?;
        // A search that was cut short lists nothing of what it missed.
        let found = if incomplete { Vec::new() } else { offered };
        let list = found.iter().map(|u| Value::Com(Rc::new(UpdateObject { kb: u.kb.clone() }))).collect();
        let code = if incomplete { Outcome::SucceededWithErrors } else { Outcome::Succeeded };
        Ok(Some(Value::object(
            "System.__ComObject",
            vec![
                ("ResultCode", Value::Int(code as i64)),
                ("Updates", Value::Com(Rc::new(UpdateCollection(RefCell::new(list))))),
            ],
        )))
    }
}

/// Takes the one question that the machine can answer: software that is missing and not hidden.
fn check_criteria(criteria: &str) -> Run<()> {
    let mut missing = false;
    for term in criteria.to_ascii_lowercase().split(" and ") {
        match term.split_whitespace().collect::<String>().as_str() {
            "isinstalled=0" => missing = true,
            "type='software'" | "ishidden=0" => {}
            _ => return Err(Signal::unsupported(format!("The search criterion '{}'", term.trim()), Pos::default())),
        }
    }
    if missing {
        return Ok(());
    }
    Err(Signal::unsupported("A search for updates that are installed", Pos::default()))
}

/// `Microsoft.Update.UpdateColl`, and what a search found.
#[derive(Debug, Default)]
pub(crate) struct UpdateCollection(RefCell<Vec<Value>>);

impl ComObject for UpdateCollection {
    fn interface(&self) -> &'static str {
        "IUpdateCollection"
    }

    fn get(&self, _: &mut Interpreter, name: &str) -> Run<Option<Value>> {
        let count = i64::try_from(self.0.borrow().len()).unwrap_or(i64::MAX);
        Ok((name == "count").then_some(Value::Int(count)))
    }

    fn call(&self, interp: &mut Interpreter, name: &str, args: &[Value]) -> Run<Option<Value>> {
        match (name, args) {
            ("add", [Value::Com(object)]) if object.update().is_some() => {
                interp.charge(8)?;
                let mut list = self.0.borrow_mut();
                list.push(Value::Com(Rc::clone(object)));
                Ok(Some(Value::Int(i64::try_from(list.len() - 1).unwrap_or(i64::MAX))))
            }
            ("clear", []) => {
                self.0.borrow_mut().clear();
                Ok(Some(Value::Void))
            }
            ("item", [index]) => {
                let index = interp.to_int(index)?;
                let found = usize::try_from(index).ok().and_then(|i| self.0.borrow().get(i).cloned());
                found.map(Some).ok_or_else(|| interp.com_error(HResult(0x8024_0007_u32.cast_signed())))
            }
            _ => Ok(None),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.0.borrow().clone())
    }

    fn as_updates(&self) -> Option<&UpdateCollection> {
        Some(self)
    }
}

/// One update: it shows the machine's state of the moment.
#[derive(Debug)]
struct UpdateObject {
    kb: String,
}

impl UpdateObject {
    fn state(&self, interp: &Interpreter) -> Run<Update> {
        interp.machine.read(|s| s.updates.get(&self.kb).cloned()).ok_or_else(|| interp.com_error(NO_UPDATE))
    }
}

impl ComObject for UpdateObject {
    fn interface(&self) -> &'static str {
        "IUpdate"
    }

    fn get(&self, interp: &mut Interpreter, name: &str) -> Run<Option<Value>> {
        let update = self.state(interp)?;
        Ok(Some(match name {
            "title" => Value::str(&update.title),
            // The agent shows the number without its letters, in a list.
            "kbarticleids" => Value::array(vec![Value::str(update.kb.trim_start_matches(['K', 'B', 'k', 'b']))]),
            "msrcseverity" => update.severity.map_or(Value::Null, |s| Value::str(s.as_str())),
            "browseonly" => Value::Bool(update.optional),
            "eulaaccepted" => Value::Bool(update.eula_accepted),
            "isinstalled" => Value::Bool(update.stage == Stage::Installed),
            "isdownloaded" => Value::Bool(update.stage != Stage::Missing),
            "ishidden" => Value::Bool(false),
            "rebootrequired" => Value::Bool(update.stage == Stage::Staged),
            "installationbehavior" => Value::object(
                "System.__ComObject",
                vec![
                    ("CanRequestUserInput", Value::Bool(update.asks_user)),
                    ("RebootBehavior", Value::Int(if update.needs_reboot { 1 } else { 0 })),
                ],
            ),
            _ => return Ok(None),
        }))
    }

    fn call(&self, interp: &mut Interpreter, name: &str, args: &[Value]) -> Run<Option<Value>> {
        if name != "accepteula" || !args.is_empty() {
            return Ok(None);
        }
        let actor = interp.actor.clone();
        interp.machine.edit(&actor, |s| (s.updates.accept_eula(&self.kb).into_iter().collect(), ()));
        Ok(Some(Value::Void))
    }

    fn update(&self) -> Option<&str> {
        Some(&self.kb)
    }
}

/// The downloader and the installer, which only take a collection and go through it.
#[derive(Debug)]
struct Worker {
    installs: bool,
    updates: RefCell<Option<Value>>,
}

impl Worker {
    fn wanted(&self) -> Vec<String> {
        let updates = self.updates.borrow().as_ref().map(Value::enumerate).unwrap_or_default();
        let kb = |v: &Value| match v {
            Value::Com(object) => object.update().map(str::to_owned),
            _ => None,
        };
        updates.iter().filter_map(kb).collect()
    }

    /// Downloads or installs one update; whether that left a reboot due.
    fn one(&self, interp: &mut Interpreter, kb: &str) -> Run<Result<bool, HResult>> {
        let Some(update) = interp.machine.read(|s| s.updates.get(kb).cloned()) else {
            return Ok(Err(NO_UPDATE));
        };
        interp.charge(10)?;
        let actor = interp.actor.clone();
        if self.installs {
            interp.host.sleep(Duration::from_secs(u64::from(update.install_seconds)));
            // A stop that came meanwhile ends the script before anything is installed.
            interp.charge(1)?;
            let (_, result) = interp.machine.edit(&actor, |s| s.updates.install(kb));
            return Ok(result);
        }
        if !update.eula_accepted {
            return Ok(Err(EULA_DECLINED));
        }
        if let Some(error) = update.download_error {
            return Ok(Err(error));
        }
        if update.stage == Stage::Missing {
            interp.machine.edit(&actor, |s| (s.updates.set_stage(kb, Stage::Downloaded).into_iter().collect(), ()));
        }
        Ok(Ok(false))
    }

    fn run(&self, interp: &mut Interpreter) -> Run<Value> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Err(interp.com_error(NO_UPDATE));
        }
        let mut results = Vec::with_capacity(wanted.len());
        for kb in wanted {
            let result = self.one(interp, &kb)?;
            results.push(CodeAndError::of(result));
        }
        Ok(outcome(results))
    }
}

impl ComObject for Worker {
    fn interface(&self) -> &'static str {
        if self.installs { "IUpdateInstaller" } else { "IUpdateDownloader" }
    }

    fn get(&self, interp: &mut Interpreter, name: &str) -> Run<Option<Value>> {
        Ok(match name {
            "updates" => Some(self.updates.borrow().clone().unwrap_or(Value::Null)),
            "isbusy" if self.installs => Some(Value::Bool(false)),
            "rebootrequiredbeforeinstallation" if self.installs => {
                Some(Value::Bool(interp.machine.read(|s| s.updates.reboot_due())))
            }
            _ => None,
        })
    }

    fn set(&self, _: &mut Interpreter, name: &str, value: &Value) -> Run<bool> {
        match (name, value) {
            ("updates", Value::Com(object)) if object.as_updates().is_some() => {
                *self.updates.borrow_mut() = Some(value.clone());
                Ok(true)
            }
            ("updates", other) => Err(Signal::error(ErrorRecord::new(
                "System.Management.Automation.SetValueInvocationException",
                "ExceptionWhenSetting",
                format!("Exception setting \"Updates\": \"Cannot convert the value of type [{}].\"", other.type_name()),
            ))),
            ("forcequiet", _) => Ok(self.installs),
            _ => Ok(false),
        }
    }

    fn call(&self, interp: &mut Interpreter, name: &str, args: &[Value]) -> Run<Option<Value>> {
        match (name, self.installs) {
            ("download", false) | ("install", true) if args.is_empty() => self.run(interp).map(Some),
            _ => Ok(None),
        }
    }
}
