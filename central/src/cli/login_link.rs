//! `login-link`: a link that lets a person in once.

use super::asker::By;
use super::{Dir, Refused, person, print_json};
use crate::clock;
use crate::people::plain_name;
use crate::people::secret::Secret;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::io::Write;

/// How long a link holds.
const LIFE: SignedDuration = SignedDuration::from_mins(15);

const EXAMPLE: &str = "\
Example:
  msp-central login-link --dir /var/lib/msp-central ada
  msp-central login-link --dir /var/lib/msp-central ada --json   # {person, url, expires}

The link holds for 15 minutes and works once: it is used up by the button of the page that it opens, not by \
opening it. Only its hash is stored. Whoever has it is that person until then: hand it over as you would a password.";

/// Arguments of `login-link`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(flatten)]
    dir: Dir,
    /// The person's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the pages are [default: as the last `serve` said]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    by: By,
}

#[derive(Serialize)]
struct Link {
    person: String,
    url: String,
    expires: Timestamp,
}

pub(super) async fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = arguments.dir.store().await?;
    let person = plain_name(&arguments.name);
    let door = match &arguments.url {
        Some(url) => Some(url.trim_end_matches('/').to_owned()),
        None => store.people_door().await?,
    };
    let no_door = "no server has run here yet, so it is not known where the pages are: start `msp-central serve`, or \
                   give --url";
    let door = door.ok_or_else(|| Refused(no_door.to_owned()))?;
    let secret = Secret::new()?;
    let expires = clock::after(clock::now(), LIFE);
    if !store.add_link(&person, &secret.hash(), expires, &person::actor(&arguments.by)).await? {
        if store.person(&person).await?.is_some() {
            return Err(Refused(format!("{person} is disabled: `msp-central person enable` first")).into());
        }
        return Err(person::unknown(&store, &person).await);
    }
    store.close().await;
    let link = Link { person, url: format!("{door}/link/{}", secret.reveal()), expires };
    if arguments.json {
        return print_json(out, &link);
    }
    writeln!(out, "{}", link.url)?;
    writeln!(out, "It lets {} in once, until {:.0}.", link.person, link.expires)?;
    Ok(())
}
