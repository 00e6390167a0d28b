//! Where an enrolment puts its files, and the configuration that names them.

use crate::adapters::private_file::{self, PrivateFileError, Readers};
use crate::config::{self, Config};
use anyhow::Context;
use msp_contracts::api::EnrollReply;
use std::path::{Path, PathBuf};

/// The files of an enrolled appliance.
pub(super) struct Placed {
    /// Certificate and private key in one.
    pub(super) identity: PathBuf,
    /// The fleet's authority.
    pub(super) authority: PathBuf,
    /// The key that signs evidence.
    pub(super) signing: PathBuf,
    /// The key that opens credentials.
    pub(super) encryption: PathBuf,
}

impl Placed {
    /// In `folder`; keys that a configuration names already stay where they are.
    pub(super) fn in_folder(folder: &Path, present: Option<&Config>) -> Self {
        let kept = |file: Option<PathBuf>, name: &str| file.filter(|file| file.exists()).unwrap_or(folder.join(name));
        Self {
            identity: folder.join("identity.pem"),
            authority: folder.join("ca.pem"),
            signing: kept(present.map(|config| config.signing_key_file.clone()), "signing.pem"),
            encryption: kept(present.map(Config::encryption_key), "encryption.key"),
        }
    }
}

/// What became of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// There was none.
    New,
    /// It says what it should.
    Unchanged,
    /// It says something else, and is a person's to change.
    Differs,
}

impl Written {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "written",
            Self::Unchanged => "unchanged",
            Self::Differs => "differs",
        }
    }
}

/// The lines that an enrolled appliance needs in its configuration, in their order.
pub(super) struct Settings(Vec<(&'static str, String)>);

impl Settings {
    /// What Central Command told, and where the files are.
    pub(super) fn of(reply: &EnrollReply, placed: &Placed) -> anyhow::Result<Self> {
        let key = reply.mcp_public_keys.first().context("Central Command told no key that it signs with")?;
        let path = |file: &Path| file.display().to_string();
        Ok(Self(vec![
            ("site_id", reply.site_id.clone()),
            ("host_id", reply.appliance.clone()),
            ("mcp_url", reply.mcp_url.clone()),
            ("mcp_public_key", key.clone()),
            ("client_cert_file", path(&placed.identity)),
            ("client_key_file", path(&placed.identity)),
            ("ca_cert_file", path(&placed.authority)),
            ("signing_key_file", path(&placed.signing)),
            ("encryption_key_file", path(&placed.encryption)),
        ]))
    }

    /// As lines of a configuration. A string of JSON is one of YAML, whatever is in it.
    pub(super) fn text(&self) -> String {
        let line = |(key, value): &(&str, String)| format!("{key}: {}\n", serde_json::Value::from(value.as_str()));
        self.0.iter().map(line).collect()
    }

    /// Whether a configuration says all of this.
    fn are_in(&self, config: &Config) -> bool {
        let path = |file: &Path| file.display().to_string();
        let said = |key: &str| match key {
            "site_id" => config.site_id.clone(),
            "host_id" => config.host_id.clone(),
            "mcp_url" => config.mcp_url.trim_end_matches('/').to_owned(),
            "mcp_public_key" => config.mcp_public_key.clone(),
            "client_cert_file" => path(&config.client_cert_file),
            "client_key_file" => path(&config.client_key_file),
            "ca_cert_file" => path(&config.ca_cert_file),
            "signing_key_file" => path(&config.signing_key_file),
            "encryption_key_file" => path(&config.encryption_key()),
            _ => String::new(),
        };
        self.0.iter().all(|(key, value)| said(key) == *value)
    }

    /// Writes the configuration where there is none.
    pub(super) fn write(&self, file: &Path) -> Result<Written, PrivateFileError> {
        if file.exists() {
            let says_so = config::load(file, []).is_ok_and(|loaded| self.are_in(&loaded.config));
            return Ok(if says_so { Written::Unchanged } else { Written::Differs });
        }
        let head = "# Written by `msp-agent enroll`. What is not here has its default: docs/configuration.md.\n";
        private_file::replace(file, format!("{head}{}", self.text()).as_bytes(), Readers::Group)?;
        Ok(Written::New)
    }
}
