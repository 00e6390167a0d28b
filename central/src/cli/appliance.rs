//! `appliance`: who belongs to the fleet, until when, and who does not any more.

use super::{Dir, Refused, Site, print_json, table};
use crate::clock;
use crate::fleet::Appliance;
use crate::store::CertificateRow;
use clap::Subcommand;
use std::io::Write;

const EXAMPLE: &str = "\
Example: apl-1 was stolen.
  msp-central appliance revoke --dir /var/lib/msp-central clinic-a apl-1 \\
    --reason 'stolen, ticket 4711'
  msp-central appliance list --dir /var/lib/msp-central";

const FORGET_EXAMPLE: &str = "\
Example: apl-1 was set up anew, and its check-in is refused with key_mismatch.
  msp-central appliance forget-key --dir /var/lib/msp-central \\
    --site clinic-a apl-1

The next check-in pins the keys it brings: the one that signs evidence and the one that credentials are encrypted \
to. Do this only when you know why they changed: whoever holds the appliance's certificate can pin a key. \
An appliance that enrols by a token needs none of this.";

const REVOKE_EXAMPLE: &str = "\
Example:
  msp-central appliance revoke --dir /var/lib/msp-central clinic-a apl-1 \\
    --reason 'stolen, ticket 4711'

Counts at once, also for connections that are open. What was encrypted to the appliance is deleted here; the \
passwords it had must be changed on the servers. Its records stay. To let it, or another machine, take the \
name again: msp-central enroll-token SITE --appliance NAME";

/// `appliance ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// List the appliances' certificates and when they expire
    #[command(after_help = "Example:\n  msp-central appliance list --dir /var/lib/msp-central --site clinic-a")]
    List {
        #[command(flatten)]
        dir: Dir,
        /// Only this site
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// Also those that are expired or revoked
        #[arg(long)]
        all: bool,
        /// As JSON: every certificate, also those that are over
        #[arg(long)]
        json: bool,
    },
    /// Take back every certificate of an appliance, at once
    #[command(after_help = REVOKE_EXAMPLE)]
    Revoke {
        #[command(flatten)]
        dir: Dir,
        /// The site's id
        #[arg(value_name = "SITE")]
        site: String,
        /// The appliance's id
        #[arg(value_name = "APPLIANCE")]
        appliance: String,
        /// Why: the appliance is told, and the list shows it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Release the keys that are pinned for an appliance
    #[command(after_help = FORGET_EXAMPLE)]
    ForgetKey {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        site: Site,
        /// The appliance's id
        #[arg(value_name = "APPLIANCE")]
        appliance: String,
    },
}

fn named(site: &str, appliance: &str) -> Result<Appliance, Refused> {
    Appliance::new(site, appliance).map_err(|error| Refused(error.to_string()))
}

fn unknown(who: &Appliance, dir: &Dir) -> Refused {
    let dir = dir.dir.display();
    Refused(format!("no appliance {who}: `msp-central appliance list --dir {dir}` shows those that are enrolled"))
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::List { dir, site, all, json } => list(dir, site.as_deref(), *all, *json, out).await,
        Command::Revoke { dir, site, appliance, reason } => {
            let who = named(site, appliance)?;
            let reason = reason.trim();
            if reason.is_empty() || reason.chars().count() > 200 || reason.chars().any(char::is_control) {
                return Err(Refused("--reason needs 1 to 200 characters in one line".to_owned()).into());
            }
            let store = dir.store().await?;
            let site = Site { site: site.clone() };
            site.registered(&store).await?;
            let revoked = store.revoke(&who, reason, clock::now()).await?;
            store.close().await;
            let count = revoked.ok_or_else(|| unknown(&who, dir))?;
            writeln!(out, "Revoked {who} ({count} certificates). Nothing it sends is taken any more.")?;
            writeln!(out, "Its Windows credentials are deleted here; change the passwords that it had.")?;
            Ok(())
        }
        Command::ForgetKey { dir, site, appliance } => {
            let who = named(&site.site, appliance)?;
            let store = dir.store().await?;
            site.registered(&store).await?;
            let released = store.forget_key(&who).await?;
            store.close().await;
            match released.ok_or_else(|| unknown(&who, dir))? {
                None => writeln!(out, "No key is pinned for {who}; its next check-in pins one.")?,
                Some(key) => writeln!(out, "Released {key} of {who}; its next check-in pins the key it brings.")?,
            }
            Ok(())
        }
    }
}

async fn list(dir: &Dir, site: Option<&str>, all: bool, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = dir.store().await?;
    if let Some(site) = site {
        let site = Site { site: site.to_owned() };
        site.registered(&store).await?;
    }
    let mut rows = store.certificates(site).await?;
    store.close().await;
    if json {
        return print_json(out, &rows);
    }
    let now = format!("{:.6}", clock::now());
    let in_force = |row: &CertificateRow| row.revoked_at.is_none() && row.not_after > now;
    if !all {
        rows.retain(in_force);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            let state = match (&row.revoked_at, &row.reason) {
                (Some(at), reason) => format!("revoked {}: {}", seconds(at), reason.as_deref().unwrap_or_default()),
                (None, _) if row.not_after <= now => "expired".to_owned(),
                (None, _) if row.renew_after <= now => "to be renewed".to_owned(),
                (None, _) => "good".to_owned(),
            };
            let serial = row.serial.get(..12).unwrap_or(&row.serial).to_owned();
            vec![row.site_id, row.appliance, seconds(&row.not_after), state, row.origin, serial]
        })
        .collect();
    let nothing = "No certificate is in force (--all shows those that are over).";
    table::print(out, &["Site", "Appliance", "Expires", "State", "By", "Serial"], &rows, nothing)
}

/// A stored time without its fraction of a second.
fn seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}
