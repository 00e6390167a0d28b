//! `list`: what was reported, from the same database that the server writes.

use super::{Dir, print_json, table};
use crate::store::{Store, begun_anew};
use clap::{Args, ValueEnum};
use msp_contracts::api::AgentReport;
use serde::Serialize;
use std::io::Write;

const EXAMPLE: &str = "\
Example:
  msp-central list appliances --dir /var/lib/msp-central
  msp-central list incidents --dir /var/lib/msp-central --site clinic-a
  msp-central list evidence  --dir /var/lib/msp-central --json

With --json: sites is {sites, appliances}; evidence is {chains, bundles, suspicious}; \
appliances is a list with each last check-in; the others are a list of the records as they were reported, with appliance and received_at.";

/// What to list.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum What {
    /// Sites and appliances, with their last contact
    Sites,
    /// Appliances, and how their agents stand
    Appliances,
    /// Incidents, open ones first
    Incidents,
    /// What was carried out or refused
    Executions,
    /// Evidence: chains, bundles, and what contradicted a chain
    Evidence,
    /// Tickets for people
    Escalations,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// What to list
    #[arg(value_enum)]
    what: What,
    #[command(flatten)]
    dir: Dir,
    /// Of this site only
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Show at most this many records, the newest
    #[arg(long, value_name = "N", default_value_t = u32::MAX, hide_default_value = true)]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = arguments.dir.store().await?;
    if let Some(site) = &arguments.site {
        super::Site { site: site.clone() }.registered(&store).await?;
    }
    let listing =
        Listing { store: &store, site: arguments.site.as_deref(), limit: arguments.limit, json: arguments.json };
    match arguments.what {
        What::Sites => listing.sites(out).await?,
        What::Appliances => listing.appliances(out).await?,
        What::Incidents => listing.incidents(out).await?,
        What::Executions => listing.executions(out).await?,
        What::Evidence => listing.evidence(out).await?,
        What::Escalations => listing.escalations(out).await?,
    }
    store.close().await;
    Ok(())
}

struct Listing<'a> {
    store: &'a Store,
    site: Option<&'a str>,
    limit: u32,
    json: bool,
}

