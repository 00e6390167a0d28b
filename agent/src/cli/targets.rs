//! `msp-agent targets`: which Windows servers this appliance looks after, and which entries it refuses.

use super::{ConfigArg, print_json};
use crate::adapters::inventory::{self, Server};
use crate::config::credentials;
use crate::report::checkin;
use crate::store::{open_for_reading, statuses};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

/// List the Windows servers of the last check-in with how their checks stand, and the entries that are refused
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  msp-agent targets\n\nExit code 1 when an entry is refused or has no credentials.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// One JSON document: {"targets": [...], "refused": [...]}
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let db = open_for_reading(&config.state_dir)?;
    let (servers, refused) = inventory::read(&checkin::inventory(&db)?);
    let logon = |server: &Server| {
        let found = credentials::find(&config, &server.hostname, server.sealed.as_deref());
        found.err().map(|error| error.to_string())
    };
    let servers: Vec<_> = servers.iter().map(|server| (server, logon(server))).collect();
    let code = if refused.is_empty() && servers.iter().all(|(_, trouble)| trouble.is_none()) { 0 } else { super::NO };
    if args.json {
        let targets: Vec<_> = servers
            .iter()
            .map(|(server, trouble)| {
                let checks = statuses::on(&db, Some(&server.address.to_string()), None).unwrap_or_default();
                json!({
                    "checks": checks, "hostname": server.hostname, "ip_address": server.address, "port": server.port,
                    "access": server.access.words(), "credentials": trouble.is_none(),
                })
            })
            .collect();
        let refused: Vec<_> =
            refused.iter().map(|one| json!({ "hostname": one.hostname, "reason": one.reason })).collect();
        print_json(out, &json!({ "targets": targets, "refused": refused }))?;
        return Ok(ExitCode::from(code));
    }
    if servers.is_empty() && refused.is_empty() {
        writeln!(
            out,
            "no Windows servers: Central Command's inventory for this site is empty, or there was no check-in yet"
        )?;
    }
    for (server, trouble) in servers {
        let trouble = trouble.map_or_else(String::new, |trouble| format!("  {trouble}"));
        let address = SocketAddr::new(server.address, server.port);
        let checks = stand(&statuses::on(&db, Some(&server.address.to_string()), None)?);
        writeln!(out, "{}  {address}  {}  {checks}{trouble}", server.hostname, server.access.words())?;
    }
    for one in refused {
        writeln!(out, "{one}")?;
    }
    Ok(ExitCode::from(code))
}

/// How the checks of a server stand: what is not well by name, the rest as a number.
fn stand(checks: &[statuses::Listed]) -> String {
    if checks.is_empty() {
        return "not looked at yet".to_owned();
    }
    let well = |one: &&statuses::Listed| matches!(one.status.as_str(), "compliant" | "unsupported");
    let named =
        checks.iter().filter(|one| !well(one)).map(|one| format!("{} {} since {}", one.check, one.status, one.since));
    let compliant = checks.iter().filter(|one| one.status == "compliant").count();
    named.chain([format!("{compliant} checks compliant")]).collect::<Vec<_>>().join(", ")
}
