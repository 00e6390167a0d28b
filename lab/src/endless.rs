//! `cargo lab` without `--once`: the clinic keeps running, and now and then something drifts.

use crate::Progress;
use crate::clinic::Clinic;
use crate::drift::Drift;
use crate::people;
use crate::site;
use crate::watch;
use anyhow::bail;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// Something drifts this often. The rules leave the same thing alone for some minutes after a heal: with so many
/// different drifts, hardly one comes before its time.
const EVERY: Duration = Duration::from_secs(60);
/// How often the agent is asked what has become of it.
const LOOK: Duration = Duration::from_secs(1);

/// What drifts where, in turn: every kind that there is a runbook for.
const DRIFTS: [(&str, Drift); 14] = [
    ("FS01", Drift::FirewallProfileOff("Public")),
    ("DC01", Drift::ServiceStopped("DNS")),
    ("WS01", Drift::RealTimeProtectionOff),
    ("FS01", Drift::BackupOld),
    ("CORE01", Drift::LogonsNotAudited),
    ("DC01", Drift::ReplicationFailing),
    ("WS01", Drift::BitLockerSuspended),
    ("CORE01", Drift::UpdateMissing),
    ("FS01", Drift::ServiceStopped("W32Time")),
    ("DC01", Drift::FirewallProfileOff("Domain")),
    ("FS01", Drift::RealTimeProtectionOff),
    ("DC01", Drift::ServiceStopped("Kdc")),
    ("WS01", Drift::LogonsNotAudited),
    ("DC01", Drift::ServiceStopped("NTDS")),
];

/// The clinic that keeps running: four servers of different kinds, of which one each.
///
/// # Errors
/// When its folder cannot be made.
pub fn clinic(keep: Option<&Path>) -> anyhow::Result<Clinic> {
    let clinic = Clinic::prepare(keep)?.with_server("CORE01", "core").with_server("WS01", "workstation");
    let clinic = clinic.with_settings(&site::window(-1, 22));
    clinic.appliance.prepare()?;
    clinic.appliance.write_rules(site::ARMED)?;
    Ok(clinic)
}

/// Keeps the clinic running until it is dropped.
pub async fn keep_running(clinic: &mut Clinic, progress: Progress) -> anyhow::Result<()> {
    people::add(clinic).await?;
    let link = people::login_link(clinic).await?;
    progress.say(&format!("Central Command's pages, by a link that works once: {link}"));
    progress.say(&format!("another link: msp-central login-link --dir {} {}", clinic.central_dir(), people::PERSON));
    progress.say(&format!("the agent: msp-agent incidents --config {}", clinic.config()));
    progress.say("the agent checks this computer too: what it finds here goes to a person, nothing here is changed");
    progress.say("something drifts once a minute; Ctrl-C stops everything");
    let mut told: HashMap<String, String> = HashMap::new();
    for (hostname, drift) in DRIFTS.into_iter().cycle() {
        for _ in 0..EVERY.as_secs() / LOOK.as_secs() {
            tokio::time::sleep(LOOK).await;
            if let Some(dead) = clinic.dead() {
                bail!(dead);
            }
            tell(clinic, progress, &mut told).await?;
        }
        if let Some(server) = clinic.server(hostname) {
            progress.say(&format!("{}: {}", server.hostname, drift.words()));
            server.inject(drift).await?;
        }
    }
    Ok(())
}

/// Says what changed of the incidents.
async fn tell(clinic: &Clinic, progress: Progress, told: &mut HashMap<String, String>) -> anyhow::Result<()> {
    let Ok(known) = watch::incidents(clinic).await else { return Ok(()) };
    for one in known.incidents.into_iter().rev() {
        let check = one.subject.map_or_else(|| one.check.clone(), |part| format!("{}/{part}", one.check));
        let runbook = one.runbook_id.unwrap_or_default();
        let outcome = one.outcome.unwrap_or_else(|| "under way".to_owned());
        let why = one.error.map_or_else(String::new, |why| format!(" ({why})"));
        let now = if outcome == one.state { outcome } else { format!("{}, {runbook} {outcome}", one.state) };
        if told.insert(one.incident_id.clone(), now.clone()).as_ref() != Some(&now) {
            progress.say(&format!("{} {check} on {}: {now}{why}", one.incident_id, one.host_name));
        }
    }
    Ok(())
}
