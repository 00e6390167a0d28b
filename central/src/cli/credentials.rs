//! `targets credentials`: logons for Windows servers, encrypted at once to the appliances that need them.
//!
//! The password is read from a file, never from the command line, where `ps` would show it. Nothing but ciphertext is
//! stored: not even this program can read it again.

use super::{Dir, Refused, Site, table};
use crate::clock;
use crate::enroll;
use crate::store::{CredentialRow, Recipient, Sealed, Store, TargetRow};
use anyhow::Context;
use clap::Subcommand;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::logon::TargetLogon;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const EXAMPLE: &str = "\
Example:
  msp-central targets credentials set --dir /var/lib/msp-central clinic-a DC01 \\
    --username 'CLINIC\\msp-svc' --password-file ./password
  msp-central targets list --dir /var/lib/msp-central --site clinic-a";

const SET_EXAMPLE: &str = "\
Example:
  msp-central targets credentials set --dir /var/lib/msp-central clinic-a DC01 \\
    --username 'CLINIC\\msp-svc' --password-file ./password

Encrypted to every enrolled appliance of the site. An appliance that is enrolled later needs it again. \
Line ends after the password do not count. Shred the file afterwards, or give - and type the password into \
standard input.";

/// The longest password file, in bytes.
const LONGEST: u64 = 4096;

/// `targets credentials ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// Encrypt the logon for one server to the site's appliances; what was there before is replaced
    #[command(after_help = SET_EXAMPLE)]
    Set {
        #[command(flatten)]
        dir: Dir,
        /// The site's id
        #[arg(value_name = "SITE")]
        site: String,
        /// The server's name, as in the list of targets
        #[arg(value_name = "HOST")]
        host: String,
        /// The account, for example CLINIC\msp-svc
        #[arg(long, value_name = "NAME")]
        username: String,
        /// A file that holds the password; - is standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Forget the logon for one server
    #[command(
        after_help = "Example:\n  msp-central targets credentials remove --dir /var/lib/msp-central clinic-a DC01"
    )]
    Remove {
        #[command(flatten)]
        dir: Dir,
        /// The site's id
        #[arg(value_name = "SITE")]
        site: String,
        /// The server's name, as in the list of targets
        #[arg(value_name = "HOST")]
        host: String,
    },
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Set { dir, site, host, username, password_file } => {
            let password = password(password_file)?;
            if username.trim().is_empty() {
                return Err(Refused("--username is empty".to_owned()).into());
            }
            let store = dir.store().await?;
            let site = Site { site: site.clone() };
            let site = site.registered(&store).await?;
            let hostname = listed(&store, site, host).await?;
            let now = clock::now();
            let (mut sealed, mut without) = (Vec::new(), Vec::new());
            for Recipient { appliance, agent_encryption_key } in store.recipients(site, now).await? {
                let Some(recipient) = agent_encryption_key else {
                    without.push(appliance);
                    continue;
                };
                let logon = TargetLogon {
                    schema_version: SCHEMA_VERSION,
                    site_id: site.to_owned(),
                    appliance: appliance.clone(),
                    hostname: hostname.clone(),
                    username: username.clone(),
                    password: password.to_string(),
                };
                let ciphertext = seal(&recipient, &logon)?;
                sealed.push(Sealed { appliance, recipient, ciphertext });
            }
            if sealed.is_empty() {
                let text = match without.as_slice() {
                    [] => {
                        format!("no appliance of {site} is enrolled: enrol one with `msp-central enroll-token` first")
                    }
                    names => format!(
                        "no appliance of {site} has told a key to encrypt to ({}): its agent needs encryption_key_file",
                        names.join(", ")
                    ),
                };
                return Err(Refused(text).into());
            }
            store.set_credentials(site, &hostname, &sealed, now).await?;
            store.close().await;
            let names: Vec<&str> = sealed.iter().map(|one| one.appliance.as_str()).collect();
            writeln!(out, "Encrypted the logon for {hostname} to {}.", names.join(", "))?;
            if !without.is_empty() {
                writeln!(out, "Not to {}: no key is known yet; set it again after a check-in.", without.join(", "))?;
            }
            writeln!(out, "It arrives with the next check-in.")?;
            Ok(())
        }
        Command::Remove { dir, site, host } => {
            let store = dir.store().await?;
            let site = Site { site: site.clone() };
            let site = site.registered(&store).await?;
            let removed = store.remove_credentials(site, host).await?;
            store.close().await;
            if removed == 0 {
                return Err(Refused(format!("{site} has no credentials for {host:?}")).into());
            }
            writeln!(out, "Forgot the logon for {host} ({removed} appliances). Change the password on the server.")?;
            Ok(())
        }
    }
}

fn password(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = |input: &mut dyn Read, text: &mut String| input.take(LONGEST).read_to_string(text);
    let done = if file == Path::new("-") {
        read(&mut std::io::stdin(), &mut text)
    } else {
        std::fs::File::open(file).and_then(|mut input| read(&mut input, &mut text))
    };
    done.with_context(|| format!("{}: the password cannot be read (is it text?)", file.display()))?;
    let trimmed = text.trim_end_matches(['\r', '\n']);
    if trimmed.is_empty() {
        return Err(Refused(format!("{}: the password is empty", file.display())).into());
    }
    Ok(Zeroizing::new(trimmed.to_owned()))
}

/// The server's name as the list of targets writes it.
async fn listed(store: &Store, site: &str, host: &str) -> anyhow::Result<String> {
    let names: Vec<String> = store.owned_targets(site).await?.into_iter().map(|row| row.target.hostname).collect();
    match names.iter().find(|name| name.eq_ignore_ascii_case(host)) {
        Some(name) => Ok(name.clone()),
        None => {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let text =
                format!("{site} has no server {host:?} (listed are {known}): add it with `msp-central targets set`");
            Err(Refused(text).into())
        }
    }
}

fn seal(recipient: &str, logon: &TargetLogon) -> anyhow::Result<String> {
    let recipient = enroll::recipient(recipient).map_err(Refused)?;
    let plaintext = Zeroizing::new(serde_json::to_vec(logon)?);
    age::encrypt_and_armor(&recipient, &plaintext).context("the logon cannot be encrypted")
}

/// For each server, whether the appliance that looks after it has its logon: a column of `targets list`. Every appliance
/// of the site, as long as none looks after it.
pub(super) async fn standing(store: &Store, site: &str, targets: &[TargetRow]) -> anyhow::Result<Vec<String>> {
    let held = store.credentials(site).await?;
    let appliances = store.recipients(site, clock::now()).await?;
    let has = |hostname: &str, appliance: &str| {
        let is = |row: &&CredentialRow| row.hostname == hostname && row.appliance == appliance;
        match held.iter().find(is) {
            Some(row) => format!("for {appliance} since {}", row.set_at.get(..10).unwrap_or(&row.set_at)),
            None => format!("none for {appliance}"),
        }
    };
    let of = |TargetRow { target, owner, .. }: &TargetRow| {
        let concerned = appliances.iter().filter(|one| owner.as_ref().is_none_or(|owner| *owner == one.appliance));
        let has = concerned.map(|one| table::printable(&has(&target.hostname, &one.appliance)));
        let all: Vec<String> = has.collect();
        if all.is_empty() { "no appliance enrolled".to_owned() } else { format!("credentials: {}", all.join(", ")) }
    };
    Ok(targets.iter().map(of).collect())
}
