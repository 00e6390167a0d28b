//! How a command reaches a Windows server: as the inventory says, or as the command line does.

use crate::adapters::inventory::{self, Access, Server};
use crate::adapters::winrm::WindowsHost;
use crate::cli::CONFIG;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::credentials::{self, Credentials};
use crate::orders::routing;
use crate::report::checkin;
use crate::store::open_for_reading;
use anyhow::Context;
use msp_contracts::api::Authentication;
use msp_contracts::fingerprint::Fingerprint;
use msp_rules::Catalogue;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

const HTTP_PORT: u16 = 5985;
const HTTPS_PORT: u16 = 5986;

/// How the server is reached.
#[derive(Debug, clap::Args)]
pub struct ReachArgs {
    /// The configuration, YAML or JSON; MSP_* environment variables win over it
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// Reach a server that is in no inventory, with this account (DOMAIN\name or name)
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// The account's password, alone in a file that only you can read; a line end after it is ignored
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// WinRM over plain HTTP, with NTLM and every message sealed [default: over TLS]
    #[arg(long, requires = "user", conflicts_with_all = ["ca_cert", "certificate_sha256"])]
    http: bool,
    /// WinRM's port [default: 5986, with --http 5985]
    #[arg(long, requires = "user")]
    port: Option<u16>,
    /// The authority that issued the server's certificate, in PEM [default: the system's]
    #[arg(long, value_name = "FILE", requires = "user")]
    ca_cert: Option<PathBuf>,
    /// Believe the one certificate with this SHA-256, in hexadecimal, whoever issued it
    #[arg(long, value_name = "HEX", requires = "user", conflicts_with = "ca_cert")]
    certificate_sha256: Option<Fingerprint>,
}

/// A server, and how to log on to it.
pub struct Reached {
    pub server: Server,
    credentials: Credentials,
    authority: Option<PathBuf>,
    /// The configuration that named it; none when the command line did.
    pub config: Option<Config>,
}

impl ReachArgs {
    /// The server that `name` leads to.
    ///
    /// # Errors
    /// When it leads to none or to several, or there are no credentials that can be used.
    pub fn find(&self, name: &str) -> anyhow::Result<Reached> {
        match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => self.as_told(name, user, file),
            _ => self.in_the_inventory(name),
        }
    }

    fn as_told(&self, name: &str, user: &str, password_file: &Path) -> anyhow::Result<Reached> {
        let address: IpAddr =
            name.parse().with_context(|| format!("{name:?}: with --user the server is named by its IP address"))?;
        let access = if self.http {
            Access::SealedHttp
        } else {
            Access::Https { authentication: Authentication::Ntlm, pinned: self.certificate_sha256.clone() }
        };
        let port = self.port.unwrap_or(if self.http { HTTP_PORT } else { HTTPS_PORT });
        let server = Server { hostname: name.to_owned(), address: address.to_canonical(), port, sealed: None, access };
        let credentials = Credentials { username: user.to_owned(), password: password(password_file)?.as_str().into() };
        Ok(Reached { server, credentials, authority: self.ca_cert.clone(), config: None })
    }

    fn in_the_inventory(&self, name: &str) -> anyhow::Result<Reached> {
        let config = crate::cli::load(&self.config)?.config;
        let db = open_for_reading(&config.state_dir)?;
        let (servers, refused) = inventory::read(&checkin::inventory(&db)?);
        let server = routing::find(&servers, name)
            .with_context(|| {
                let refused = refused.iter().map(|one| format!("{one}; ")).collect::<String>();
                format!("{refused}a server that is in no inventory is reached with --user and --password-file")
            })?
            .clone();
        let credentials = credentials::find(&config, &server.hostname, server.sealed.as_deref())?;
        Ok(Reached { server, credentials, authority: config.windows_ca_cert_file.clone(), config: Some(config) })
    }
}

impl Reached {
    /// The baseline that the configuration names, where there is such a file.
    pub fn baseline_path(&self) -> Option<&Path> {
        self.config.as_ref().map(|config| config.baseline_path.as_path()).filter(|path| path.exists())
    }

    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    /// When the authority's file cannot be used.
    pub fn connect(&self, catalogue: Arc<Catalogue>) -> anyhow::Result<WindowsHost> {
        let clock = Arc::new(SystemClock::start());
        let authority = self.authority.as_deref();
        Ok(WindowsHost::new(&self.server, &self.credentials, authority, catalogue, clock)?)
    }
}

fn password(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mode = std::fs::metadata(file).with_context(|| file.display().to_string())?.permissions().mode() & 0o777;
    anyhow::ensure!(mode & 0o077 == 0, "{}: other users can read it (mode {mode:04o}): chmod 600 it", file.display());
    let text = std::fs::read_to_string(file).map(Zeroizing::new).with_context(|| file.display().to_string())?;
    let password = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    anyhow::ensure!(!password.is_empty(), "{}: it is empty: write the account's password into it", file.display());
    Ok(password)
}
