//! `repadmin.exe`: shows how replication fares (`/showrepl /csv`) and replicates now (`/syncall`).

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Call, Ran, not_supported};
use crate::windows::State;
use crate::windows::directory::{Directory, Replication};
use crate::windows::services::Status;

const SITE: &str = "Default-First-Site-Name";
const COLUMNS: &str = "showrepl_COLUMNS,Destination DSA Site,Destination DSA,Naming Context,Source DSA Site,Source DSA,\
                       Transport Type,Number of Failures,Last Failure Time,Last Success Time,Last Failure Status";

/// `RPC_S_SERVER_UNAVAILABLE`.
const RPC_SERVER_UNAVAILABLE: i32 = 1722;

pub(super) fn run(call: &Call<'_>) -> Ran {
    let lower: Vec<String> = call.args.iter().map(|a| a.to_ascii_lowercase()).collect();
    let mut rest = lower.get(1..).unwrap_or_default().iter().map(String::as_str);
    // A server may be named; only this one can be asked.
    let own = call.machine.read(|s| s.computer.name.to_ascii_lowercase());
    let local = |argument: &str| argument == "localhost" || argument == own;
    match lower.first().map(String::as_str) {
        Some("/showrepl") => match rest.find(|a| *a != "/csv" && !local(a)) {
            None if lower.iter().any(|a| a == "/csv") => {
                let now = call.machine.clock_time();
                call.machine.read(|state| show(state, now))
            }
            other => not_supported("repadmin /showrepl", other.unwrap_or("(without /csv)")),
        },
        Some("/syncall") => match rest.find(|a| !["/a", "/d", "/e", "/p", "/q"].contains(a) && !local(a)) {
            None => synchronise(call),
            Some(other) => not_supported("repadmin /syncall", other),
        },
        other => not_supported("repadmin", other.unwrap_or("(none)")),
    }
}

fn is_running(state: &State) -> bool {
    state.services.get("NTDS").is_some_and(|s| s.status == Status::Running)
}

fn no_directory() -> Ran {
    Ran::failed(
        1,
        [
            "Repadmin can't connect to a \"home server\", because of the following error.  Try specifying a different",
            "home server with /homeserver:[dns name]",
            "Error: An LDAP lookup operation failed with the following error:",
            "",
            "    LDAP Error 81(0x51): Server Down",
            "    Server Win32 Error 0(0x0): ",
            "    Extended Information: ",
        ],
    )
}

fn show(state: &State, now: Timestamp) -> Ran {
    let Some(directory) = state.directory.as_ref().filter(|_| is_running(state)) else {
        return no_directory();
    };
    let name = &state.computer.name;
    let mut lines = vec![COLUMNS.to_owned()];
    if directory.replication_query_fails {
        lines.push(format!(
            "showrepl_ERROR,{SITE},{name},\"DsReplicaGetInfo() failed with status 8453 (0x2105): Replication access was \
             denied.\""
        ));
        return Ran::failed(0, lines);
    }
    let ago = |minutes: i64| {
        let then = now.checked_sub(SignedDuration::from_mins(minutes)).unwrap_or(now);
        then.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    for context in Directory::contexts(&state.computer.domain) {
        for partner in &directory.partners {
            let (failures, failed, succeeded, status) = match partner.replication {
                Replication::Ok => (0, "0".to_owned(), ago(14), 0),
                Replication::Failing => (4, ago(9), ago(64), 8_451),
                Replication::Offline => (27, ago(9), ago(26 * 60), RPC_SERVER_UNAVAILABLE),
            };
            lines.push(format!(
                "showrepl_INFO,{SITE},{name},\"{context}\",{SITE},{},RPC,{failures},{failed},{succeeded},{status}",
                partner.name
            ));
        }
    }
    Ran::said(lines)
}

fn synchronise(call: &Call<'_>) -> Ran {
    if !call.machine.read(is_running) {
        return no_directory();
    }
    let (_, unreachable) = call.machine.edit(call.actor, |state| match state.directory.as_mut() {
        Some(directory) => directory.synchronise(),
        None => (Vec::new(), Vec::new()),
    });
    let mut lines = vec!["CALLBACK MESSAGE: SyncAll Finished.".to_owned()];
    if unreachable.is_empty() {
        lines.push("SyncAll terminated with no errors.".to_owned());
        return Ran::said(lines);
    }
    lines.push("SyncAll reported the following errors:".to_owned());
    for partner in unreachable {
        lines.push(format!("Error contacting server {partner} (network error): 1722 (0x6ba):"));
        lines.push("    The RPC server is unavailable.".to_owned());
    }
    Ran::failed(RPC_SERVER_UNAVAILABLE, lines)
}
