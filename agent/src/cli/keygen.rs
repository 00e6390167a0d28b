//! `msp-agent keygen`: the key that signs this appliance's evidence, or the one that opens its credentials.

use crate::config::sealed;
use anyhow::Context;
use msp_contracts::keys;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Make the key that signs this appliance's evidence
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  msp-agent keygen --out /etc/msp/signing.pem\n  msp-agent keygen --encryption --out /etc/msp/encryption.key\n\n\
                        Prints the public key: 64 hexadecimal characters, or age1... The private key never leaves the appliance; \
                        a file that is there already is not overwritten. `msp-agent enroll` makes both keys by itself."
)]
pub struct Args {
    /// Where to write the private key (PKCS#8 PEM, or a file as age-keygen makes it; mode 0600)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The key that Windows credentials are encrypted to, instead of the one that signs evidence
    #[arg(long)]
    encryption: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (public, text) = if args.encryption { sealed::new_key() } else { signing_key()? };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out).with_context(|| {
        format!("{}: no new file can be made there (a key is never overwritten)", args.out.display())
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("{}: the key cannot be written", args.out.display()))?;
    writeln!(out, "{public}")?;
    Ok(ExitCode::SUCCESS)
}

/// A new key that signs evidence: the public half in hexadecimal, and the text of its file.
pub(super) fn signing_key() -> anyhow::Result<(String, Zeroizing<String>)> {
    let mut seed = Zeroizing::new([0u8; 32]);
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(seed.as_mut_slice()))
        .context("/dev/urandom: cannot be read")?;
    let key = keys::from_seed(*seed);
    let pem = keys::private_to_pem(&key)?;
    Ok((keys::public_to_hex(&key.verifying_key()), Zeroizing::new(pem.as_ref().to_owned())))
}
