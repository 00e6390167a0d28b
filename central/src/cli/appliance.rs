//! `appliance`: an appliance's settings.

use super::{Dir, Refused, Site};
use crate::fleet::Appliance;
use clap::Subcommand;
use std::io::Write;

const EXAMPLE: &str = "\
Example: apl-1 was set up anew, and its check-in is refused with key_mismatch.
  msp-central appliance forget-key --dir /var/lib/msp-central \\
    --site clinic-a apl-1";

const FORGET_EXAMPLE: &str = "\
Example: apl-1 was set up anew, and its check-in is refused with key_mismatch.
  msp-central appliance forget-key --dir /var/lib/msp-central \\
    --site clinic-a apl-1

The next check-in pins the key it brings. Do this only when you know why the key changed: \
whoever holds the appliance's certificate can pin a key.";

/// `appliance ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// Release the evidence key that is pinned for an appliance
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

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    let Command::ForgetKey { dir, site, appliance } = command;
    let who = Appliance::new(&site.site, appliance).map_err(|error| Refused(error.to_string()))?;
    let store = dir.store().await?;
    site.registered(&store).await?;
    let released = store.forget_key(&who).await?;
    store.close().await;
    match released {
        None => {
            let text = format!(
                "no appliance {who}: `msp-central list sites --dir {}` shows those that are registered",
                dir.dir.display()
            );
            return Err(Refused(text).into());
        }
        Some(None) => writeln!(out, "No key is pinned for {who}; its next check-in pins one.")?,
        Some(Some(key)) => writeln!(out, "Released {key} of {who}; its next check-in pins the key it brings.")?,
    }
    Ok(())
}
