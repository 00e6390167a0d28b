//! From a text to sound rules: everything that can be known to be wrong with a rule is found here.
//!
//! The agent runs this when it loads rules and Central Command before it stores or signs one, so that both
//! refuse the same things in the same words. A rule that is wrong is quarantined alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::alias::Aliases;
use crate::condition::{Condition, Origin};
use crate::document::{self, Data, Node, Position};
use crate::embedded;
use crate::fields::{Fields, Problem, text};
use crate::lint_action::{self, Chosen};
use crate::lint_condition;
use crate::model::{DEFAULT_COOLDOWN_SECONDS, Rule, Severity, Source};
use crate::quarantine::{Quarantined, Warning};
use crate::runbook::DataError;
use crate::suggest;
use crate::vocabulary::Vocabulary;

/// The version of the rule format, for files that state theirs.
pub const SCHEMA_VERSION: u32 = 1;

/// `source` is accepted because promoted rules carry it, and not used: the folder decides.
const RULE_FIELDS: [&str; 12] = [
    "id",
    "name",
    "description",
    "conditions",
    "action",
    "action_params",
    "hipaa_controls",
    "severity_filter",
    "priority",
    "cooldown_seconds",
    "enabled",
    "source",
];

const MAX_ID_BYTES: usize = 128;

/// What became of the rules of a text.
#[derive(Debug, Clone, Default)]
pub struct LintReport {
    /// The sound ones, in the order of the text; also those that are not enabled.
    pub rules: Vec<Rule>,
    /// What did not load.
    pub quarantined: Vec<Quarantined>,
    /// What loaded with a word of caution.
    pub warnings: Vec<Warning>,
    /// The built-in rules that this text switches off.
    pub switched_off: Vec<SwitchedOff>,
}

/// A built-in rule that a custom file switches off with `enabled: false` under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwitchedOff {
    /// The built-in rule.
    pub rule_id: String,
    /// The custom file.
    pub file: String,
    /// Line of the entry, from 1.
    pub line: u64,
    /// Column of the entry, from 1.
    pub column: u64,
}

impl LintReport {
    fn broken(file: &str, problem: Problem) -> Self {
        Self { quarantined: vec![Quarantined::file(file, problem)], ..Self::default() }
    }

    /// The first rule of an id stays; the others are quarantined.
    pub(crate) fn quarantine_duplicates(&mut self) {
        let mut first: BTreeMap<String, (String, Position)> = BTreeMap::new();
        let mut kept = Vec::with_capacity(self.rules.len());
        for rule in std::mem::take(&mut self.rules) {
            if let Some((file, at)) = first.get(&rule.id) {
                let message = format!("the id is taken by {file}:{}:{}", at.line, at.column);
                let problem = Problem::new(rule.id_at, "id", message);
                self.quarantined.push(Quarantined::rule(&rule.file, Some(&rule.id), problem));
            } else {
                first.insert(rule.id.clone(), (rule.file.clone(), rule.at));
                kept.push(rule);
            }
        }
        self.rules = kept;
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.rules.append(&mut other.rules);
        self.quarantined.append(&mut other.quarantined);
        self.warnings.append(&mut other.warnings);
        self.switched_off.append(&mut other.switched_off);
    }
}

/// Lints a YAML or JSON text against what the program ships, as a load of this one file would.
///
/// `name` is the file name to report. Everything that is wrong with the text is in the report.
///
/// # Errors
/// [`DataError`] when the program itself was built from unsound data.
pub fn lint_text(name: &str, text: &str, source: Source) -> Result<LintReport, DataError> {
    alone(name, source, |linter| linter.text(text))
}

/// Lints one rule, or `{rules: [...]}`, held as JSON. Positions are 0:0; `field` says where.
///
/// # Errors
/// [`DataError`] when the program itself was built from unsound data.
pub fn lint_rule_value(value: &Value, source: Source) -> Result<LintReport, DataError> {
    alone("rule", source, |linter| linter.document(&Node::from_value(value)))
}

