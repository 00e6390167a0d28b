//! Runs the tests with cargo's own runner and reads what each test binary reports.

use std::io::Write;
use std::process::ExitStatus;

use super::skip_log::SkipLog;
use super::tally::{Skip, Tally};
use super::watch::watch;
use crate::cargo;
use crate::stop::Stop;

/// Runs the tests of `targets` whose name contains one of `filters`; no filter means all.
pub fn run(targets: &[&str], filters: &[String], skips: &SkipLog, err: &mut dyn Write) -> Result<Tally, Stop> {
    let mut command = cargo::cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(targets).arg("--").args(filters);
    let mut report = Report::default();
    let status = watch(command, skips, err, |line| report.read(line))?;
    Ok(report.finish(status))
}

/// Where in a test binary's report a line stands.
#[derive(Default, PartialEq)]
enum Place {
    #[default]
    Outside,
    /// Between `running N tests` and the failures' own output, which may print anything.
    Tests,
    Failures,
}

#[derive(Default)]
struct Report {
    place: Place,
    /// The test binary, by its source: `tests/schemas.rs`.
    target: String,
    tally: Tally,
}

impl Report {
    fn read(&mut self, line: &str) {
        let text = line.trim_start();
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.tally.passed += passed(counts);
            self.place = Place::Outside;
        } else if let Some(target) = text.strip_prefix("Running ").or_else(|| text.strip_prefix("Doc-tests "))
            && self.place != Place::Failures
        {
            self.end_target();
            let source = target.split(" (").next().unwrap_or(target);
            self.target = source.strip_prefix("unittests ").unwrap_or(source).to_owned();
        } else if self.place == Place::Outside && line.starts_with("running ") {
            self.place = Place::Tests;
        } else if self.place == Place::Tests {
            self.read_test(line);
        }
    }

    fn read_test(&mut self, line: &str) {
        if line == "failures:" {
            self.place = Place::Failures;
        }
        let Some((name, verdict)) = line.strip_prefix("test ").and_then(|test| test.rsplit_once(" ... ")) else {
            return;
        };
        let name = format!("{} {}", self.target, name.split(" - should panic").next().unwrap_or(name));
        if verdict == "FAILED" {
            self.tally.failed.push(name);
        } else if let Some(reason) = verdict.strip_prefix("ignored") {
            let reason = reason.strip_prefix(", ").unwrap_or("marked #[ignore]");
            self.tally.skipped.push(Skip { name, reason: reason.to_owned() });
        }
    }

    /// A binary that began and never gave a result was killed, by itself or by the system.
    fn end_target(&mut self) {
        if self.place != Place::Outside {
            self.tally.failed.push(format!("{}: ended in the middle; its output above says why", self.target));
            self.place = Place::Outside;
        }
    }

    fn finish(mut self, status: ExitStatus) -> Tally {
        self.end_target();
        if !status.success() && self.tally.failed.is_empty() {
            self.tally.failed.push(format!("cargo test: {status}; its output above says why"));
        }
        self.tally
    }
}

/// The number in `ok. 3 passed; 0 failed; ...`.
fn passed(counts: &str) -> usize {
    let before = counts.split_once(" passed;").and_then(|(before, _)| before.rsplit(' ').next());
    before.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn tally(recorded: &str, exit_code: i32) -> Tally {
        let mut report = Report::default();
        recorded.lines().for_each(|line| report.read(line));
        report.finish(ExitStatus::from_raw(exit_code << 8))
    }

    #[test]
    fn failures_and_ignored_tests_are_counted_and_named_with_their_target() {
        let tally = tally(include_str!("../../recorded/libtest-failures.txt"), 101);
        assert_eq!(tally.passed, 4);
        assert_eq!(tally.failed, ["tests/it.rs fails", "src/lib.rs: ended in the middle; its output above says why"]);
        let skipped: Vec<String> = tally.skipped.iter().map(|it| format!("{}: {}", it.name, it.reason)).collect();
        assert_eq!(
            skipped,
            [
                "tests/it.rs waits_for_a_machine: needs a booted machine",
                "tests/it.rs waits_without_a_reason: marked #[ignore]"
            ]
        );
    }

    #[test]
    fn documentation_tests_are_counted() {
        let tally = tally(include_str!("../../recorded/libtest-doc.txt"), 0);
        assert_eq!((tally.passed, tally.failed.len(), tally.skipped.len()), (1, 0, 0));
    }

    #[test]
    fn a_run_that_does_not_compile_is_a_failure() {
        let tally = tally(include_str!("../../recorded/libtest-compile-error.txt"), 101);
        assert_eq!(tally.passed, 0);
        assert_eq!(tally.failed, ["cargo test: exit status: 101; its output above says why"]);
    }

    #[test]
    fn what_a_failing_test_prints_is_not_taken_for_a_result() {
        let printed = "\
     Running tests/a.rs (target/debug/deps/a-1)

running 1 test
test a ... FAILED

failures:

---- a stdout ----
test b ... FAILED
test c ... ignored
     Running tests/d.rs (target/debug/deps/d-1)

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(tally(printed, 101).to_string(), "failed: tests/a.rs a\n0 passed, 1 failed, 0 skipped\n");
    }
}
