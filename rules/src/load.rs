//! Reading all rules of a machine: the built-in ones, and the folders of the other three sources.
//!
//! Nothing that stands in a folder can make a load fail. A folder that does not exist holds no rules; a file
//! that cannot be read, or that is no document, is quarantined whole; a rule that does not load is quarantined
//! alone.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::document::{MAX_FILE_BYTES, Position};
use crate::embedded;
use crate::fields::Problem;
use crate::index::RuleSet;
use crate::lint::{LintReport, Linter, SwitchedOff};
use crate::model::Source;
use crate::quarantine::{Quarantined, Warning};
use crate::runbook::DataError;
use crate::vocabulary::Vocabulary;

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Where the built-in rules are taken from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Baseline {
    /// The rules that the program was built with.
    #[default]
    BuiltIn,
    /// A folder in their place, such as `rules/l1` of a checkout.
    Folder(PathBuf),
}

/// The folders to read. A folder that does not exist holds no rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The built-in rules.
    pub baseline: Baseline,
    /// The site's own, `/etc/msp/rules`.
    pub custom: Option<PathBuf>,
    /// Central Command's, `rules/synced` in the state directory.
    pub synced: Option<PathBuf>,
    /// The promoted, `rules/promoted` in the state directory.
    pub promoted: Option<PathBuf>,
}

/// All that was found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The rules that are enabled, ready to be matched.
    pub rules: RuleSet,
    /// What did not load.
    pub quarantined: Vec<Quarantined>,
    /// The built-in rules that the site switched off.
    pub switched_off: Vec<SwitchedOff>,
    /// What loaded with a word of caution.
    pub warnings: Vec<Warning>,
}

impl RuleSet {
    /// Reads all sources.
    ///
    /// # Errors
    /// [`DataError`] when the program itself was built from unsound data. What is wrong with a folder's files is
    /// no error: see [`Loaded::quarantined`].
    pub fn load(sources: &Sources) -> Result<Loaded, DataError> {
        let vocabulary = Vocabulary::builtin()?;
        let none = BTreeSet::new();
        let reader = Linter { vocabulary: &vocabulary, builtin: &none, source: Source::Baseline, file: "" };
        let mut all = match &sources.baseline {
            Baseline::Folder(folder) => read_folder(folder, &reader),
            Baseline::BuiltIn => {
                let mut report = LintReport::default();
                for (file, text) in embedded::L1 {
                    report.append(Linter { file, ..reader }.text(text));
                }
                report
            }
        };
        all.quarantine_duplicates();
        let builtin: BTreeSet<String> = all.rules.iter().map(|rule| rule.id.clone()).collect();
        for (source, folder) in [
            (Source::Custom, &sources.custom),
            (Source::Synced, &sources.synced),
            (Source::Promoted, &sources.promoted),
        ] {
            if let Some(folder) = folder {
                let mut report = read_folder(folder, &Linter { builtin: &builtin, source, ..reader });
                report.quarantine_duplicates();
                all.append(report);
            }
        }
        let loaded = all.rules.len();
        all.quarantined.iter_mut().for_each(|entry| entry.others_loaded = loaded);
        let off: BTreeSet<&str> = all.switched_off.iter().map(|entry| entry.rule_id.as_str()).collect();
        let builtin_off = |rule: &crate::Rule| rule.source == Source::Baseline && off.contains(rule.id.as_str());
        all.rules.retain(|rule| rule.enabled && !builtin_off(rule));
        Ok(Loaded {
            rules: RuleSet::new(all.rules, vocabulary),
            quarantined: all.quarantined,
            switched_off: all.switched_off,
            warnings: all.warnings,
        })
    }
}

/// The files of a folder in the order of their names; not of its subfolders.
fn read_folder(folder: &Path, linter: &Linter<'_>) -> LintReport {
    let mut report = LintReport::default();
    let start = Position { line: 1, column: 1 };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> = match entries {
        Ok(entries) => entries.iter().map(fs::DirEntry::path).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return report,
        Err(error) => {
            let problem = Problem::new(start, "", format!("the folder cannot be read: {error}"));
            report.quarantined.push(Quarantined::file(&folder.display().to_string(), problem));
            return report;
        }
    };
    paths.sort();
    for path in paths {
        let file = path.display().to_string();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || path.is_dir() {
            continue;
        }
        if !EXTENSIONS.iter().any(|known| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(known))) {
            let message = format!("passed over: a rule file's name ends in .{}", EXTENSIONS.join(", ."));
            report.warnings.push(Warning::new(&file, None, Position::default(), message));
            continue;
        }
        match read_text(&path) {
            Ok(text) => report.append(Linter { file: &file, ..*linter }.text(&text)),
            Err(problem) => report.quarantined.push(Quarantined::file(&file, problem)),
        }
    }
    report
}

/// Reads no more than a rule file may be long, and nothing but regular files: a pipe would never end.
fn read_text(path: &Path) -> Result<String, Problem> {
    let start = Position { line: 1, column: 1 };
    let unreadable = |error: io::Error| Problem::new(start, "", format!("the file cannot be read: {error}"));
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Problem::new(start, "", "not a regular file"));
    }
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u64 + 1;
        Problem::new(Position { line, column }, "", "the file is not UTF-8 text")
    })
}
