//! `targets`: the Windows servers of a site, from a file.
//!
//! A target is routed by its address and by nothing else, so an entry without a valid one is refused by
//! its name, and two entries can never share an address or a name. So is one whose way in would show a
//! password to the network. A file without a list is refused: an empty file is more often a failed export
//! than the wish to look after nothing.

use super::{Dir, Refused, Site, credentials, print_json, table};
use crate::directory;
use crate::store::{Store, TargetRow};
use clap::Subcommand;
use msp_contracts::api::{Authentication, Transport, WindowsTarget};
use msp_contracts::fingerprint::Fingerprint;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "\
Example: change the list of a site.
  msp-central targets list --dir /var/lib/msp-central --site clinic-a --json \\
    > targets.json
  msp-central targets set --dir /var/lib/msp-central --site clinic-a \\
    targets.json";

const SET_EXAMPLE: &str = "\
Example:
  msp-central targets set --dir /var/lib/msp-central --site clinic-a \\
    targets.yaml

targets.yaml (or the same as .json) replaces the site's list:
  - {hostname: DC01, ip_address: 192.168.10.5}
  - {hostname: FILES, ip_address: 192.168.10.6, transport: http}
  - hostname: XRAY
    ip_address: 192.168.10.7
    port: 15986
    authentication: basic
    certificate_sha256: 5E:9F:...

An entry needs an IP address: it is the only thing a target is routed by.
  transport           https (default), or http: then every message is
                      sealed with the logon's session key
  port                default 5986, over http 5985
  authentication      ntlm (default), or basic: over https only, because
                      it sends the password
  certificate_sha256  believe this certificate and no other; to see it:
                      openssl s_client -connect ADDRESS:5986 </dev/null |
                        openssl x509 -noout -fingerprint -sha256
  appliance           the one that looks after the server; if not
                      said, the first of the site that checked in
A file that holds nothing is refused; the list [] takes all servers away.";

/// Where WinRM listens over plain HTTP.
const HTTP_PORT: u16 = 5985;

/// `targets ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
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
    /// How the appliances log on to them
    #[command(subcommand)]
    Credentials(credentials::Command),
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
            owners(&store, site, &targets).await?;
            let before = store.set_targets(site, &targets).await?;
            store.close().await;
            let count = targets.len();
            writeln!(out, "{site} has {count} Windows servers (before: {}).", before.len())?;
            let before: Vec<_> = before.into_iter().map(|row| row.target).collect();
            let targets: Vec<_> = targets.into_iter().map(|(target, _)| target).collect();
            changes(&before, &targets, out)?;
            writeln!(out, "Its appliances learn them at their next check-in.")?;
            Ok(())
        }
        Command::Credentials(command) => credentials::run(command, out).await,
        Command::List { dir, site, json } => {
            let store = dir.store().await?;
            list(&store, site.registered(&store).await?, *json, out).await
        }
    }
}

/// What was added and removed; a target that differs in anything is another target.
fn changes(before: &[WindowsTarget], now: &[WindowsTarget], out: &mut dyn Write) -> std::io::Result<()> {
    let only_in = |these: &[WindowsTarget], others: &[WindowsTarget]| -> Vec<String> {
        let missing = these.iter().filter(|target| !others.contains(target));
        missing
            .map(|target| {
                let address = target.ip_address.as_deref().unwrap_or_default();
                format!("{} ({address}, port {}, {})", table::printable(&target.hostname), target.port, access(target))
            })
            .collect()
    };
    let (added, removed) = (only_in(now, before), only_in(before, now));
    if added.is_empty() && removed.is_empty() {
        return writeln!(out, "  nothing was added or removed");
    }
    added.iter().try_for_each(|target| writeln!(out, "  added    {target}"))?;
    removed.iter().try_for_each(|target| writeln!(out, "  removed  {target}"))
}

async fn list(store: &Store, site: &str, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let targets = store.owned_targets(site).await?;
    if json {
        return print_json(out, &targets.into_iter().map(Entry::from).collect::<Vec<_>>());
    }
    let standing = credentials::standing(store, site, &targets).await?;
    let rows: Vec<Vec<String>> = targets
        .into_iter()
        .zip(standing)
        .map(|(TargetRow { target, owner, .. }, logon)| {
            let owner = owner.unwrap_or_else(|| "the first to check in".to_owned());
            let access = access(&target);
            let address = target.ip_address.unwrap_or_default();
            vec![target.hostname, address, target.port.to_string(), access, owner, logon]
        })
        .collect();
    let heads = ["Host name", "Address", "Port", "Access", "Appliance", "Logon"];
    table::print(out, &heads, &rows, "No Windows server yet.")
}

