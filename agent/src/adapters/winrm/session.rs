//! One script in one remote shell: started, fed over standard input, read to its end, and the shell closed on every path.
//!
//! The script travels as base64 on standard input, because a command line holds 8,191 characters and is written into the
//! server's event log (4688); what stands on the command line is [`BOOTSTRAP`], the same for every script. `$input` is how
//! PowerShell hands on standard input that it has read itself; `[Console]::In` may be empty by then.
//!
//! A script begins when the last of it has arrived. So a connection that breaks before has changed nothing, whatever the
//! script does, and [`Failed`] says so: then it may be sent again. Connections do break now and then, because the HTTP
//! client opens another one in which nobody has logged on (401).

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use winrm_rs::{ReceiveOutput, Shell, WinrmClient, WinrmError};

/// Windows PowerShell by its full path: what lies in a working directory or on the PATH is not asked.
const POWERSHELL: &str = r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe";
/// Runs the script that comes over standard input, in the global scope (`.`, not `&`): the functions of a module, which
/// are half of Windows' cmdlets, see the script's `$ErrorActionPreference` there and nowhere else.
const BOOTSTRAP: &str =
    ". ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String(-join $input))))";
/// How much goes into one Send: with the envelope around it, and base64 once more, within what a server takes (150 KiB).
const CHUNK: usize = 64 * 1024;
/// How long closing a shell may take. A shell that could not be closed ends by its idle time.
const CLOSING: Duration = Duration::from_secs(10);
/// The shortest and the longest pause before asking again a server that answers at once, and with nothing.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How often one Receive is asked again: what it asks for stays on the server.
const RECEIVES: u32 = 3;

/// A script that did not come to its end here.
#[derive(Debug)]
pub(super) struct Failed {
    /// Whether it may have begun to run on the server.
    pub begun: bool,
    pub source: WinrmError,
}

/// What a script wrote, and how it ended.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

/// Runs `script` on `endpoint` for at most `timeout`. Whoever drops the future ends the script and closes its shell.
pub(super) async fn run(
    client: Arc<WinrmClient>,
    endpoint: String,
    script: &str,
    timeout: Duration,
    most_output: usize,
) -> Result<Output, Failed> {
    let input = BASE64.encode(script);
    let dropped = CancellationToken::new();
    let _guard = dropped.clone().drop_guard();
    // A task of its own, because closing has to go on after the caller has gone.
    let task = tokio::spawn(async move {
        let too_long = || WinrmError::Timeout(timeout.as_secs());
        let opened = tokio::time::timeout(timeout, client.open_shell(&endpoint)).await;
        let shell = opened.unwrap_or_else(|_| Err(too_long())).map_err(|source| Failed { begun: false, source })?;
        let (mut command_id, mut begun) = (None, false);
        let ended = tokio::select! {
            biased;
            () = dropped.cancelled() => Err(WinrmError::Cancelled),
            ended = tokio::time::timeout(timeout, follow(&shell, &input, most_output, &mut command_id, &mut begun)) =>
                ended.unwrap_or_else(|_| Err(too_long())),
        };
        close(&client, &endpoint, shell, command_id).await;
        ended.map_err(|source| Failed { begun, source })
    });
    task.await.unwrap_or(Err(Failed { begun: true, source: WinrmError::Cancelled }))
}

/// [`BOOTSTRAP`] as the command line takes it.
pub(crate) fn encoded_bootstrap() -> String {
    BASE64.encode(BOOTSTRAP.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
}

async fn follow(
    shell: &Shell<'_>,
    input: &str,
    most_output: usize,
    command_id: &mut Option<String>,
    begun: &mut bool,
) -> Result<Output, WinrmError> {
    let encoded = encoded_bootstrap();
    let arguments = ["-NoProfile", "-NonInteractive", "-EncodedCommand", &encoded];
    let command: &str = command_id.insert(shell.start_command(POWERSHELL, &arguments).await?);
    let mut chunks = input.as_bytes().chunks(CHUNK).peekable();
    while let Some(chunk) = chunks.next() {
        let last = chunks.peek().is_none();
        // From here on it may run, also when this request fails.
        *begun = last;
        shell.send_input(command, chunk, last).await?;
    }
    let mut output = Output { exit_code: -1, ..Output::default() };
    let mut pause = PAUSES.0;
    loop {
        let part = receive(shell, command).await?;
        let nothing = part.stdout.is_empty() && part.stderr.is_empty();
        output.stdout.extend_from_slice(&part.stdout);
        output.stderr.extend_from_slice(&part.stderr);
        output.exit_code = part.exit_code.unwrap_or(output.exit_code);
        if output.stdout.len() + output.stderr.len() > most_output {
            return Err(WinrmError::Transfer(format!("the script wrote more than {most_output} bytes")));
        }
        if part.done {
            return Ok(output);
        }
        pause = if nothing { (pause * 2).min(PAUSES.1) } else { PAUSES.0 };
        if nothing {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn receive(shell: &Shell<'_>, command: &str) -> Result<ReceiveOutput, WinrmError> {
    let mut asked = 1;
    loop {
        match shell.receive_next(command).await {
            // Either nobody took the request, and nothing was handed out; or output was lost, and there is no report.
            Err(WinrmError::Ntlm(_)) if asked < RECEIVES => asked += 1,
            received => return received,
        }
    }
}

/// Ends the command, which may still run, and closes its shell. What was learnt is not lost when that fails.
async fn close(client: &WinrmClient, endpoint: &str, shell: Shell<'_>, command_id: Option<String>) {
    let closing = async {
        if let Some(command_id) = command_id {
            client.signal_terminate(endpoint, shell.shell_id(), &command_id).await?;
        }
        shell.close().await
    };
    match tokio::time::timeout(CLOSING, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%endpoint, %error, "a remote shell was not closed: it ends by its idle time"),
        Err(_) => tracing::debug!(%endpoint, "a remote shell was not closed in time: it ends by its idle time"),
    }
}