fn alone(file: &str, source: Source, lint: impl Fn(&Linter<'_>) -> LintReport) -> Result<LintReport, DataError> {
    let vocabulary = Vocabulary::builtin()?;
    let builtin = match source {
        Source::Baseline => BTreeSet::new(),
        Source::Custom | Source::Synced | Source::Promoted => builtin_ids(&vocabulary),
    };
    let mut report = lint(&Linter { vocabulary: &vocabulary, builtin: &builtin, source, file });
    report.quarantine_duplicates();
    let loaded = report.rules.len();
    report.quarantined.iter_mut().for_each(|entry| entry.others_loaded = loaded);
    Ok(report)
}

fn builtin_ids(vocabulary: &Vocabulary) -> BTreeSet<String> {
    let none = BTreeSet::new();
    let texts = embedded::L1.iter();
    texts
        .flat_map(|(file, text)| Linter { vocabulary, builtin: &none, source: Source::Baseline, file }.text(text).rules)
        .map(|rule| rule.id)
        .collect()
}

/// Reads the rules of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linter<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    /// The ids of the built-in rules, which no other source may use.
    pub(crate) builtin: &'a BTreeSet<String>,
    pub(crate) source: Source,
    pub(crate) file: &'a str,
}

impl Linter<'_> {
    pub(crate) fn text(&self, text: &str) -> LintReport {
        match document::parse(text) {
            Ok(root) => self.document(&root),
            Err(malformed) => LintReport::broken(self.file, Problem::new(malformed.at, "", malformed.message)),
        }
    }

    /// `rules:` with a list, a bare list, or a single rule. A file without content holds no rules.
    fn document(&self, root: &Node) -> LintReport {
        let rules = match &root.data {
            Data::Null => return LintReport::default(),
            Data::List(rules) => rules.as_slice(),
            Data::Map(_) if ["id", "conditions", "action"].iter().any(|key| root.get(key).is_some()) => {
                std::slice::from_ref(root)
            }
            _ => match list_of_rules(root) {
                Ok(rules) => rules,
                Err(problem) => return LintReport::broken(self.file, problem),
            },
        };
        let mut report = LintReport::default();
        for node in rules {
            self.rule_into(node, &mut report);
        }
        report
    }

    fn rule_into(&self, node: &Node, report: &mut LintReport) {
        let id = node.get("id").and_then(|id| text(id, "id").ok());
        let off = node.get("enabled").is_some_and(|enabled| enabled.data == Data::Bool(false));
        if let Some(id) = id.filter(|id| self.builtin.contains(*id)) {
            if off && self.source == Source::Custom {
                let (rule_id, file, Position { line, column }) = (id.to_owned(), self.file.to_owned(), node.at);
                report.switched_off.push(SwitchedOff { rule_id, file, line, column });
            } else {
                report.quarantined.push(Quarantined::rule(self.file, Some(id), self.builtin_id(node)));
            }
            return;
        }
        match self.rule(node) {
            Ok((rule, remarks)) => {
                let warn = |(at, message)| Warning::new(self.file, Some(&rule.id), at, message);
                report.warnings.extend(remarks.into_iter().map(warn));
                report.rules.push(rule);
            }
            Err(problem) => report.quarantined.push(Quarantined::rule(self.file, id, problem)),
        }
    }

    fn builtin_id(&self, node: &Node) -> Problem {
        let message = if self.source == Source::Custom {
            "the id belongs to a built-in rule: under it only `enabled: false` may stand, to switch that rule off; \
             give this rule an id of its own"
        } else {
            "the id belongs to a built-in rule, which only a file in the custom folder can switch off; \
             give this rule an id of its own"
        };
        let at = node.get("id").map_or(node.at, |id| id.at);
        Problem::new(at, "id", message)
    }

    fn rule(&self, node: &Node) -> Result<(Rule, Vec<(Position, String)>), Problem> {
        let fields = Fields::of(node, "", "a rule")?;
        let id = rule_id(&fields)?;
        fields.only(&RULE_FIELDS)?;
        let enabled = fields.flag("enabled")?.unwrap_or(true);
        if !enabled && fields.get("conditions").is_none() && fields.get("action").is_none() {
            let suggestion = suggest::did_you_mean(id, self.builtin.iter().map(String::as_str));
            let message = "there is no built-in rule of this id to switch off";
            return Err(Problem::new(fields.required("id")?.at, "id", message).suggesting(suggestion));
        }
        let name = fields.text("name")?.unwrap_or(id);
        let description = fields.text("description")?.unwrap_or_default();
        let mut conditions = lint_condition::conditions(&fields)?;
        let title = if description.is_empty() { name } else { description };
        let Chosen { action, platform, mut remarks } =
            lint_action::action(&fields, title, &conditions, self.vocabulary)?;
        remarks.extend(unknown_checks(&fields, &conditions, &self.vocabulary.aliases));
        if let Some(filter) = severity_filter(&fields)? {
            conditions.push(filter);
        }
        conditions.extend(platform.map(lint_condition::on_platform));
        fields.text("source")?;
        let mut hipaa_controls = Vec::new();
        for (path, control) in fields.list("hipaa_controls")?.unwrap_or_default() {
            hipaa_controls.push(text(control, &path)?.to_owned());
        }
        let rule = Rule {
            id: id.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            conditions,
            action,
            hipaa_controls,
            priority: fields.whole_number("priority")?.unwrap_or(self.source.default_priority()),
            cooldown_seconds: fields.whole_number("cooldown_seconds")?.unwrap_or(DEFAULT_COOLDOWN_SECONDS),
            enabled,
            source: self.source,
            file: self.file.to_owned(),
            at: node.at,
            id_at: fields.required("id")?.at,
        };
        Ok((rule, remarks))
    }
}

