//! `cargo lab` without `--once`: the clinic keeps running, and now and then something drifts.

use crate::Progress;
use crate::clinic::Clinic;
use crate::drift::Drift;
use crate::watch;
use anyhow::bail;
use std::collections::HashMap;
use std::time::Duration;

/// Something drifts this often. The rules leave the same thing alone for up to ten minutes after a heal: with
/// ten different drifts, none comes before its time.
const EVERY: Duration = Duration::from_secs(60);
/// How often the agent is asked what has become of it.
const LOOK: Duration = Duration::from_secs(1);

/// What drifts, in turn: on the member server (true) or the domain controller.
const DRIFTS: [(bool, Drift); 10] = [
    (true, Drift::FirewallProfileOff("Public")),
    (false, Drift::ServiceStopped("DNS")),
    (true, Drift::ServiceStopped("W32Time")),
    (false, Drift::FirewallProfileOff("Domain")),
    (false, Drift::ServiceStopped("Netlogon")),
    (true, Drift::ServiceStopped("EventLog")),
    (false, Drift::ServiceStopped("Kdc")),
    (false, Drift::ServiceStopped("W32Time")),
    (false, Drift::ServiceStopped("NTDS")),
    (false, Drift::ServiceStopped("EventLog")),
];

/// Keeps the clinic running until it is dropped.
pub async fn keep_running(clinic: &mut Clinic, progress: Progress) -> anyhow::Result<()> {
    let link = clinic.login_link().await?;
    progress.say(&format!("Central Command's pages, by a link that works once: {}", link.url));
    progress.say(&format!("another link: msp-central login-link --dir {} lab", clinic.central_dir()));
    progress.say(&format!("the agent: msp-agent incidents --config {}", clinic.config()));
    progress.say("the agent checks this computer too: what it finds here goes to a person, nothing here is changed");
    progress.say("something drifts once a minute; Ctrl-C stops everything");
    let mut told: HashMap<String, String> = HashMap::new();
    for (on_member, drift) in DRIFTS.into_iter().cycle() {
        for _ in 0..EVERY.as_secs() / LOOK.as_secs() {
            tokio::time::sleep(LOOK).await;
            if let Some(dead) = clinic.dead() {
                bail!(dead);
            }
            tell(clinic, progress, &mut told).await?;
        }
        let server = if on_member { &clinic.member } else { &clinic.controller };
        if let Some(server) = server {
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
