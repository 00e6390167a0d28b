//! `wevtutil.exe`: shows (`gl`) and changes (`sl`) the configuration of the Security log. The words of its configuration are
//! the same in every language; its errors are not.

use super::{Call, Ran};
use crate::windows::State;
use crate::windows::computer::Language;
use crate::windows::services::Status;

const RPC_SERVER_UNAVAILABLE: i32 = 1722;
const CHANNEL_NOT_FOUND: i32 = 15_007;
const INVALID: i32 = 87;

/// The smallest size of a log, and the step in which sizes are kept: 64 KiB.
const STEP: u64 = 65_536;
const SMALLEST: u64 = 1_028 * 1_024;

pub(super) fn run(call: &Call<'_>) -> Ran {
    let verb = call.args.first().map(|a| a.to_ascii_lowercase()).unwrap_or_default();
    let Some(log) = call.args.get(1).filter(|_| matches!(verb.as_str(), "gl" | "get-log" | "sl" | "set-log")) else {
        return Ran::complained(INVALID, [format!("Invalid command or option '{verb}'. Run 'wevtutil /?' for help.")]);
    };
    let reading = verb.starts_with('g');
    let (language, running) = call.machine.read(|s| (s.computer.language, is_running(s)));
    let what = match (reading, language) {
        (true, Language::English) => format!("Failed to read configuration for log {log}."),
        (false, Language::English) => format!("Failed to save configuration or activate log {log}."),
        (true, Language::German) => format!("Fehler beim Lesen der Konfiguration für das Protokoll \"{log}\"."),
        (false, Language::German) => {
            format!("Fehler beim Speichern der Konfiguration oder Aktivieren des Protokolls \"{log}\".")
        }
    };
    if !running {
        let why = match language {
            Language::English => "The RPC server is unavailable.",
            Language::German => "Der RPC-Server ist nicht verfügbar.",
        };
        return Ran::complained(RPC_SERVER_UNAVAILABLE, [what, why.to_owned()]);
    }
    if !log.eq_ignore_ascii_case("Security") {
        let why = match language {
            Language::English => "The specified channel could not be found.",
            Language::German => "Der angegebene Kanal wurde nicht gefunden.",
        };
        return Ran::complained(CHANNEL_NOT_FOUND, [what, why.to_owned()]);
    }
    let rest = call.args.get(2..).unwrap_or_default();
    if reading {
        return match rest.first() {
            None => call.machine.read(|s| Ran::said(configuration(s))),
            Some(other) => Ran::complained(INVALID, [format!("Invalid option {other}. Option name is unknown.")]),
        };
    }
    set(call, rest)
}

fn is_running(state: &State) -> bool {
    state.services.get("EventLog").is_some_and(|s| s.status == Status::Running)
}

fn set(call: &Call<'_>, options: &[String]) -> Ran {
    let (mut size, mut enabled) = (None, None);
    for option in options {
        let lower = option.to_ascii_lowercase();
        let Some((name, value)) = lower.strip_prefix(['/', '-']).and_then(|o| o.split_once(':')) else {
            return Ran::complained(INVALID, [format!("Invalid option {option}.")]);
        };
        match (name, value.parse::<u64>(), value) {
            ("ms" | "maxsize", Ok(bytes), _) if bytes >= SMALLEST => size = Some(bytes.next_multiple_of(STEP)),
            ("e" | "enabled", _, "true") => enabled = Some(true),
            ("e" | "enabled", _, "false") => enabled = Some(false),
            _ => return Ran::complained(INVALID, [format!("Invalid value for option {option}.")]),
        }
    }
    call.machine.edit(call.actor, |state| {
        let logging = &mut state.logging;
        let size = size.and_then(|bytes| logging.set_log_size(bytes));
        let enabled = enabled.and_then(|on| logging.set_log_enabled(on));
        (size.into_iter().chain(enabled).collect(), ())
    });
    Ran::default()
}

fn configuration(state: &State) -> Vec<String> {
    let log = &state.logging.security_log;
    vec![
        "name: Security".to_owned(),
        format!("enabled: {}", log.enabled),
        "type: Admin".to_owned(),
        "owningPublisher: ".to_owned(),
        "isolation: Custom".to_owned(),
        "channelAccess: O:BAG:SYD:(A;;0xf0005;;;SY)(A;;0x5;;;BA)(A;;0x1;;;S-1-5-32-573)".to_owned(),
        "logging:".to_owned(),
        "  logFileName: %SystemRoot%\\System32\\Winevt\\Logs\\Security.evtx".to_owned(),
        "  retention: false".to_owned(),
        "  autoBackup: false".to_owned(),
        format!("  maxSize: {}", state.logging.max_bytes()),
        "publishing:".to_owned(),
        "  fileMax: 1".to_owned(),
    ]
}
