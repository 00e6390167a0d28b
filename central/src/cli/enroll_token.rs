//! `enroll-token`: a one-time token by which one appliance joins a site.
//!
//! It is printed once and kept only as a hash.

use super::{Dir, Refused, duration, print_json};
use crate::clock;
use crate::directory;
use crate::fleet::{self, Appliance};
use crate::pki;
use crate::store::NewToken;
use clap::Args;
use jiff::SignedDuration;
use msp_contracts::token::EnrollToken;
use serde_json::json;
use std::io::Write;

const EXAMPLE: &str = "\
Example:
  msp-central enroll-token --dir /var/lib/msp-central clinic-a \\
    --appliance apl-1 > token

The token is a secret until it is used: whoever has it can join the site once. Hand it over in a file, not in a \
chat. It carries the fingerprint of this fleet's authority, so that the appliance knows this server when it meets it.

Without --appliance the appliance chooses a name, which must be new. With it, a name whose appliance is revoked or \
whose certificate is over can be taken over: evidence and credentials are then those of the new appliance.";

/// Arguments of `enroll-token`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(flatten)]
    dir: Dir,
    /// The site's id, for example clinic-a; registered when it is new
    #[arg(value_name = "SITE")]
    site: String,
    /// The only name that the appliance may take
    #[arg(long, value_name = "NAME")]
    appliance: Option<String>,
    /// How long the token is good: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::parse)]
    valid: SignedDuration,
    /// As JSON: {"token", "site_id", "appliance", "expires_at", "ca_sha256"}
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
    let refused = |error: fleet::IdError| Refused(error.to_string());
    fleet::check_site(&arguments.site).map_err(refused)?;
    let who = match &arguments.appliance {
        Some(name) => Some(Appliance::new(&arguments.site, name).map_err(refused)?),
        None => None,
    };
    let store = arguments.dir.store().await?;
    let authority = pki::certificate_der(&directory::read_text(&arguments.dir.directory().ca())?)?;
    let mut secret = [0_u8; 32];
    pki::fill(&mut secret)?;
    let token = EnrollToken::new(secret, &authority);
    let now = clock::now();
    let expires = clock::after(now, arguments.valid);
    let secret_sha256 = token.secret_sha256();
    let new = NewToken { secret_sha256, site: &arguments.site, appliance: who.as_ref(), expires };
    let kept = store.add_token(&new, now).await?;
    let sites = store.sites(None).await?;
    store.close().await;
    let new_site = kept.map_err(|taken| {
        let (site, name) = (&arguments.site, arguments.appliance.as_deref().unwrap_or_default());
        Refused(format!(
            "{site}/{name} is enrolled already, with a certificate until {}: choose another name, or take it out first \
             with `msp-central appliance revoke --dir {} {site} {name} --reason TEXT`",
            taken.until,
            arguments.dir.dir.display()
        ))
    })?;
    if new_site {
        let others: Vec<String> = sites.into_iter().map(|row| row.site_id).filter(|id| *id != arguments.site).collect();
        let known = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        writeln!(err, "Site {} is new and was registered by this; sites known before: {known}.", arguments.site)?;
    }
    if arguments.json {
        return print_json(
            out,
            &json!({
                "token": *token.reveal(), "site_id": arguments.site, "appliance": arguments.appliance,
                "expires_at": expires, "ca_sha256": token.ca_sha256(),
            }),
        );
    }
    writeln!(out, "{}", *token.reveal())?;
    let name = arguments.appliance.as_deref().unwrap_or("any new appliance");
    writeln!(
        err,
        "For {name} of {}, once, until {expires:.0} ({} from now). On the appliance:\n  \
         msp-agent enroll --server https://THIS-SERVER:8445 --token-file token",
        arguments.site,
        duration::words(arguments.valid)
    )?;
    Ok(())
}
