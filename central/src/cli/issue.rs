//! `issue`: one appliance's client certificate, and everything else its agent needs to connect.

use super::{Dir, Refused, duration};
use crate::clock;
use crate::directory::{self, DirectoryError, Readers};
use crate::fleet::Appliance;
use crate::pki::Authority;
use clap::Args;
use jiff::SignedDuration;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "\
Example:
  msp-central issue --dir /var/lib/msp-central \\
    --site clinic-a --appliance apl-1 --out ./apl-1

Writes client.pem, client-key.pem (a secret: move it, do not copy it), ca.pem and central.pub to ./apl-1, \
and prints what is to be done on the appliance, with its agent's configuration. \
Ids are 1 to 64 characters out of A-Z a-z 0-9 . _ - and stand in the certificate as urn:msp:SITE:APPLIANCE. \
Issuing again makes a further certificate for the same appliance; its records stay. \
An appliance that enrols by a token (`msp-central enroll-token`) makes its own key instead, which never leaves it.";

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
    /// How long the certificate lives: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "825d", value_parser = duration::parse)]
    lifetime: SignedDuration,
}

pub(super) async fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let who = Appliance::new(&arguments.site, &arguments.appliance).map_err(|error| Refused(error.to_string()))?;
    let directory = arguments.dir.directory();
    let store = arguments.dir.store().await?;
    let now = clock::now();
    let authority = Authority::load(&directory)?;
    let public = directory::read_text(&directory.signing_public())?;
    let life = arguments.lifetime;
    let (client, key) = authority.issue(&who, life, now)?;

    let files = [
        ("client.pem", client.pem.as_bytes(), Readers::All),
        ("client-key.pem", key.as_bytes(), Readers::Owner),
        ("ca.pem", authority.certificate().as_bytes(), Readers::All),
        ("central.pub", public.as_bytes(), Readers::All),
    ];
    directory::create(&arguments.out)?;
    if let Some(path) = files.iter().map(|(name, ..)| arguments.out.join(name)).find(|path| path.exists()) {
        return Err(DirectoryError::Exists { path }.into());
    }
    // Registered first: a certificate in the world is then always one that the server knows.
    let new_site = store.register_appliance(&who, &client, now).await?;
    let sites = store.sites(None).await?;
    for (name, content, readers) in files {
        directory::write_new(&arguments.out.join(name), content, readers)?;
    }
    store.close().await;
    writeln!(out, "Issued {} for {who}, valid {}, in {}.", who.urn(), duration::words(life), arguments.out.display())?;
    if new_site {
        let others: Vec<String> = sites.into_iter().map(|row| row.site_id).filter(|id| *id != who.site).collect();
        let known = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        writeln!(out, "Site {} is new and was registered by this; sites known before: {known}.", who.site)?;
    }
    write!(out, "{}", next_steps(&who, public.trim(), &arguments.out))?;
    Ok(())
}

/// What is to be done on the appliance. Ids are quoted: YAML would take some for numbers or booleans.
fn next_steps(who: &Appliance, public: &str, out: &Path) -> String {
    let (site, appliance, out) = (&who.site, &who.appliance, out.display());
    format!(
        "
Next, on the appliance:

1. Move client.pem, client-key.pem and ca.pem from {out} to /etc/msp.
2. Make the key that signs its evidence; it never leaves the appliance:

msp-agent keygen --out /etc/msp/signing.pem

3. Write /etc/msp/config.yaml, with this server's name in mcp_url (one that `init --name` was given):

site_id: \"{site}\"
host_id: \"{appliance}\"
mcp_url: https://central.example.org:8443
mcp_public_key: \"{public}\"
client_cert_file: /etc/msp/client.pem
client_key_file: /etc/msp/client-key.pem
ca_cert_file: /etc/msp/ca.pem
signing_key_file: /etc/msp/signing.pem

4. Check it, and begin:

msp-agent check-config /etc/msp/config.yaml
msp-agent run --config /etc/msp/config.yaml
"
    )
}