impl Listing<'_> {
    async fn sites(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let (sites, appliances) = (self.store.sites(self.site).await?, self.store.appliances(self.site).await?);
        if self.json {
            return print_json(out, &serde_json::json!({ "sites": sites, "appliances": appliances }));
        }
        let rows: Vec<Vec<String>> = appliances
            .into_iter()
            .map(|row| {
                let (name, version) = row.checkin.map(|c| (c.hostname, c.agent_version)).unwrap_or_default();
                let contact = row.last_contact.unwrap_or_else(|| "never".to_owned());
                vec![row.site_id, row.appliance, contact, name, version]
            })
            .collect();
        table::print(
            out,
            &["Site", "Appliance", "Last contact", "Host name", "Agent"],
            &rows,
            "No appliance yet: `msp-central issue` registers one.",
        )
    }

    async fn appliances(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let appliances = self.store.appliances(self.site).await?;
        if self.json {
            return print_json(out, &appliances);
        }
        let rows: Vec<Vec<String>> = appliances
            .into_iter()
            .map(|row| {
                let contact = row.last_contact.unwrap_or_else(|| "never".to_owned());
                let version = row.checkin.as_ref().map(|checkin| checkin.agent_version.clone()).unwrap_or_default();
                let mut cells = vec![format!("{}/{}", row.site_id, row.appliance), contact, version];
                match row.checkin.and_then(|checkin| checkin.agent) {
                    None => cells.extend(vec![String::new(); 4]),
                    Some(report) => cells.extend([
                        standing(&report).to_owned(),
                        report.rules_loaded.to_string(),
                        report.quarantined.len().to_string(),
                        format!("{} / {}", report.outbox_pending, report.outbox_rejected),
                    ]),
                }
                cells
            })
            .collect();
        let heads =
            ["Appliance", "Last contact", "Agent", "Heals", "Rules", "Quarantined", "Outbox pending / rejected"];
        table::print(out, &heads, &rows, "No appliance yet: `msp-central issue` registers one.")
    }

    async fn incidents(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let incidents = self.store.incidents(self.site, self.limit).await?;
        if self.json {
            return print_json(out, &incidents);
        }
        let rows: Vec<Vec<String>> = incidents
            .into_iter()
            .map(|row| {
                let state = if row.resolution.is_some() { "resolved" } else { "open" };
                let incident = row.incident;
                vec![
                    state.to_owned(),
                    incident.incident_id.to_string(),
                    incident.severity.as_str().to_owned(),
                    incident.incident_type,
                    format!("{} ({})", incident.host_name, incident.host_id),
                    format!("{}/{}", incident.site_id, row.appliance),
                    format!("{:.0}", incident.created_at),
                ]
            })
            .collect();
        let heads = ["State", "Incident", "Severity", "Check", "Machine", "Reported by", "First seen"];
        table::print(out, &heads, &rows, "No incident was reported.")
    }

    async fn executions(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let executions = self.store.executions(self.site, self.limit).await?;
        if self.json {
            return print_json(out, &executions);
        }
        let rows: Vec<Vec<String>> = executions
            .into_iter()
            .map(|row| {
                let execution = row.execution;
                vec![
                    execution.detail.to_string(),
                    execution.runbook_id.unwrap_or_default(),
                    execution.rule_id.unwrap_or_default(),
                    execution.host_id,
                    format!("{}/{}", execution.site_id, row.appliance),
                    format!("{:.0}", execution.started_at),
                    execution.evidence_id.to_string(),
                ]
            })
            .collect();
        let heads = ["Outcome", "Runbook", "Rule", "Machine", "Reported by", "Began", "Evidence"];
        table::print(out, &heads, &rows, "Nothing was carried out yet.")
    }

    async fn evidence(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let chains = self.store.chains(self.site).await?;
        let bundles = self.store.bundles(self.site, self.limit).await?;
        let suspicious = self.store.suspicious(self.site, self.limit).await?;
        if self.json {
            #[derive(Serialize)]
            struct Evidence<C, B, S> {
                chains: C,
                bundles: B,
                suspicious: S,
            }
            return print_json(out, &Evidence { chains, bundles, suspicious });
        }
        let rows: Vec<Vec<String>> = chains
            .iter()
            .map(|row| {
                let numbers = [row.bundles, row.head_sequence, row.gaps, row.forks, row.broken];
                [
                    format!("{}/{}", row.site_id, row.appliance),
                    row.chain.clone().unwrap_or_else(|| "none yet".to_owned()),
                    row.first_received.clone().unwrap_or_default(),
                ]
                .into_iter()
                .chain(numbers.iter().map(i64::to_string))
                .collect()
            })
            .collect();
        table::print(
            out,
            &["Appliance", "Chain", "First received", "Bundles", "Head", "Gaps", "Forks", "Broken links"],
            &rows,
            "No appliance yet.",
        )?;
        for (before, new) in begun_anew(&chains) {
            let began = new.first_received.as_deref().unwrap_or_default();
            let (site, appliance, end) = (&new.site_id, &new.appliance, before.head_sequence);
            writeln!(out, "{site}/{appliance}: a new chain began at {began}; the one before ended at {end}.")?;
        }
        let rows: Vec<Vec<String>> = suspicious
            .into_iter()
            .map(|row| {
                vec![
                    row.reason,
                    row.bundle_id,
                    format!("{}/{}", row.site_id, row.appliance),
                    row.chain,
                    row.explanation,
                    row.received_at,
                ]
            })
            .collect();
        table::print(
            out,
            &["Suspicious", "Bundle", "Appliance", "Chain", "What contradicts", "Received"],
            &rows,
            "Nothing contradicts a chain.",
        )?;
        let rows: Vec<Vec<String>> = bundles
            .into_iter()
            .map(|row| {
                let check = row.bundle.map(|bundle| bundle.check).unwrap_or_default();
                vec![
                    row.sequence.to_string(),
                    row.bundle_id,
                    format!("{}/{}", row.site_id, row.appliance),
                    row.chain,
                    check,
                    row.received_at,
                ]
            })
            .collect();
        table::print(
            out,
            &["Place", "Bundle", "Appliance", "Chain", "Check", "Received"],
            &rows,
            "No evidence was received yet.",
        )
    }

    async fn escalations(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let escalations = self.store.escalations(self.site, self.limit).await?;
        if self.json {
            return print_json(out, &escalations);
        }
        let rows: Vec<Vec<String>> = escalations
            .into_iter()
            .map(|row| {
                let ticket = row.escalation;
                vec![
                    ticket.urgency.as_str().to_owned(),
                    ticket.ticket_id,
                    ticket.summary,
                    format!("{} ({})", ticket.host_name, ticket.host_id),
                    format!("{}/{}", ticket.site_id, row.appliance),
                    format!("{:.0}", ticket.created_at),
                ]
            })
            .collect();
        table::print(
            out,
            &["Urgency", "Ticket", "Summary", "Machine", "Raised by", "Raised"],
            &rows,
            "No ticket was raised.",
        )
    }
}

/// Whether an agent changes anything, in a word.
fn standing(report: &AgentReport) -> &'static str {
    match (report.kill_switch, report.dry_run) {
        (true, _) => "STOPPED (kill switch)",
        (false, true) => "dry run",
        (false, false) => "yes",
    }
}
