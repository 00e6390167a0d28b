//! `issue`: one appliance's client certificate, and everything else its agent needs to connect.

use super::{Dir, Refused};
use crate::clock;
use crate::directory::{self, DirectoryError, Readers};
use crate::fleet::Appliance;
use crate::pki::{self, Issued};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

const EXAMPLE: &str = "\
Example:
  msp-central issue --dir /var/lib/msp-central --site clinic-a --appliance apl-1 --out ./apl-1

Writes client.pem, client-key.pem (a secret: move it, do not copy it), ca.pem and central.pub to ./apl-1.
Ids are 1 to 64 characters out of A-Z a-z 0-9 . _ - and stand in the certificate as urn:msp:SITE:APPLIANCE.
Issuing again makes a further certificate for the same appliance; its records stay.";

/// Arguments of `issue`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(flatten)]
    dir: Dir,
    /// The site's id, for example clinic-a; registered when it is new
    #[arg(long, value_name = "SITE")]
    site: String,
    /// The appliance's id within the site, for example apl-1; its agent's host_id
    #[arg(long, value_name = "APPLIANCE")]
    appliance: String,
    /// The directory to write to; nothing in it is overwritten
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
}

pub(super) async fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let who = Appliance::new(&arguments.site, &arguments.appliance).map_err(|error| Refused(error.to_string()))?;
    let directory = arguments.dir.directory();
    let store = arguments.dir.store().await?;
    let now = clock::now();
    let authority =
        Issued { certificate: directory::read_text(&directory.ca())?, key: directory::read_text(&directory.ca_key())? };
    let public = directory::read_text(&directory.signing_public())?;
    let client = pki::new_client(&authority, &who, now)?;

    let files = [
        ("client.pem", client.certificate.as_bytes(), Readers::All),
        ("client-key.pem", client.key.as_bytes(), Readers::Owner),
        ("ca.pem", authority.certificate.as_bytes(), Readers::All),
        ("central.pub", public.as_bytes(), Readers::All),
    ];
    directory::create(&arguments.out)?;
    if let Some(path) = files.iter().map(|(name, ..)| arguments.out.join(name)).find(|path| path.exists()) {
        return Err(DirectoryError::Exists { path }.into());
    }
    // Registered first: a certificate in the world is then always one that the server knows.
    store.register_appliance(&who, now).await?;
    for (name, content, readers) in files {
        directory::write_new(&arguments.out.join(name), content, readers)?;
    }
    store.close().await;
    writeln!(out, "Issued {} for {who}, valid 825 days, in {}.", who.urn(), arguments.out.display())?;
    Ok(())
}
