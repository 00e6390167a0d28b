//! `dcdiag.exe /q`: the tests of a domain controller, of which only those that fail are printed, in the language of Windows.

use super::{Call, Ran, not_supported};
use crate::windows::State;
use crate::windows::computer::Language;
use crate::windows::directory::{Replication, TESTS};
use crate::windows::services::Status;

/// The services that the test of that name looks at, as far as the simulated machines have them.
const SERVICES: [&str; 4] = ["DNS", "Kdc", "Netlogon", "W32Time"];

pub(super) fn run(call: &Call<'_>) -> Ran {
    let (mut quiet, mut skip, mut only) = (false, Vec::new(), Vec::new());
    for argument in call.args {
        let lower = argument.to_ascii_lowercase();
        match lower.split_once(':') {
            None if lower == "/q" => quiet = true,
            Some(("/skip", test)) => skip.push(test.to_owned()),
            Some(("/test", test)) => only.push(test.to_owned()),
            _ => return not_supported("dcdiag", argument),
        }
    }
    if !quiet {
        return not_supported("dcdiag", "(without /q)");
    }
    call.machine.read(|state| {
        let mut lines = Vec::new();
        for test in TESTS {
            let named = |list: &[String]| list.iter().any(|t| t.eq_ignore_ascii_case(test));
            // Connectivity cannot be skipped: without it no other test runs.
            let chosen = test == "Connectivity" || (!named(&skip) && (only.is_empty() || named(&only)));
            if !chosen {
                continue;
            }
            if let Some(details) = failure(state, test) {
                lines.extend(details.into_iter().map(|line| format!("         {line}")));
                lines.extend(verdict(state, test));
                if test == "Connectivity" {
                    break;
                }
            }
        }
        Ran::said(lines)
    })
}

fn is_running(state: &State, service: &str) -> bool {
    state.services.get(service).is_some_and(|s| s.status == Status::Running)
}

/// Why a test fails; none when it passes. The words before a verdict are English here whatever the language.
fn failure(state: &State, test: &str) -> Option<Vec<String>> {
    let name = &state.computer.name;
    let directory = state.directory.as_ref()?;
    let found: Vec<String> = match test {
        "Connectivity" if !is_running(state, "NTDS") => {
            vec![
                format!("[{name}] LDAP connection failed with error 58,"),
                "The specified server cannot perform the".into(),
            ]
        }
        "Advertising" if !is_running(state, "Netlogon") || !is_running(state, "Kdc") => {
            vec![format!("Warning: {name} is not advertising as a Key Distribution Center.")]
        }
        "NetLogons" if !is_running(state, "Netlogon") => {
            vec![format!("[{name}] An net use or LsaPolicy operation failed with error 67,")]
        }
        "Services" => SERVICES
            .into_iter()
            .filter(|s| !is_running(state, s))
            .map(|s| format!("   {s} Service is stopped on [{name}]"))
            .collect(),
        "Replications" => directory
            .partners
            .iter()
            .filter(|p| p.replication != Replication::Ok)
            .map(|p| format!("[Replications Check,{name}] A recent replication attempt from {} failed.", p.name))
            .collect(),
        _ => Vec::new(),
    };
    let own = directory.failing_tests.iter().any(|t| t == test);
    if own && found.is_empty() {
        return Some(vec![format!("[{name}] The test found an error.")]);
    }
    (!found.is_empty()).then_some(found)
}

fn verdict(state: &State, test: &str) -> Vec<String> {
    let name = &state.computer.name;
    match state.computer.language {
        Language::English => vec![format!("         ......................... {name} failed test {test}")],
        // Long lines are broken, also before the name of the test.
        Language::German => vec![
            format!("         ......................... {name} hat den Test"),
            format!("         {test} nicht bestanden."),
        ],
    }
}
