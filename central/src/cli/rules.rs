//! `rules`: the level 1 rules that Central Command serves.
//!
//! They are linted with the agent's own code, as rules that come from a server, before they are stored:
//! what an agent would quarantine never gets in, and one bad rule keeps the whole import out.

use super::site::Tier;
use super::{Dir, Refused, Site, print_json, table};
use crate::clock;
use crate::directory;
use clap::Subcommand;
use msp_contracts::canonical;
use msp_rules::{LintReport, Source, lint_rule_value, lint_text};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "\
Example:
  msp-central rules import --dir /var/lib/msp-central --site clinic-a \\
    rules/*.yaml
  msp-central rules list --dir /var/lib/msp-central --site clinic-a";

const IMPORT_EXAMPLE: &str = "\
Example:
  msp-central rules import --dir /var/lib/msp-central --site clinic-a \\
    rules/*.yaml
  msp-central rules import --dir /var/lib/msp-central --site clinic-a \\
    --tier full_coverage more/*.yaml

The rules of the files replace the site's rules of that tier; a rule that is in none of them is withdrawn. \
A site of tier full_coverage gets both tiers (`msp-central site tier`). \
When a rule would be quarantined by an agent, nothing is imported, and each reason is printed as \
FILE:LINE:COLUMN.";

/// `rules ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// Replace the rules of a site by those of files
    #[command(after_help = IMPORT_EXAMPLE)]
    Import {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        site: Site,
        /// Which sites' share the rules belong to
        #[arg(long, value_name = "TIER", default_value = "standard")]
        tier: Tier,
        /// Rule files, YAML or JSON
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// List the rules of a site, or of all
    #[command(after_help = "Example:\n  msp-central rules list --dir /var/lib/msp-central --site clinic-a")]
    List {
        #[command(flatten)]
        dir: Dir,
        /// Of this site only
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// As JSON, with each whole rule
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Import { dir, site, tier, files } => import(dir, site, *tier, files, out).await,
        Command::List { dir, site, json } => list(dir, site.as_deref(), *json, out).await,
    }
}

async fn import(dir: &Dir, site: &Site, tier: Tier, files: &[PathBuf], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut read = Read::default();
    for file in files {
        read.file(file)?;
    }
    if !read.quarantined.is_empty() {
        let count = read.quarantined.len();
        let reasons = read.quarantined.join("\n  ");
        return Err(
            Refused(format!("nothing was imported, an agent would not load this ({count}):\n  {reasons}")).into()
        );
    }
    let store = dir.store().await?;
    let site = site.registered(&store).await?;
    let taken = store.import_rules(site, tier.into(), &read.rules, clock::now()).await?;
    store.close().await;
    if !taken.is_empty() {
        let text = format!(
            "nothing was imported: the other tier of {site} holds {} already (give the rule a new id, or import the other tier without it)",
            taken.join(", ")
        );
        return Err(Refused(text).into());
    }
    for warning in &read.warnings {
        writeln!(out, "{warning}")?;
    }
    writeln!(out, "{site} has {} rules in this tier; its appliances get them at their next sync.", read.rules.len())?;
    Ok(())
}

/// What the files hold.
#[derive(Default)]
struct Read {
    rules: Vec<(String, Value)>,
    from: HashMap<String, String>,
    warnings: Vec<String>,
    quarantined: Vec<String>,
}

impl Read {
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let (name, text) = (path.display().to_string(), directory::read_text(path)?);
        let report = lint_text(&name, &text, Source::Synced)?;
        self.warnings.extend(report.warnings.iter().map(ToString::to_string));
        if self.note(&report) {
            return Ok(());
        }
        let refused = |reason: String| Refused(format!("{name}: {reason}"));
        for rule in entries(&text).map_err(refused)? {
            let id = rule.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            // An agent is sent the value, not the text: it must be sound too, and have one canonical form.
            if self.note(&lint_rule_value(&rule, Source::Synced)?) {
                continue;
            }
            canonical::to_bytes("a rule", &rule).map_err(|error| refused(format!("rule {id}: {error}")))?;
            if let Some(first) = self.from.insert(id.clone(), name.clone()) {
                return Err(refused(format!("rule {id} stands in {first} too")).into());
            }
            self.rules.push((id, rule));
        }
        Ok(())
    }

    /// Keeps what was quarantined; whether there was something.
    fn note(&mut self, report: &LintReport) -> bool {
        self.quarantined.extend(report.quarantined.iter().map(ToString::to_string));
        !report.quarantined.is_empty()
    }
}

/// The rules of a text that was linted: a list, `{rules: [...]}`, or one rule.
fn entries(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(rules) => Ok(rules),
        Value::Object(mut map) => match map.remove("rules") {
            Some(Value::Array(rules)) => Ok(rules),
            Some(Value::Null) => Ok(Vec::new()),
            Some(_) => Err("rules is no list".to_owned()),
            None => Ok(vec![Value::Object(map)]),
        },
        _ => Err("neither a list of rules nor a map".to_owned()),
    }
}

async fn list(dir: &Dir, site: Option<&str>, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = dir.store().await?;
    if let Some(site) = site {
        Site { site: site.to_owned() }.registered(&store).await?;
    }
    let rules = store.rules(site).await?;
    store.close().await;
    if json {
        return print_json(out, &rules);
    }
    let field = |rule: &Value, name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = rules
        .into_iter()
        .map(|row| {
            let tier = serde_json::to_value(row.tier).ok();
            let tier = tier.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
            let (name, action) = (field(&row.rule, "name"), field(&row.rule, "action"));
            vec![row.site_id, row.rule_id, tier, name, action]
        })
        .collect();
    table::print(
        out,
        &["Site", "Rule", "Tier", "Name", "Action"],
        &rows,
        "No rule yet: `msp-central rules import` brings some.",
    )
}
