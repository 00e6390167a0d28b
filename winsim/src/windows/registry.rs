//! The registry as a view of the typed state: a few keys, each of which shows what a subsystem holds.

use super::State;
use super::updates::RebootMark;

/// The data of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// `REG_SZ`
    Text(String),
    /// `REG_DWORD`
    Number(i64),
    /// `REG_MULTI_SZ`
    Texts(Vec<String>),
}

const UPDATE_POLICY: &str = "SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate";
const REBOOT_PENDING: &str = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending";
const REBOOT_REQUIRED: &str =
    "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired";
const SESSION_MANAGER: &str = "SYSTEM\\CurrentControlSet\\Control\\Session Manager";

/// The values of a key below `HKLM:\`; none if the machine has no such key.
pub(crate) fn key(state: &State, path: &str) -> Option<Vec<(&'static str, Data)>> {
    let is = |name: &str| path.eq_ignore_ascii_case(name);
    let updates = &state.updates;
    let marked = |mark: RebootMark| updates.reboot_marks.contains(&mark);
    if is(UPDATE_POLICY) {
        let server = updates.wsus_server.clone()?;
        return Some(vec![("WUServer", Data::Text(server.clone())), ("WUStatusServer", Data::Text(server))]);
    }
    if is(&format!("{UPDATE_POLICY}\\AU")) {
        updates.wsus_server.as_ref()?;
        return Some(vec![("UseWUServer", Data::Number(1))]);
    }
    if is(REBOOT_PENDING) {
        return marked(RebootMark::ComponentServicing).then(Vec::new);
    }
    if is(REBOOT_REQUIRED) {
        return marked(RebootMark::WindowsUpdate).then(Vec::new);
    }
    if is(SESSION_MANAGER) {
        let mut values = vec![("ProtectionMode", Data::Number(1))];
        if marked(RebootMark::FileRenames) {
            let pairs = vec!["\\??\\C:\\Windows\\Temp\\old.dll".to_owned(), String::new()];
            values.push(("PendingFileRenameOperations", Data::Texts(pairs)));
        }
        return Some(values);
    }
    None
}
