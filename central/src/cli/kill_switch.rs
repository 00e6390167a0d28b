//! `kill-switch`: stop every change of a site or of one appliance, and allow them again.

use super::{Dir, Site, asker, person, print_json, table};
use crate::clock;
use crate::kill_switch;
use crate::signing::Signer;
use crate::store::{Action, Change, Entry, KillSwitchRow, Store, StoreError};
use clap::{Args, Subcommand};
use std::io::Write;

const EXAMPLE: &str = "\
Example: a new rule does harm in clinic-a.
  msp-central kill-switch engage --dir /var/lib/msp-central clinic-a \\
    --reason 'rule L1-WIN-SVC-007 restarts the wrong service'
  msp-central kill-switch show --dir /var/lib/msp-central clinic-a
  msp-central kill-switch release --dir /var/lib/msp-central clinic-a \\
    --reason 'rule withdrawn'

A stopped appliance goes on looking, reporting and proving; it changes nothing. Each appliance learns of \
it at its next check-in, within a minute by default. The release is a signed order to each appliance that \
reports itself stopped; one that was away gets it when it is back.";

/// A change of a switch.
#[derive(Debug, Args)]
pub(super) struct Asked {
    #[command(flatten)]
    dir: Dir,
    /// The site's id
    #[arg(value_name = "SITE")]
    site: String,
    /// Only this appliance of the site
    #[arg(long, value_name = "APPLIANCE")]
    appliance: Option<String>,
    /// Why; it is shown to people and goes into evidence
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    by: asker::By,
}

/// `kill-switch ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// Stop every change
    #[command(after_help = EXAMPLE)]
    Engage(Asked),
    /// Allow changes again
    #[command(after_help = EXAMPLE)]
    Release(Asked),
    /// Show how the switches stand, and their changes
    #[command(after_help = "Example:\n  msp-central kill-switch show --dir /var/lib/msp-central clinic-a --json")]
    Show {
        #[command(flatten)]
        dir: Dir,
        /// The site's id; every site when left out
        #[arg(value_name = "SITE")]
        site: Option<String>,
        /// As JSON: {switches, changes}
        #[arg(long)]
        json: bool,
    },
}

impl Asked {
    async fn store(&self) -> anyhow::Result<Store> {
        let store = self.dir.store().await?;
        Site { site: self.site.clone() }.registered(&store).await?;
        Ok(store)
    }

    fn change(&self) -> Change<'_> {
        Change { site: &self.site, appliance: self.appliance.as_deref(), reason: &self.reason, by: self.by.name() }
    }

    async fn audit(&self, store: &Store, action: Action) -> Result<(), StoreError> {
        let (actor, subject) = (person::actor(&self.by), self.whom());
        store.audit(&Entry { actor: &actor, action, subject: &subject, done: true, reason: &self.reason }).await
    }

    fn whom(&self) -> String {
        match &self.appliance {
            Some(appliance) => format!("{}/{appliance}", self.site),
            None => self.site.clone(),
        }
    }
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Engage(asked) => {
            let store = asked.store().await?;
            kill_switch::engage(&store, asked.change(), clock::now()).await?;
            asked.audit(&store, Action::EngageKillSwitch).await?;
            store.close().await;
            let whom = asked.whom();
            writeln!(out, "The kill switch of {whom} is engaged: told at each next check-in, until it is released.")?;
            Ok(())
        }
        Command::Release(asked) => release(asked, out).await,
        Command::Show { dir, site, json } => show(dir, site.as_deref(), *json, out).await,
    }
}

async fn release(asked: &Asked, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = asked.store().await?;
    let signer = Signer::load(&asked.dir.directory())?;
    let issued = kill_switch::disengage(&store, &signer, asked.change(), clock::now()).await?;
    asked.audit(&store, Action::ReleaseKillSwitch).await?;
    let switches = store.kill_switches(Some(&asked.site)).await?;
    store.close().await;
    writeln!(out, "The kill switch of {} is released.", asked.whom())?;
    for row in &issued {
        let order = &row.order;
        writeln!(out, "  {} to {}, which reports itself stopped", order.order_id, order.stamp.appliance)?;
    }
    writeln!(out, "An appliance that is away gets its release when it is back and reports itself stopped.")?;
    for row in switches.iter().filter(|row| row.engaged) {
        writeln!(out, "Still engaged: {}, since {}: {}", name(row), row.changed_at, table::printable(&row.reason))?;
    }
    Ok(())
}

fn name(row: &KillSwitchRow) -> String {
    match &row.appliance {
        Some(appliance) => format!("{}/{appliance}", row.site_id),
        None => format!("{} (whole site)", row.site_id),
    }
}

async fn show(dir: &Dir, site: Option<&str>, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = dir.store().await?;
    if let Some(site) = site {
        Site { site: site.to_owned() }.registered(&store).await?;
    }
    let (switches, changes) = (store.kill_switches(site).await?, store.kill_switch_changes(site, u32::MAX).await?);
    store.close().await;
    if json {
        return print_json(out, &serde_json::json!({ "switches": switches, "changes": changes }));
    }
    let rows = |rows: &[KillSwitchRow]| -> Vec<Vec<String>> {
        let state = |engaged| if engaged { "ENGAGED" } else { "released" }.to_owned();
        rows.iter()
            .map(|row| {
                let (by, at) = (row.changed_by.clone(), row.changed_at.clone());
                vec![name(row), state(row.engaged), row.reason.clone(), by, at]
            })
            .collect()
    };
    table::print(
        out,
        &["Now", "State", "Reason", "By", "Since"],
        &rows(&switches),
        "No kill switch was ever engaged here.",
    )?;
    if changes.len() > switches.len() {
        table::print(out, &["Before and now", "State", "Reason", "By", "When"], &rows(&changes), "")?;
    }
    Ok(())
}
