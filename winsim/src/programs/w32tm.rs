//! `w32tm.exe /resync`: sets the clock by its source of time.

use super::{Call, Ran, not_supported};
use crate::windows::computer::Language;
use crate::windows::services::Status;

/// `HRESULT_FROM_WIN32(ERROR_SERVICE_NOT_ACTIVE)`.
const NOT_ACTIVE: i32 = -2_147_023_834;

/// The largest correction that a domain controller accepts, in seconds: 48 hours.
const LARGEST_CORRECTION: u64 = 172_800;

pub(super) fn run(call: &Call<'_>) -> Ran {
    let known = ["/resync", "/nowait", "/rediscover", "/force"];
    let unknown = call.args.iter().find(|a| !known.contains(&a.to_ascii_lowercase().as_str()));
    if unknown.is_some() || !call.args.first().is_some_and(|a| a.eq_ignore_ascii_case("/resync")) {
        return not_supported("w32tm", unknown.or(call.args.first()).map_or("(none)", String::as_str));
    }
    let (running, offset, language) = call.machine.read(|s| {
        let running = s.services.get("W32Time").is_some_and(|s| s.status == Status::Running);
        (running, s.computer.clock_offset_seconds, s.computer.language)
    });
    let english = language == Language::English;
    if !running {
        return Ran::failed(
            NOT_ACTIVE,
            [if english {
                "The following error occurred: The service has not been started. (0x80070426)"
            } else {
                "Folgender Fehler ist aufgetreten: Der Dienst wurde nicht gestartet. (0x80070426)"
            }],
        );
    }
    let sending = if english {
        "Sending resync command to local computer"
    } else {
        "Befehl zum erneuten Synchronisieren wird an den lokalen Computer gesendet."
    };
    if offset.unsigned_abs() > LARGEST_CORRECTION {
        let why = "The computer did not resync because the required time change was too big.";
        return Ran::failed(1, [sending, why]);
    }
    call.machine.edit(call.actor, |state| (state.computer.set_clock_offset(0).into_iter().collect(), ()));
    let done =
        if english { "The command completed successfully." } else { "Der Befehl wurde erfolgreich ausgeführt." };
    Ran::said([sending, done])
}
