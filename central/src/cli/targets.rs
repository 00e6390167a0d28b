//! `targets`: the Windows servers of a site, from a file.
//!
//! A target is routed by its address and by nothing else, so an entry without a valid one is refused by
//! its name, and two entries can never share an address or a name.

use super::{Dir, Refused, Site, print_json, table};
use crate::directory;
use crate::store::Store;
use clap::Subcommand;
use msp_contracts::api::WindowsTarget;
use serde_json::Value;
use std::collections::HashSet;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const SET_EXAMPLE: &str = "\
Example:
  msp-central targets set --dir /var/lib/msp-central --site clinic-a targets.yaml

targets.yaml (or the same as .json) replaces the site's list:
  - {hostname: DC01, ip_address: 192.168.10.5}
  - {hostname: FILES, ip_address: 192.168.10.6, port: 5986}
An entry needs an IP address: it is the only thing a target is routed by.";

/// `targets ...`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Replace the Windows servers of a site by those of a file
    #[command(after_help = SET_EXAMPLE)]
    Set {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        site: Site,
        /// A list of targets, YAML or JSON
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List the Windows servers of a site
    #[command(after_help = "Example:\n  msp-central targets list --dir /var/lib/msp-central --site clinic-a --json")]
    List {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        site: Site,
        /// As JSON, in the form that `targets set` reads
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Set { dir, site, file } => {
            let targets = read(file)?;
            let store = dir.store().await?;
            let site = site.registered(&store).await?;
            store.set_targets(site, &targets).await?;
            store.close().await;
            writeln!(
                out,
                "{site} has {} Windows servers; its appliances learn them at their next check-in.",
                targets.len()
            )?;
            Ok(())
        }
        Command::List { dir, site, json } => {
            let store = dir.store().await?;
            list(&store, site.registered(&store).await?, *json, out).await
        }
    }
}

async fn list(store: &Store, site: &str, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let targets = store.targets(site).await?;
    if json {
        return print_json(out, &targets);
    }
    let rows: Vec<Vec<String>> = targets
        .into_iter()
        .map(|target| vec![target.hostname, target.ip_address.unwrap_or_default(), target.port.to_string()])
        .collect();
    table::print(out, &["Host name", "Address", "Port"], &rows, "No Windows server yet.")
}

fn read(file: &Path) -> anyhow::Result<Vec<WindowsTarget>> {
    let text = directory::read_text(file)?;
    let name = file.display();
    let refused = |reason: String| Refused(format!("{name}: {reason}"));
    let entries: Vec<Value> = if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        serde_json::from_str(&text).map_err(|error| refused(format!("no JSON list of targets: {error}")))?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| refused(format!("no YAML list of targets: {error}")))?
    };
    let mut targets = Vec::with_capacity(entries.len());
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for (position, entry) in (1_usize..).zip(&entries) {
        let target = target(entry).map_err(|reason| refused(format!("entry {position}{}: {reason}", called(entry))))?;
        if !names.insert(target.hostname.to_lowercase()) {
            return Err(refused(format!("entry {position}: the name {:?} stands twice", target.hostname)).into());
        }
        if let Some(address) = target.ip_address.as_ref().filter(|address| !addresses.insert((*address).clone())) {
            return Err(refused(format!(
                "entry {position} ({:?}): the address {address} stands twice",
                target.hostname
            ))
            .into());
        }
        targets.push(target);
    }
    Ok(targets)
}

/// The entry's name, for a message.
fn called(entry: &Value) -> String {
    entry.get("hostname").and_then(Value::as_str).map(|name| format!(" ({name:?})")).unwrap_or_default()
}

/// One entry, with its address in its one spelling.
fn target(entry: &Value) -> Result<WindowsTarget, String> {
    const KEYS: [&str; 3] = ["hostname", "ip_address", "port"];
    let fields = entry.as_object().ok_or("a target is a map of hostname, ip_address and port")?;
    if let Some(key) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("{key:?} is no field of a target (they are {})", KEYS.join(", ")));
    }
    let target: WindowsTarget =
        serde_path_to_error::deserialize(entry).map_err(|error| match error.path().to_string().as_str() {
            "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        })?;
    if target.hostname.trim().is_empty() {
        return Err("its hostname is empty".to_owned());
    }
    let text = target.ip_address.as_deref().ok_or("it has no ip_address, the only thing it is routed by: add one")?;
    let address: IpAddr = text.parse().map_err(|_| format!("{text:?} is no IP address"))?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{text:?} is the address of no one machine"));
    }
    if target.port == 0 {
        return Err("port 0 is no port (WinRM over HTTPS is 5986)".to_owned());
    }
    Ok(WindowsTarget { ip_address: Some(address.to_string()), ..target })
}