/// How a target is reached, in words.
fn access(target: &WindowsTarget) -> String {
    let transport = match target.transport {
        Transport::Https => "https",
        Transport::Http => "http",
    };
    let authentication = match target.authentication {
        Authentication::Ntlm => "ntlm",
        Authentication::Basic => "basic",
    };
    let pinned = if target.certificate_sha256.is_some() { ", pinned" } else { "" };
    format!("{transport}, {authentication}{pinned}")
}

/// A target as `targets set` reads it.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    target: WindowsTarget,
    #[serde(skip_serializing_if = "Option::is_none")]
    appliance: Option<String>,
}

impl From<TargetRow> for Entry {
    fn from(row: TargetRow) -> Self {
        Self { target: row.target, appliance: row.appliance }
    }
}

/// A server must not be given to an appliance that is not there: nobody would look after it.
async fn owners(store: &Store, site: &str, targets: &[(WindowsTarget, Option<String>)]) -> anyhow::Result<()> {
    let known: Vec<String> = store.appliances(Some(site)).await?.into_iter().map(|row| row.appliance).collect();
    let stranger = targets.iter().find_map(|(target, owner)| {
        owner.as_ref().filter(|owner| !known.contains(owner)).map(|owner| (&target.hostname, owner))
    });
    let Some((hostname, owner)) = stranger else { return Ok(()) };
    let known = known.join(", ");
    Err(Refused(format!("{hostname:?}: {owner:?} is no appliance of {site} (its appliances are {known})")).into())
}

fn read(file: &Path) -> anyhow::Result<Vec<(WindowsTarget, Option<String>)>> {
    let text = directory::read_text(file)?;
    let name = file.display();
    let refused = |reason: String| Refused(format!("{name}: {reason}"));
    let json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let (format, document) = if json {
        ("JSON", serde_json::from_str(&text).map_err(|error| error.to_string()))
    } else {
        ("YAML", serde_saphyr::from_str(&text).map_err(|error| error.to_string()))
    };
    let what_is_asked = "write the list of all servers, or [] to take all servers away";
    let no_list = |reason: &str| refused(format!("no {format} list of targets: {reason} ({what_is_asked})"));
    // An empty JSON text is a syntax error, an empty YAML text is null: to whoever wrote it, both are empty.
    let entries = match document {
        _ if text.trim().is_empty() => return Err(no_list("the file is empty").into()),
        Ok(Value::Array(entries)) => entries,
        Ok(Value::Null) => return Err(no_list("the file holds nothing").into()),
        Ok(_) => return Err(no_list("the file holds something else").into()),
        Err(error) => return Err(no_list(&error).into()),
    };
    let mut targets = Vec::with_capacity(entries.len());
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for (position, entry) in (1_usize..).zip(&entries) {
        let owner = owner(entry).map_err(|reason| refused(format!("entry {position}{}: {reason}", called(entry))))?;
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
        targets.push((target, owner));
    }
    Ok(targets)
}

/// The entry's name, for a message.
fn called(entry: &Value) -> String {
    entry.get("hostname").and_then(Value::as_str).map(|name| format!(" ({name:?})")).unwrap_or_default()
}

/// The appliance that an entry names.
fn owner(entry: &Value) -> Result<Option<String>, String> {
    match entry.get("appliance") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(owner)) => Ok(Some(owner.clone())),
        Some(_) => Err("appliance is no text (quote an id that is all digits)".to_owned()),
    }
}

/// One entry, with its address in its one spelling.
fn target(entry: &Value) -> Result<WindowsTarget, String> {
    const KEYS: [&str; 7] =
        ["hostname", "ip_address", "port", "transport", "authentication", "certificate_sha256", "appliance"];
    let fields = entry.as_object().ok_or("a target is a map, at least of hostname and ip_address")?;
    if let Some(key) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("{key:?} is no field of a target (they are {})", KEYS.join(", ")));
    }
    let mut target: WindowsTarget =
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
        return Err("port 0 is no port (WinRM over HTTPS is 5986, over HTTP 5985)".to_owned());
    }
    if target.transport == Transport::Http {
        if !fields.contains_key("port") {
            target.port = HTTP_PORT;
        }
        if target.authentication == Authentication::Basic {
            return Err("authentication basic over transport http would show the password to the network: \
                        use ntlm, or transport https"
                .to_owned());
        }
        if target.certificate_sha256.is_some() {
            return Err(
                "certificate_sha256 pins the certificate of transport https: over http there is none".to_owned()
            );
        }
    }
    if let Some(text) = &target.certificate_sha256 {
        let pinned: Fingerprint = text.parse().map_err(|error| format!("certificate_sha256: {error}"))?;
        target.certificate_sha256 = Some(pinned.to_string());
    }
    Ok(WindowsTarget { ip_address: Some(address.to_string()), ..target })
}
