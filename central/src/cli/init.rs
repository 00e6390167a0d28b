//! `init`: everything a server needs, made on the spot. Keys never leave the directory.

use crate::clock;
use crate::directory::{self, Directory, DirectoryError, Readers};
use crate::pki;
use crate::store::Store;
use anyhow::Context;
use clap::Args;
use msp_contracts::keys;
use std::io::Write;
use std::path::PathBuf;

const EXAMPLE: &str = "\
Example:
  msp-central init --dir /var/lib/msp-central \\
    --name central.example.org --name 127.0.0.1

Makes ca.pem, ca-key.pem, server.pem, server-key.pem, signing.pem, signing.pub and central.db. \
The private keys are readable by their owner only. Nothing is ever overwritten. \
The authority is valid for ten years, the server's certificate for 825 days.";

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    /// The directory to make
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A DNS name or IP address that agents connect to; may be given several times
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(super) async fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let now = clock::now();
    // Made before anything is written: a refused name leaves nothing behind.
    let authority = pki::new_authority(now)?;
    let server = pki::new_server(&authority, &arguments.names, now)?;
    let mut seed = [0_u8; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut seed).map_err(|_| anyhow::anyhow!("the system gives no randomness: no key can be made"))?;
    let signing = keys::from_seed(seed);
    let signing_pem = keys::private_to_pem(&signing).context("cannot write the signing key")?;
    let public = keys::public_to_hex(&signing.verifying_key());

    let directory = Directory::new(&arguments.dir);
    directory.prepare()?;
    write_all(&[
        (directory.ca(), authority.certificate.as_bytes(), Readers::All),
        (directory.ca_key(), authority.key.as_bytes(), Readers::Owner),
        (directory.server(), server.certificate.as_bytes(), Readers::All),
        (directory.server_key(), server.key.as_bytes(), Readers::Owner),
        (directory.signing_key(), signing_pem.as_ref().as_bytes(), Readers::Owner),
        (directory.signing_public(), format!("{public}\n").as_bytes(), Readers::All),
        // Created here so that it gets its mode; an empty file is an empty database.
        (directory.database(), b"", Readers::Owner),
    ])?;
    let store = Store::open(&directory.database()).await?;
    store.close().await;

    let dir = directory.path().display();
    writeln!(out, "Made {dir} for {}.", arguments.names.join(", "))?;
    writeln!(out, "Agents trust the signing key {public} (mcp_public_key).")?;
    writeln!(out, "Next: msp-central issue --dir {dir} --site SITE --appliance APPLIANCE --out OUT")?;
    Ok(())
}

fn write_all(files: &[(PathBuf, &[u8], Readers)]) -> Result<(), DirectoryError> {
    files.iter().try_for_each(|(path, content, readers)| directory::write_new(path, content, *readers))
}
