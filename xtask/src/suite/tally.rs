//! What a run of tests came to, and the lines it is told in.

use std::fmt;

/// One test that did not run, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Skip {
    pub name: String,
    pub reason: String,
}

/// The sum of one run, or of several.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    /// What failed, by name.
    pub failed: Vec<String>,
    pub skipped: Vec<Skip>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Whether nothing ran, failed or was skipped.
    pub fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed.is_empty() && self.skipped.is_empty()
    }

    /// Tests that returned early because they could not run here: the runner saw them pass. One that failed after
    /// it had said so stays failed.
    pub fn move_to_skipped(&mut self, skips: Vec<Skip>) {
        for skip in skips {
            if self.failed.iter().any(|failed| ends_with_test(failed, &skip.name)) {
                continue;
            }
            self.passed = self.passed.saturating_sub(1);
            self.skipped.push(skip);
        }
    }
}

/// Whether `full` (`crate::target module::test`) names `test`.
fn ends_with_test(full: &str, test: &str) -> bool {
    full.strip_suffix(test).is_some_and(|before| before.is_empty() || before.ends_with([' ', ':']))
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Skip { name, reason } in &self.skipped {
            writeln!(to, "skipped: {name}: {reason}")?;
        }
        for name in &self.failed {
            writeln!(to, "failed: {name}")?;
        }
        writeln!(to, "{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(name: &str) -> Skip {
        Skip { name: name.to_owned(), reason: "no nft here".to_owned() }
    }

    #[test]
    fn a_test_that_skipped_itself_is_not_counted_as_passed() {
        let mut tally = Tally { passed: 3, ..Tally::default() };
        tally.move_to_skipped(vec![skip("reads_the_ruleset")]);
        assert_eq!(tally.to_string(), "skipped: reads_the_ruleset: no nft here\n2 passed, 0 failed, 1 skipped\n");
    }

    #[test]
    fn a_test_that_failed_after_it_skipped_itself_stays_failed() {
        let failed = vec!["msp-suite::firewall nft::reads_the_ruleset".to_owned()];
        let mut tally = Tally { passed: 3, failed, skipped: Vec::new() };
        tally.move_to_skipped(vec![skip("reads_the_ruleset"), skip("the_ruleset")]);
        assert_eq!((tally.passed, tally.failed.len(), tally.skipped.len()), (2, 1, 1));
    }
}
