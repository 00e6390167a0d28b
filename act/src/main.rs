//! `msp-agent-act`: systemd hands it one connection as standard input. It takes no argument.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use msp_agent_act::protocol::Reply;
use msp_agent_act::serve::{Surroundings, serve};

fn main() -> ExitCode {
    // For sd-daemon(3)'s levels: 4 is a warning, 6 an information.
    let say = |level: u8, text: &str| drop(writeln!(std::io::stderr(), "<{level}>{text}"));
    let stream = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => UnixStream::from(fd),
        Err(error) => {
            say(3, &format!("standard input is no connection ({error}): this program is started by its socket"));
            return ExitCode::FAILURE;
        }
    };
    let served = serve(stream, &Surroundings::real());
    let uid = served.uid.map_or_else(|| "?".to_owned(), |uid| uid.to_string());
    let id = served.id.as_deref().unwrap_or("-");
    match &served.reply {
        Reply::Queued { method, unit } => say(6, &format!("request {id} of user {uid}: {method} {unit}: queued")),
        Reply::Done { what } => say(6, &format!("request {id} of user {uid}: {what}")),
        Reply::Refused { reason } => say(4, &format!("request {id} of user {uid} refused: {reason}")),
        Reply::Failed { reason } => say(3, &format!("request {id} of user {uid} failed: {reason}")),
    }
    // A refusal is the work done well: a failed unit for each would be drift of the machine's services.
    ExitCode::SUCCESS
}
