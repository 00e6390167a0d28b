//! `msp-agent-switch`: the program of `msp-agent-switch@<id>.service`. People use `msp-agent generations`.

use msp_agent_switch::places::Places;
use msp_agent_switch::record::{Record, State};
use msp_agent_switch::switch::{self, Patience};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "usage: msp-agent-switch run|recover ID [CONFIRM_SECONDS]\n       msp-agent-switch settle\n\n\
    Carries out a switch to another generation of NixOS that root's executor or `msp-agent generations` recorded, or\n\
    goes back from one that was ended in the middle; settle, at the start of the machine, writes down what its restart\n\
    has ended. systemd starts it; people use `msp-agent generations`.";

fn main() -> ExitCode {
    // For sd-daemon(3)'s levels: 3 is an error, 4 a warning, 6 an information.
    let say = |level: u8, text: &str| drop(writeln!(std::io::stderr(), "<{level}>{text}"));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let settle = Duration::from_secs(10);
    let (what, id, confirm) = match words[..] {
        ["settle"] => {
            let done = switch::settle(&Places::own(), Patience { confirm: settle, settle });
            return done.map_or_else(
                |error| {
                    say(3, &format!("the records of switches cannot be settled: {error}"));
                    ExitCode::FAILURE
                },
                |()| ExitCode::SUCCESS,
            );
        }
        [what @ ("run" | "recover"), id] => (what, id, "180"),
        [what @ ("run" | "recover"), id, confirm] => (what, id, confirm),
        _ => {
            say(3, HELP);
            return ExitCode::from(2);
        }
    };
    let Ok(confirm) = confirm.parse() else {
        say(3, &format!("{confirm:?} is no number of seconds\n\n{HELP}"));
        return ExitCode::from(2);
    };
    // A unit that fails does so soon; whoever has less patience for the one has less for the other.
    let settle = settle.min(Duration::from_secs(confirm / 6));
    let patience = Patience { confirm: Duration::from_secs(confirm), settle };
    let places = Places::own();
    let ended = if what == "run" { switch::run(&places, id, patience) } else { switch::recover(&places, id, patience) };
    match ended {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(Record { id, to, state, reason, .. })) => {
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let level = if state == State::Confirmed { 6 } else { 3 };
            say(level, &format!("switch {id} to {to}: {}{why}", state.as_str()));
            // A unit that failed would be drift of the machine's services, beside the finding that tells of it.
            ExitCode::SUCCESS
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            say(3, &format!("{error}{cause}"));
            ExitCode::FAILURE
        }
    }
}
