//! What a WinRM command runs: `cmd.exe`, and through it `powershell.exe`.
//!
//! Each command has a thread of its own, with a stack large enough for any script the interpreter's limits admit. The thread
//! and the WS-Management side share only a [`CommandIo`]: streams, an exit code, and a flag that asks the command to stop.

mod clixml;
mod cmd;
mod powershell_exe;
pub(crate) mod task;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::windows::Machine;
use crate::windows::ledger::Actor;

/// The exit code of a command that was interrupted (`STATUS_CONTROL_C_EXIT`).
pub(crate) const INTERRUPTED: i32 = -1_073_741_510;

/// A stream that a command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamName {
    Stdout,
    Stderr,
}

#[derive(Debug, Default)]
struct Streams {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    stdin: Vec<u8>,
    /// The client has said that no more input comes.
    stdin_ended: bool,
    exit_code: Option<i32>,
}

/// The most input that waits to be read, in bytes. A real pipe would make the client wait long before.
pub(crate) const MOST_INPUT: usize = 8 << 20;

/// Why input was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputRefused {
    /// The stream had been ended before.
    Ended,
    /// More than [`MOST_INPUT`] would wait.
    TooMuch,
}

/// What a Receive gets: bytes of both streams, and the exit code once everything was taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit_code: Option<i32>,
}

/// A running command as its two sides see it.
#[derive(Debug, Default)]
pub(crate) struct CommandIo {
    streams: Mutex<Streams>,
    changed: Notify,
    cancelled: AtomicBool,
    woken: Condvar,
}

impl CommandIo {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self, stream: StreamName, bytes: &[u8]) {
        let mut streams = self.lock();
        match stream {
            StreamName::Stdout => streams.stdout.extend_from_slice(bytes),
            StreamName::Stderr => streams.stderr.extend_from_slice(bytes),
        }
        drop(streams);
        self.changed.notify_waiters();
    }

    fn finish(&self, exit_code: i32) {
        self.lock().exit_code.get_or_insert(exit_code);
        self.changed.notify_waiters();
    }

    /// Takes bytes for standard input, and with `end` closes it. A command that has ended reads nothing: its input is dropped.
    pub(crate) fn feed(&self, bytes: &[u8], end: bool) -> Result<(), InputRefused> {
        let mut streams = self.lock();
        if streams.exit_code.is_some() {
            return Ok(());
        }
        if streams.stdin_ended {
            return Err(InputRefused::Ended);
        }
        if streams.stdin.len().saturating_add(bytes.len()) > MOST_INPUT {
            return Err(InputRefused::TooMuch);
        }
        streams.stdin.extend_from_slice(bytes);
        streams.stdin_ended = end;
        drop(streams);
        self.woken.notify_all();
        Ok(())
    }

    /// All of standard input; waits for its end, or stops waiting early when cancelled. What was read is gone.
    pub(crate) fn read_input(&self) -> Vec<u8> {
        let mut streams = self.lock();
        while !streams.stdin_ended && !self.is_cancelled() {
            // Woken by feed and cancel; the step covers a cancel that came just before the wait.
            let step = Duration::from_millis(100);
            streams = self.woken.wait_timeout(streams, step).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut streams.stdin)
    }

    /// Asks the command to stop.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.woken.notify_all();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.lock().exit_code.is_some()
    }

    /// Waits, or stops waiting early when cancelled.
    pub(crate) fn sleep(&self, time: Duration) {
        // Longer than any test waits; keeps the sum of durations in range.
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        let Some(deadline) = Clock.instant().checked_add(time.min(LONGEST)) else {
            return;
        };
        let mut streams = self.lock();
        while !self.is_cancelled() {
            let left = deadline.saturating_duration_since(Clock.instant());
            if left.is_zero() {
                return;
            }
            // Woken by cancel; the short step covers a wake that came just before the wait.
            let step = left.min(Duration::from_millis(100));
            streams = self.woken.wait_timeout(streams, step).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes at most `limit` bytes of output, or the exit code when none is left; waits until there is something.
    /// `split` cuts errors in the middle of their tags.
    pub(crate) async fn take(&self, limit: usize, split: bool) -> Taken {
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(taken) = self.try_take(limit, split) {
                return taken;
            }
            notified.await;
        }
    }

    fn try_take(&self, limit: usize, split: bool) -> Option<Taken> {
        let mut streams = self.lock();
        let stdout = take_front(&mut streams.stdout, limit);
        let mut room = limit.saturating_sub(stdout.len());
        if split {
            room = room.min(inside_next_tag(&streams.stderr));
        }
        let stderr = take_front(&mut streams.stderr, room);
        let drained = streams.stdout.is_empty() && streams.stderr.is_empty();
        let exit_code = streams.exit_code.filter(|_| drained);
        let something = !stdout.is_empty() || !stderr.is_empty() || exit_code.is_some();
        something.then_some(Taken { stdout, stderr, exit_code })
    }
}

