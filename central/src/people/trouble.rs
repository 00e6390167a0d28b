//! What is wrong now, in the fleet or at one site: one list, the worst first, made of everything that is known.

use super::People;
use super::words::{Kind, check_name, count, is_silent};
use crate::store::{ApplianceRow, ChainState, EscalationRow, ExecutionRow, IncidentRow, StoreError, begun_anew};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::api::Incident;
use msp_contracts::finding::Severity;
use serde_json::Value;

/// How many incidents are looked at; the open ones come first.
const INCIDENTS: u32 = 500;
/// For how long a chain that began anew is news.
const NEW_CHAIN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) site: String,
    /// Of an incident.
    pub(super) severity: Option<Severity>,
    pub(super) title: String,
    /// Why, and what happens about it.
    pub(super) text: String,
    /// Where more is told.
    pub(super) path: String,
    pub(super) since: Option<Timestamp>,
    /// Whether somebody was asked.
    pub(super) needs_a_person: bool,
}

/// What is known, and what is wrong with it.
pub(super) struct Known {
    pub(super) now: Timestamp,
    pub(super) appliances: Vec<ApplianceRow>,
    pub(super) incidents: Vec<IncidentRow>,
    pub(super) chains: Vec<ChainState>,
    pub(super) troubles: Vec<Trouble>,
}

/// The part of a check that an incident is about.
pub(super) fn part(incident: &Incident) -> Option<&str> {
    incident.raw_data.get("subject")?.as_str().filter(|part| !part.is_empty())
}

/// What an incident is about, in a few words.
pub(super) fn title(incident: &Incident) -> String {
    let check = check_name(&incident.incident_type);
    let machine = if incident.host_name.is_empty() { &incident.host_id } else { &incident.host_name };
    match part(incident) {
        Some(part) => format!("{check}: {part} on {machine}"),
        None => format!("{check} on {machine}"),
    }
}

/// What differs, or why that could not be told.
pub(super) fn diff(finding: &Value) -> Vec<String> {
    let lines = finding.get("diff").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut lines: Vec<String> = lines.map(ToOwned::to_owned).collect();
    lines.extend(finding.pointer("/details/reason").and_then(Value::as_str).map(ToOwned::to_owned));
    lines
}

/// The page of an incident.
pub(super) fn incident_path(row: &IncidentRow) -> String {
    format!("/incidents/{}/{}/{}", row.incident.site_id, row.appliance, row.incident.incident_id)
}

/// The page of an appliance.
pub(super) fn appliance_path(site: &str, appliance: &str) -> String {
    format!("/sites/{site}/appliances/{appliance}")
}

fn of_incident(row: &IncidentRow, tickets: &[EscalationRow], executions: &[ExecutionRow]) -> Trouble {
    let incident = &row.incident;
    let key = (&incident.site_id, &row.appliance, &incident.incident_id);
    let ticket =
        tickets.iter().find(|row| (&row.escalation.site_id, &row.appliance, &row.escalation.incident_id) == key);
    let last =
        executions.iter().find(|row| (&row.execution.site_id, &row.appliance, &row.execution.incident_id) == key);
    let seen = diff(&incident.raw_data).into_iter().next();
    let text = match (ticket, last.map(|row| &row.execution)) {
        (Some(ticket), _) => seen.unwrap_or_else(|| ticket.escalation.reason.clone()),
        (None, Some(last)) => {
            let why = last.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            format!(
                "{} {}{why}",
                last.runbook_id.as_deref().unwrap_or("the plan"),
                last.detail.as_str().replace('_', " ")
            )
        }
        (None, None) => seen.unwrap_or_default(),
    };
    Trouble {
        kind: if ticket.is_some() { Kind::Bad } else { Kind::Waiting },
        site: incident.site_id.clone(),
        severity: Some(incident.severity),
        title: title(incident),
        text,
        path: incident_path(row),
        since: Some(incident.created_at),
        needs_a_person: ticket.is_some(),
    }
}

