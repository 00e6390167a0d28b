//! Running the machine's own tools and reading what they print.
//!
//! A tool is looked up in fixed absolute directories, never in the caller's PATH; it gets a clean environment
//! (C locale, UTC), no input, a time limit and a bound on its output. It runs in a process group of its own,
//! which is killed when the limit passes or the caller loses interest, so that no grandchild stays behind.

use super::files::HostFiles;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Where tools are looked up, in this order. The first is where NixOS keeps them.
const SEARCH: [&str; 5] = ["/run/current-system/sw/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The most that a tool may print, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 8 * 1024 * 1024;

/// What a tool printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
}

/// Why a tool gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("`{program}` is not installed (looked in {})", SEARCH.join(", "))]
    Missing { program: String },
    #[error("could not run `{program}`")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the reader of the packet filter gave no listing ({source})")]
    Reader {
        #[source]
        source: std::io::Error,
    },
    #[error("`{program}` printed more than {MAX_OUTPUT_BYTES} bytes and was stopped")]
    TooMuchOutput { program: String },
    #[error("`{program}` did not finish within {} s and was stopped", limit.as_secs_f32())]
    TimedOut { program: String, limit: Duration },
    #[error("`{program}` failed with {}: {message}", code.map_or("a signal".to_owned(), |code| format!("exit code {code}")))]
    Failed { program: String, code: Option<i32>, message: String },
}

/// Runs the tools of one machine.
#[derive(Debug, Clone)]
pub struct Commands {
    files: HostFiles,
    limit: Duration,
}

impl Commands {
    /// The tools of the machine whose files these are; each may run for `limit`.
    pub fn of(files: HostFiles, limit: Duration) -> Self {
        Self { files, limit }
    }

    /// Where the tool is, if it is installed.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        SEARCH
            .iter()
            .filter_map(|dir| self.files.resolve(format!("{dir}/{program}")).ok())
            .find(|path| std::fs::metadata(path).is_ok_and(|meta| meta.is_file()))
    }

    /// Runs the tool and gives what it printed; an exit code other than 0 is an error with its complaint.
    pub async fn run(&self, program: &str, args: &[&str]) -> Result<Output, CommandError> {
        self.run_with(program, args, &[]).await
    }

    /// As [`run`](Self::run), with variables added to the clean environment.
    pub async fn run_with(
        &self,
        program: &str,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Output, CommandError> {
        let path = self.find(program).ok_or_else(|| CommandError::Missing { program: program.to_owned() })?;
        let named = program.to_owned();
        let mut command = tokio::process::Command::new(path);
        command
            .args(args)
            .env_clear()
            .envs([("LC_ALL", "C"), ("TZ", "UTC"), ("PATH", &SEARCH.join(":")), ("HOME", "/")])
            .envs(environment.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| CommandError::Start { program: named.clone(), source })?;
        let mut group = Group::led_by(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (stdout, stderr) = tokio::try_join!(bounded(stdout), bounded(stderr))?;
            let status = child.wait().await?;
            Ok::<_, std::io::Error>((stdout, stderr, status))
        };
        let ended = tokio::time::timeout(self.limit, work).await;
        let (stdout, stderr, status) = match ended {
            Err(_) => return Err(CommandError::TimedOut { program: named, limit: self.limit }),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                return Err(CommandError::TooMuchOutput { program: named });
            }
            Ok(Err(source)) => return Err(CommandError::Start { program: named, source }),
            Ok(Ok(ended)) => ended,
        };
        group.disarm();
        if !status.success() {
            let message = complaint(&stderr, &stdout);
            return Err(CommandError::Failed { program: named, code: status.code(), message });
        }
        Ok(Output { stdout, stderr, code: status.code() })
    }
}

/// The line a person should read: the last ones that were printed.
fn complaint(stderr: &str, stdout: &str) -> String {
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    let line = lines.join("; ");
    if line.is_empty() { "it printed nothing".to_owned() } else { line.chars().take(300).collect() }
}

async fn bounded(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_OUTPUT_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() > MAX_OUTPUT_BYTES {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Kills a process group when it is dropped, unless its leader was waited for.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn led_by(id: Option<u32>) -> Self {
        Self(id.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // An error means that the group is gone already, which is what was wanted.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn machine(script: &str) -> (tempfile::TempDir, Commands) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        // Another process writes the tool: a child that another test starts meanwhile would inherit the open file,
        // and running it would fail with "text file busy".
        let mut writer = std::process::Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(dir.path().join("usr/bin/tool"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        let commands = Commands::of(HostFiles::below(dir.path()), Duration::from_millis(1500));
        (dir, commands)
    }

    #[tokio::test]
    async fn a_tool_sees_a_clean_environment_and_no_input() {
        let (_dir, commands) = machine("cat; echo $LC_ALL $TZ ${CARGO:-no cargo}");
        assert_eq!(commands.run("tool", &[]).await.unwrap().stdout, "C UTC no cargo\n");
    }

    #[tokio::test]
    async fn a_failing_tool_is_an_error_with_its_complaint() {
        let (_dir, commands) = machine("echo you must be root >&2; exit 4");
        let error = commands.run("tool", &[]).await.unwrap_err().to_string();
        assert_eq!(error, "`tool` failed with exit code 4: you must be root");
        assert!(commands.run("other", &[]).await.unwrap_err().to_string().contains("`other` is not installed"));
    }

    #[tokio::test]
    async fn a_tool_that_hangs_is_stopped_together_with_its_children() {
        let (dir, commands) = machine("sleep 600 & echo $! > \"$1\"; wait");
        let pid_file = dir.path().join("pid");
        let error = commands.run("tool", &[pid_file.to_str().unwrap()]).await.unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        for _ in 0..100 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the grandchild {pid} is still there");
    }

    #[tokio::test]
    async fn output_without_end_is_cut_off() {
        let (_dir, commands) = machine("exec head -c 100000000 /dev/zero");
        let error = commands.run("tool", &[]).await.unwrap_err();
        assert!(matches!(error, CommandError::TooMuchOutput { .. }), "{error}");
    }
}
