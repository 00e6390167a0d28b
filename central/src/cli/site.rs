//! `site`: a site's settings.

use super::{Dir, Site};
use clap::{Subcommand, ValueEnum};
use msp_contracts::signed::HealingTier;
use std::io::Write;

/// How much of the rule set a site gets.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Tier {
    /// The rules every site gets
    Standard,
    /// Every rule
    FullCoverage,
}

impl From<Tier> for HealingTier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Standard => Self::Standard,
            Tier::FullCoverage => Self::FullCoverage,
        }
    }
}

const EXAMPLE: &str = "\
Example:
  msp-central site tier --dir /var/lib/msp-central clinic-a full_coverage";

const TIER_EXAMPLE: &str = "\
Example:
  msp-central site tier --dir /var/lib/msp-central clinic-a full_coverage

The site's agents get the other set at their next sync.";

/// `site ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// Set how much of the rule set a site gets
    #[command(after_help = TIER_EXAMPLE)]
    Tier {
        #[command(flatten)]
        dir: Dir,
        /// The site's id
        #[arg(value_name = "SITE")]
        site: String,
        /// standard, or full_coverage
        #[arg(value_name = "TIER")]
        tier: Tier,
    },
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    let Command::Tier { dir, site, tier } = command;
    let store = dir.store().await?;
    let site = Site { site: site.clone() };
    let id = site.registered(&store).await?;
    store.set_tier(id, (*tier).into()).await?;
    let count = store.rules_for(id).await?.map_or(0, |(_, rules)| rules.len());
    store.close().await;
    writeln!(out, "{id} now gets {count} rules at its next sync.")?;
    Ok(())
}
