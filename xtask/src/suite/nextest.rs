//! Runs the tests with cargo-nextest and reads its summary.
//!
//! nextest counts tests that a filter left out as skipped too, so the ignored ones are listed separately.

use std::io::Write;
use std::process::ExitStatus;

use super::skip_log::SkipLog;
use super::tally::{Skip, Tally};
use super::watch::watch;
use crate::stop::Stop;
use crate::{cargo, workspace};

/// Tests whose name, or whose file's, contains one of `filters`; no filter means all.
fn chosen(filters: &[String]) -> Vec<String> {
    if filters.is_empty() {
        return Vec::new();
    }
    // What the language of filtersets gives a meaning to, stands for itself here.
    let literal = |filter: &str| {
        let escaped = |c: char| if "()\\/,".contains(c) { vec!['\\', c] } else { vec![c] };
        filter.chars().flat_map(escaped).collect::<String>()
    };
    let files = test_files();
    let either = filters.iter().flat_map(|filter| {
        // nextest takes a file's name that no file has for a mistake.
        let file = files.iter().any(|file| file.contains(filter)).then(|| format!("binary(~{})", literal(filter)));
        std::iter::once(format!("test(~{})", literal(filter))).chain(file)
    });
    vec!["-E".to_owned(), either.collect::<Vec<_>>().join(" | ")]
}

/// The names of the files of tests, without their ending.
fn test_files() -> Vec<String> {
    let members = workspace::crates(&workspace::root()).unwrap_or_default();
    let files = members.iter().filter_map(|member| std::fs::read_dir(member.join("tests")).ok()).flatten().flatten();
    let tests =
        files.map(|file| file.path()).filter(|path| path.extension().is_some() || path.join("main.rs").exists());
    tests.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

/// Runs every test whose name, or whose file's, contains one of `filters`; no filter means all.
pub fn run(filters: &[String], skips: &SkipLog, err: &mut dyn Write) -> Result<Tally, Stop> {
    let mut command = cargo::cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
    command.args(chosen(filters));
    let mut summary = Summary::default();
    let status = watch(command, skips, err, |line| summary.read(line))?;
    let mut tally = summary.finish(status);
    tally.skipped = ignored(filters)?;
    Ok(tally)
}

/// Tests marked `#[ignore]`, by name; nextest does not know their reasons.
fn ignored(filters: &[String]) -> Result<Vec<Skip>, Stop> {
    let mut command = cargo::cargo(&["nextest", "list", "--workspace", "--run-ignored", "only"]);
    command.args(["--message-format", "oneline"]).args(chosen(filters));
    let listed = command.output().map_err(|source| Stop::io("list the ignored tests", source))?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    Ok(listed.lines().map(|name| Skip { name: name.to_owned(), reason: "marked #[ignore]".to_owned() }).collect())
}

/// The summary, read line by line. A failing test may print something like it: the last one is nextest's.
#[derive(Default)]
struct Summary {
    seen: bool,
    passed: usize,
    failures: usize,
    names: Vec<String>,
}

impl Summary {
    fn read(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some((head, counts)) = line.split_once(" run: ")
            && head.starts_with("Summary [")
        {
            *self = Self { seen: true, ..Self::default() };
            for (number, what) in numbers(counts) {
                match what {
                    "passed" => self.passed = number,
                    "failed" | "timed out" | "exec failed" => self.failures += number,
                    _ => {}
                }
            }
        } else if self.seen
            && let Some(name) = failure(line)
        {
            self.names.push(name.to_owned());
        }
    }

    fn finish(mut self, status: ExitStatus) -> Tally {
        if !status.success() && self.failures == 0 {
            self.names.push(format!("cargo nextest run: {status}; its output above says why"));
        }
        while self.names.len() < self.failures {
            self.names.push("a test that nextest counted and did not name".to_owned());
        }
        Tally { passed: self.passed, failed: self.names, skipped: Vec::new() }
    }
}

/// `6 passed (1 slow, 1 leaky), 2 failed, 1 timed out` as numbers and what they count.
fn numbers(counts: &str) -> impl Iterator<Item = (usize, &str)> {
    counts.split(", ").filter_map(|part| {
        let (number, what) = part.split_once(' ')?;
        let what = what.split(" (").next()?;
        Some((number.parse().ok()?, what))
    })
}

/// The name in `FAIL [   0.270s] (6/9) probe-a::it fails`, whatever the word: SIGABRT and TIMEOUT are failures too.
fn failure(line: &str) -> Option<&str> {
    let (verdict, rest) = line.split_once(" [")?;
    let (_, name) = rest.split_once("s] ")?;
    let name = if name.starts_with('(') { name.split_once(") ")?.1 } else { name };
    let harmless = ["PASS", "SKIP", "SLOW", "LEAK"].contains(&verdict) || verdict.starts_with("FLAKY");
    (!harmless).then(|| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn tally(recorded: &str, exit_code: i32) -> Tally {
        let mut summary = Summary::default();
        recorded.lines().for_each(|line| summary.read(line));
        summary.finish(ExitStatus::from_raw(exit_code << 8))
    }

    #[test]
    fn failures_aborts_and_timeouts_are_counted_and_named() {
        let tally = tally(include_str!("../../recorded/nextest-failures.txt"), 100);
        assert_eq!(tally.passed, 6);
        assert_eq!(tally.failed, ["probe-a::it fails", "probe-b aborts", "probe-b never_ends"]);
    }

    #[test]
    fn a_clean_run_has_no_failures() {
        let tally = tally(include_str!("../../recorded/nextest-clean.txt"), 0);
        assert_eq!((tally.passed, tally.failed.len()), (3, 0));
    }

    #[test]
    fn a_run_that_does_not_compile_is_a_failure() {
        let tally = tally(include_str!("../../recorded/nextest-compile-error.txt"), 101);
        assert_eq!(tally.passed, 0);
        assert_eq!(tally.failed, ["cargo nextest run: exit status: 101; its output above says why"]);
    }
}
