//! `msp-agent keygen`: the key that signs this appliance's evidence.

use anyhow::Context;
use msp_contracts::keys;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Make the key that signs this appliance's evidence
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  msp-agent keygen --out /etc/msp/signing.pem\n\nPrints the public key: 64 hexadecimal characters. \
                        The private key never leaves the appliance; a file that is there already is not overwritten."
)]
pub struct Args {
    /// Where to write the private key (PKCS#8 PEM, mode 0600)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut seed = [0u8; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut seed))
        .context("/dev/urandom: cannot be read")?;
    let key = keys::from_seed(seed);
    let pem = keys::private_to_pem(&key)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out).with_context(|| {
        format!("{}: no new file can be made there (a key is never overwritten)", args.out.display())
    })?;
    file.write_all(pem.as_ref().as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("{}: the key cannot be written", args.out.display()))?;
    writeln!(out, "{}", keys::public_to_hex(&key.verifying_key()))?;
    Ok(ExitCode::SUCCESS)
}