/// Two bytes into the first tag that starts after the first byte; the end if none does.
fn inside_next_tag(bytes: &[u8]) -> usize {
    let tag = |pair: &[u8]| matches!(pair, [b'<', next] if next.is_ascii_alphabetic() || *next == b'/');
    let start = bytes.windows(2).skip(1).position(tag);
    start.map_or(bytes.len(), |at| (at + 4).min(bytes.len()))
}

fn take_front(bytes: &mut Vec<u8>, limit: usize) -> Vec<u8> {
    let rest = bytes.split_off(limit.min(bytes.len()));
    std::mem::replace(bytes, rest)
}

/// Everything a command starts with.
#[derive(Debug)]
pub(crate) struct Start {
    /// The command line as it came in, before `%NAME%` is expanded.
    pub(crate) line: String,
    /// The environment variables that the client gave its shell.
    pub(crate) environment: HashMap<String, String>,
    /// The account that logged on.
    pub(crate) user: String,
    pub(crate) machine: Arc<Machine>,
    pub(crate) actor: Actor,
}

/// Starts a command on a thread of its own.
///
/// # Errors
/// The thread could not be made.
pub(crate) fn start(start: Start) -> std::io::Result<Arc<CommandIo>> {
    let io = Arc::new(CommandIo::default());
    let shared = Arc::clone(&io);
    std::thread::Builder::new().name("command".to_owned()).stack_size(crate::powershell::STACK_BYTES).spawn(
        move || {
            // Also when the interpreter has a fault of its own, the client must see an end.
            let guard = FinishOnDrop(&shared);
            let code = cmd::run(&start, &shared);
            shared.finish(if shared.is_cancelled() { INTERRUPTED } else { code });
            drop(guard);
        },
    )?;
    Ok(io)
}

struct FinishOnDrop<'a>(&'a CommandIo);

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        self.0.finish(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandIo, StreamName};

    #[test]
    fn an_error_is_cut_inside_its_tags_and_nothing_of_it_is_lost() {
        let io = CommandIo::default();
        let text = "#< CLIXML\r\n<Objs Version=\"1.1\"><S S=\"Error\">a &lt; b_x000D__x000A_</S></Objs>";
        io.write(StreamName::Stderr, text.as_bytes());
        io.write(StreamName::Stdout, b"out");
        io.finish(1);
        let mut pieces = Vec::new();
        while let Some(taken) = io.try_take(4_096, true) {
            assert_eq!(taken.stdout.is_empty(), !pieces.is_empty(), "output itself is not cut");
            pieces.push(String::from_utf8(taken.stderr).unwrap());
            if taken.exit_code.is_some() {
                break;
            }
        }
        assert_eq!(
            pieces,
            ["#< CLIXML\r\n<Ob", "js Version=\"1.1\"><S ", "S=\"Error\">a &lt; b_x000D__x000A_</S", "></O", "bjs>"]
        );
    }
}
