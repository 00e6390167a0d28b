//! What the checks saw, for people (a table, and below it why and what to do) and for scripts (one JSON document).

use crate::model::Observation;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::finding::{CheckStatus, Platform};
use msp_contracts::hipaa;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The width of a table that is written to a file or a pipe, in columns.
const PIPE_WIDTH: u16 = 120;

/// Narrower than this the five columns hold no word any more.
const LEAST_WIDTH: u16 = 72;

/// All that was seen of a machine.
pub(super) struct Report<'a> {
    pub observations: &'a [Observation],
    pub host: String,
    pub platform: Platform,
    /// Where the baseline is from.
    pub baseline: &'a str,
}

/// Where a table is shown.
pub(super) struct Screen {
    width: u16,
    colour: bool,
}

impl Screen {
    /// What standard output is: a terminal's width and, unless NO_COLOR is set, its colours.
    pub(super) fn of_stdout() -> Self {
        let stdout = io::stdout();
        let width = Table::new().set_content_arrangement(ContentArrangement::Dynamic).width().unwrap_or(PIPE_WIDTH);
        let colour = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        Self { width: width.max(LEAST_WIDTH), colour }
    }
}

impl Report<'_> {
    /// One document with every observation and the paragraphs that each check supports.
    pub(super) fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut checks = Vec::with_capacity(self.observations.len());
        for observation in self.observations {
            let mut check = serde_json::to_value(observation)?;
            check["hipaa_controls"] = hipaa::paragraphs(observation.check.as_str()).into();
            for absent in ["reason", "recommended_action"] {
                if check.get(absent).is_none() {
                    check[absent] = Value::Null;
                }
            }
            checks.push(check);
        }
        let document = json!({
            "schema_version": SCHEMA_VERSION,
            "host": self.host,
            "platform": self.platform,
            "baseline": self.baseline,
            "checks": checks,
        });
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)
    }

    /// A table, and below it what differs or could not be told, and what to do about it.
    pub(super) fn table(&self, out: &mut dyn Write, screen: &Screen) -> io::Result<()> {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(screen.width)
            .set_header(
                ["CHECK", "STATUS", "ACTUAL", "DESIRED", "SUPPORTS (45 CFR)"].map(|title| self.bold(title, screen)),
            );
        if screen.colour {
            table.enforce_styling();
        }
        for observation in self.observations {
            let paragraphs = hipaa::paragraphs(observation.check.as_str()).join("\n");
            table.add_row([
                self.bold(&named(observation), screen),
                status(observation.status, screen),
                Cell::new(words(&observation.actual)),
                Cell::new(words(&observation.desired)),
                Cell::new(if paragraphs.is_empty() { "-" } else { &paragraphs }),
            ]);
        }
        // Names and paragraphs are not broken; what was seen and wanted takes the room that is left.
        for column in [0, 1, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        writeln!(out, "{table}")?;
        self.cures(out)?;
        writeln!(out, "{} ({}), baseline: {}; {}", self.host, self.platform.as_str(), self.baseline, self.summary())
    }

    fn bold(&self, text: &str, screen: &Screen) -> Cell {
        let cell = Cell::new(text);
        if screen.colour { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    fn cures(&self, out: &mut dyn Write) -> io::Result<()> {
        for observation in self.observations {
            let lines: Vec<&String> = observation.diff.iter().chain(&observation.reason).collect();
            if lines.is_empty() && observation.recommended_action.is_none() {
                continue;
            }
            writeln!(
                out,
                "\n{} is {} (severity: {})",
                named(observation),
                observation.status,
                observation.severity.as_str()
            )?;
            for line in lines {
                writeln!(out, "  - {line}")?;
            }
            if let Some(action) = &observation.recommended_action {
                writeln!(out, "  what to do: {action}")?;
            }
        }
        writeln!(out)
    }

    fn summary(&self) -> String {
        let statuses = [
            CheckStatus::Compliant,
            CheckStatus::Drift,
            CheckStatus::Pending,
            CheckStatus::Unknown,
            CheckStatus::Unsupported,
        ];
        let count = |status| self.observations.iter().filter(|observation| observation.status == status).count();
        let counted: Vec<String> = statuses
            .into_iter()
            .map(|status| (count(status), status))
            .filter(|(count, _)| *count > 0)
            .map(|(count, status)| format!("{count} {status}"))
            .collect();
        counted.join(", ")
    }
}

/// The check, and the part of it that was looked at.
fn named(observation: &Observation) -> String {
    match &observation.subject {
        Some(part) => format!("{}/{part}", observation.check),
        None => observation.check.to_string(),
    }
}

fn status(status: CheckStatus, screen: &Screen) -> Cell {
    let cell = Cell::new(status.as_str());
    if !screen.colour {
        return cell;
    }
    let colour = match status {
        CheckStatus::Compliant => Color::Green,
        CheckStatus::Drift => Color::Red,
        CheckStatus::Pending | CheckStatus::Unknown => Color::Yellow,
        CheckStatus::Unsupported => Color::DarkGrey,
    };
    cell.fg(colour)
}

/// A value as a person would write it: `name: value`, one a line.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Object(fields) => {
            let lines: Vec<String> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{}: {}", name.replace('_', " "), inline(value)))
                .collect();
            if lines.is_empty() { "-".to_owned() } else { lines.join("\n") }
        }
        value => inline(value),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), inline(value))).collect();
            parts.join(", ")
        }
        value => value.to_string(),
    }
}