fn list_of_rules(root: &Node) -> Result<&[Node], Problem> {
    let fields = Fields::of(root, "", "a rule file")?;
    fields.only(&["rules", "schema_version"])?;
    if let Some(version) = fields.whole_number("schema_version")?
        && version != SCHEMA_VERSION
    {
        let at = fields.required("schema_version")?.at;
        let message = format!("schema_version {version} is not {SCHEMA_VERSION}, the one this version reads");
        return Err(Problem::new(at, "schema_version", message));
    }
    match fields.get("rules").map(|rules| (rules, &rules.data)) {
        None => Ok(&[]),
        Some((_, Data::List(rules))) => Ok(rules),
        Some((node, _)) => Err(Problem::new(node.at, "rules", format!("rules must be a list, not {}", node.kind()))),
    }
}

fn rule_id<'a>(fields: &Fields<'a>) -> Result<&'a str, Problem> {
    let node = fields.required("id")?;
    let id = text(node, "id")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if id.len() > MAX_ID_BYTES || !id.bytes().all(plain) {
        let message = format!("the id may have up to {MAX_ID_BYTES} letters, digits, dots, colons, '_' and '-'");
        return Err(Problem::new(node.at, "id", message));
    }
    Ok(id)
}

fn severity_filter(fields: &Fields<'_>) -> Result<Option<Condition>, Problem> {
    let Some(listed) = fields.list("severity_filter")? else { return Ok(None) };
    let mut severities = Vec::new();
    for (path, node) in listed {
        let name = text(node, &path)?;
        let severity = Severity::parse(name).ok_or_else(|| {
            let known = Severity::ALL.map(Severity::as_str);
            Problem::new(node.at, path, format!("unknown severity {name:?}"))
                .suggesting(suggest::did_you_mean(name, known))
        })?;
        severities.push(severity.as_str());
    }
    if severities.is_empty() {
        let at = fields.required("severity_filter")?.at;
        return Err(Problem::new(at, "severity_filter", "severity_filter lists no severity, so nothing would match"));
    }
    Ok(Some(lint_condition::one_of("severity", &severities, Origin::SeverityFilter)))
}

/// A check type that no table knows is no error, since a site may have checks of its own; a slip it may be.
fn unknown_checks(fields: &Fields<'_>, conditions: &[Condition], aliases: &Aliases) -> Vec<(Position, String)> {
    let mut remarks = Vec::new();
    let at = fields.get("conditions").map_or(fields.at, |node| node.at);
    for name in conditions.iter().filter(|one| one.field.as_str() == "check_type").filter_map(Condition::admitted) {
        for name in name.into_iter().filter(|name| aliases.check_types().all(|known| known != *name)) {
            let meant = suggest::did_you_mean(name, aliases.check_types());
            let meant = meant.map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default();
            remarks.push((at, format!("no built-in check is called {name:?}{meant}")));
        }
    }
    remarks
}