fn of_appliance(row: &ApplianceRow, now: Timestamp, into: &mut Vec<Trouble>) {
    let name = format!("{} at {}", row.appliance, row.site_id);
    let mut add = |kind, title: String, text: String, since| {
        let path = appliance_path(&row.site_id, &row.appliance);
        let site = row.site_id.clone();
        into.push(Trouble { kind, site, severity: None, title, text, path, since, needs_a_person: false });
    };
    match row.last_contact.as_ref().and_then(|text| text.parse().ok()) {
        None => {
            let text = "Its certificate was issued, and it was never heard of.".to_owned();
            add(Kind::Waiting, format!("{name} has not checked in yet"), text, row.issued_at.parse().ok());
        }
        Some(last) if is_silent(last, now) => {
            let text = "It goes on healing by itself; what it owes arrives when it is back.".to_owned();
            add(Kind::Bad, format!("{name} is silent"), text, Some(last));
        }
        Some(_) => {}
    }
    let Some(agent) = row.checkin.as_ref().and_then(|checkin| checkin.agent.as_ref()) else { return };
    if let Some(first) = agent.quarantined.first() {
        let many = count(i64::try_from(agent.quarantined.len()).unwrap_or(i64::MAX), "rule");
        let text = format!("{}: {}", first.place, first.reason);
        add(Kind::Waiting, format!("{many} did not load on {name}"), text, None);
    }
    if agent.outbox_rejected > 0 {
        let many = count(i64::try_from(agent.outbox_rejected).unwrap_or(i64::MAX), "report");
        let text = "msp-agent queue rejected, on the appliance, says which and why.".to_owned();
        add(Kind::Waiting, format!("{many} of {name} refused by this server"), text, None);
    }
}

fn of_chains(chains: &[ChainState], now: Timestamp, into: &mut Vec<Trouble>) {
    let mut add = |row: &ChainState, kind, title: String, text: String, since| {
        let chain = row.chain.as_deref().unwrap_or_default();
        let path = format!("/evidence/{}/{}/{chain}", row.site_id, row.appliance);
        let site = row.site_id.clone();
        into.push(Trouble { kind, site, severity: None, title, text, path, since, needs_a_person: false });
    };
    for row in chains {
        let name = format!("{} at {}", row.appliance, row.site_id);
        if row.forks + row.broken > 0 {
            let text = format!(
                "{} and {}: either the old or the new bundle is a lie.",
                count(row.forks, "fork"),
                count(row.broken, "broken link")
            );
            add(row, Kind::Bad, format!("Evidence of {name} is contradicted"), text, None);
        } else if row.gaps > 0 {
            let text = "They are on their way, or lost; the agent sends until they are acknowledged.".to_owned();
            add(
                row,
                Kind::Waiting,
                format!("{} missing from the evidence of {name}", count(row.gaps, "bundle")),
                text,
                None,
            );
        }
    }
    for (before, new) in begun_anew(chains) {
        let since: Option<Timestamp> = new.first_received.as_ref().and_then(|text| text.parse().ok());
        if since.is_some_and(|since| now.duration_since(since) < NEW_CHAIN) {
            let name = format!("{} at {}", new.appliance, new.site_id);
            let text = format!(
                "The one before ended at {}. The appliance was set up anew, or lost its state.",
                before.head_sequence
            );
            add(new, Kind::Waiting, format!("{name} began a new chain of evidence"), text, since);
        }
    }
}

impl Known {
    /// Everything about one site, or about all.
    pub(super) async fn load(people: &People, site: Option<&str>, now: Timestamp) -> Result<Self, StoreError> {
        let store = &people.store;
        let appliances = store.appliances(site).await?;
        let incidents = store.incidents(site, INCIDENTS).await?;
        let chains = store.chains(site).await?;
        let (tickets, executions) = (store.open_escalations().await?, store.open_executions().await?);
        let open = incidents.iter().filter(|row| row.resolution.is_none());
        let mut troubles: Vec<Trouble> = open.map(|row| of_incident(row, &tickets, &executions)).collect();
        for row in &appliances {
            of_appliance(row, now, &mut troubles);
        }
        of_chains(&chains, now, &mut troubles);
        troubles.sort_by(|a, b| {
            let rank = |one: &Trouble| (one.kind, one.severity.unwrap_or(Severity::High));
            rank(b).cmp(&rank(a)).then_with(|| b.since.cmp(&a.since))
        });
        Ok(Self { now, appliances, incidents, chains, troubles })
    }

    /// The troubles of a site.
    pub(super) fn of_site<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Trouble> {
        self.troubles.iter().filter(move |one| one.site == site)
    }

    /// How many appliances were heard of and are silent now.
    pub(super) fn silent(&self) -> usize {
        let contacts = self.appliances.iter().filter_map(|row| row.last_contact.as_ref()?.parse().ok());
        contacts.filter(|last| is_silent(*last, self.now)).count()
    }
}
