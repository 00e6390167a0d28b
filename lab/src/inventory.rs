//! What Central Command is told of a site's Windows servers.

use crate::drift::Server;
use crate::process::succeed;
use anyhow::Context;
use serde_json::{Value, json};
use std::path::Path;

/// Tells Central Command of a site's servers. All log on with NTLM: to domain controllers over plain HTTP with every
/// message sealed, to the others inside TLS.
pub(crate) async fn tell(central_dir: &str, site: &str, folder: &Path, servers: &[&Server]) -> anyhow::Result<()> {
    let entry = |server: &&Server| {
        let (hostname, sealed) = (&server.hostname, server.winrm_http);
        if server.profile == "dc" {
            return json!({
                "hostname": hostname, "ip_address": sealed.ip(), "port": sealed.port(), "transport": "http"
            });
        }
        json!({ "hostname": hostname, "ip_address": server.winrm.ip(), "port": server.winrm.port() })
    };
    set(central_dir, site, folder, &servers.iter().map(entry).collect()).await
}

/// Gives Central Command this list, in the form of `targets set`.
pub(crate) async fn set(central_dir: &str, site: &str, folder: &Path, entries: &Value) -> anyhow::Result<()> {
    let file = folder.join("targets.json").display().to_string();
    std::fs::write(&file, entries.to_string()).context("writing the inventory")?;
    succeed("msp-central", &["targets", "set", "--dir", central_dir, "--site", site, &file]).await?;
    Ok(())
}
