//! The baseline: what `desired` is, for the appliance and for the Windows servers.
//!
//! A YAML file, by default /etc/msp/baseline.yaml, over the one that is built in: a section or field that the
//! file leaves out keeps its built-in value, a name that is not known is an error at its line and column. So a
//! slip of the finger never switches a check off.

use serde::{Deserialize, Serialize};
use serde_saphyr::options::NonFiniteFloatPolicy;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the baseline is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/msp/baseline.yaml";

const MAX_BYTES: usize = 256 * 1024;

/// What the practice's machines should look like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Baseline {
    /// The machine the agent runs on.
    pub appliance: Appliance,
    /// The Windows servers.
    pub windows: Windows,
}

/// What the appliance should look like, one section a check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Appliance {
    pub patching: Patching,
    pub antivirus: Antivirus,
    pub backup: Backup,
    pub logging: Logging,
    pub firewall: Firewall,
    pub encryption: Encryption,
    pub generation: Generation,
    pub services: Services,
    pub time_sync: TimeSync,
    pub disk: Disk,
}

/// How old knowledge of updates may be, and how many security updates may wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patching {
    /// apt: hours since the package lists were last fetched.
    pub max_list_age_hours: u32,
    /// apt: security updates that may wait.
    pub max_critical_missing: u32,
    /// NixOS: days since the nixpkgs that the system was built from.
    pub max_nixpkgs_age_days: u32,
}

impl Default for Patching {
    fn default() -> Self {
        Self { max_list_age_hours: 72, max_critical_missing: 0, max_nixpkgs_age_days: 30 }
    }
}

/// Which protection from malicious software runs, and how old its signatures may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Antivirus {
    /// Units of ClamAV's daemon; one of them, or of `edr_units`, must run.
    pub clamav_units: Vec<String>,
    /// Units of other products, which keep their own signatures.
    pub edr_units: Vec<String>,
    /// Where ClamAV's databases are.
    pub signature_dir: PathBuf,
    /// Hours since ClamAV's daily database was built.
    pub max_signature_age_hours: u32,
}

impl Default for Antivirus {
    fn default() -> Self {
        Self {
            clamav_units: vec!["clamav-daemon.service".into(), "clamd@scan.service".into()],
            edr_units: Vec::new(),
            signature_dir: "/var/lib/clamav".into(),
            max_signature_age_hours: 72,
        }
    }
}

/// Where the backup's trace is, and how old the newest backup may be. Each source that is named must be fresh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Hours since the newest backup.
    pub max_age_hours: u32,
    /// A file that the backup job writes when it succeeded: a time in it (RFC 3339 or seconds since 1970), or
    /// its modification time.
    pub stamp: Option<PathBuf>,
    /// A restic repository.
    pub restic: Option<Restic>,
    /// A borg repository.
    pub borg: Option<Borg>,
}

impl Default for Backup {
    fn default() -> Self {
        Self { max_age_hours: 24, stamp: None, restic: None, borg: None }
    }
}

/// A restic repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restic {
    /// A directory, or anything restic takes when `password_file` is given.
    pub repository: String,
    /// With it `restic snapshots` is asked; without it the newest file in the directory's `snapshots` counts.
    pub password_file: Option<PathBuf>,
}

/// A borg repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Borg {
    /// A directory, or anything borg takes when `passphrase_file` is given.
    pub repository: String,
    /// With it `borg list` is asked; without it the newest index in the directory counts.
    pub passphrase_file: Option<PathBuf>,
}

/// Which logs are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// The journal is on disk and survives a restart.
    pub journal_persistent: bool,
    /// A running rsyslog counts for a persistent journal.
    pub accept_rsyslog: bool,
    /// Units that must run.
    pub units: Vec<String>,
}

impl Default for Logging {
    fn default() -> Self {
        let units = vec!["systemd-journald.service".into(), "auditd.service".into()];
        Self { journal_persistent: true, accept_rsyslog: false, units }
    }
}

/// Whether a packet that nothing allows is dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Firewall {
    /// Incoming packets that no rule allows are denied, for IPv4 and IPv6.
    pub enabled: bool,
}

impl Default for Firewall {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// What is encrypted at rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Encryption {
    /// Directories; the file system that each is on must be encrypted.
    pub mounts: Vec<PathBuf>,
}

impl Default for Encryption {
    fn default() -> Self {
        Self { mounts: vec!["/".into(), "/var/lib/msp".into()] }
    }
}

/// Which NixOS system runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Generation {
    /// The store path of the system that should run; none accepts any.
    pub declared: Option<PathBuf>,
    /// The declared configuration's revision (`system.configurationRevision`); none accepts any.
    pub configuration_revision: Option<String>,
}

/// Which services run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Services {
    /// Units that must run.
    pub running: Vec<String>,
    /// Units that may be in the failed state.
    pub max_failed: u32,
}

impl Default for Services {
    fn default() -> Self {
        Self { running: vec!["dbus.service".into(), "systemd-journald.service".into()], max_failed: 0 }
    }
}

/// How far the clock may be off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeSync {
    /// Milliseconds, either way.
    pub max_offset_ms: u32,
}

impl Default for TimeSync {
    fn default() -> Self {
        Self { max_offset_ms: 5000 }
    }
}

/// How full file systems may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Mount points; those that this machine does not have are passed over.
    pub mounts: Vec<PathBuf>,
    /// Per cent of the space, as df(1) counts it.
    pub max_used_percent: u8,
    /// Per cent of the inodes.
    pub max_inodes_used_percent: u8,
}

impl Default for Disk {
    fn default() -> Self {
        let mounts = ["/", "/boot", "/nix", "/home", "/var", "/var/lib", "/var/lib/msp", "/var/log"];
        Self { mounts: mounts.map(PathBuf::from).to_vec(), max_used_percent: 85, max_inodes_used_percent: 85 }
    }
}

/// What the Windows servers should look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Windows {
    /// Firewall profiles that must be on.
    pub firewall_profiles: Vec<FirewallProfile>,
    /// Services that must run, by their short name.
    pub services: Vec<String>,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            firewall_profiles: vec![FirewallProfile::Domain, FirewallProfile::Private, FirewallProfile::Public],
            services: ["DNS", "NTDS", "Netlogon", "Kdc", "W32Time", "EventLog"].map(String::from).to_vec(),
        }
    }
}

/// A profile of the Windows firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirewallProfile {
    Domain,
    Private,
    Public,
}

impl FirewallProfile {
    /// The name as Windows writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "Domain",
            Self::Private => "Private",
            Self::Public => "Public",
        }
    }
}

/// Why there is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    #[error("the baseline {path} cannot be read (create it, or name another: --baseline, baseline_path)")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the baseline {path} is longer than {MAX_BYTES} bytes; it should be a page")]
    TooLong { path: String },
    #[error("{path}:{line}:{column}: {message}")]
    Invalid { path: String, line: u64, column: u64, message: String },
}

impl Baseline {
    /// The baseline that is built in.
    pub fn built_in() -> Result<Self, BaselineError> {
        Self::parse(msp_rules::DEFAULT_BASELINE, "the built-in baseline")
    }

    /// The baseline in a file.
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let named = path.display().to_string();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text))
            .map_err(|source| BaselineError::Read { path: named.clone(), source })?;
        Self::parse(&text, &named)
    }

    /// The baseline in a text; `path` names it in errors.
    pub fn parse(text: &str, path: &str) -> Result<Self, BaselineError> {
        if text.len() > MAX_BYTES {
            return Err(BaselineError::TooLong { path: path.to_owned() });
        }
        let options = serde_saphyr::options! {
            strict_booleans: true,
            with_snippet: false,
            non_finite_float_policy: NonFiniteFloatPolicy::Reject,
            budget: serde_saphyr::budget! {
                max_depth: 16,
                max_nodes: 10_000,
                max_documents: 1,
                max_anchors: 50,
                max_aliases: 50,
            },
        };
        // An empty file, or one of comments, changes nothing.
        let baseline: Option<Self> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| invalid(&error, path))?;
        Ok(baseline.unwrap_or_default())
    }
}

fn invalid(error: &serde_saphyr::Error, path: &str) -> BaselineError {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let error = error.without_snippet();
    let message = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => unknown_name(field, expected),
        other => {
            let text = other.to_string();
            text.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&text).to_owned()
        }
    };
    BaselineError::Invalid { path: path.to_owned(), line, column, message }
}

fn unknown_name(typed: &str, known: &[&'static str]) -> String {
    let mut message = format!("unknown field \"{typed}\"");
    let nearest = msp_rules::did_you_mean(typed, known.iter().copied());
    // Writing to a String cannot fail.
    let _ = match nearest {
        Some(name) => write!(message, " (did you mean \"{name}\"?)"),
        None => Ok(()),
    };
    let _ = write!(message, "; known here: {}", known.join(", "));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_built_in_says_what_the_code_defaults_to() {
        assert_eq!(Baseline::built_in().unwrap(), Baseline::default());
    }

    #[test]
    fn the_built_in_file_names_every_field() {
        let file: serde_json::Value = serde_saphyr::from_str(msp_rules::DEFAULT_BASELINE).unwrap();
        let code = serde_json::to_value(Baseline::default()).unwrap();
        fn names(at: &str, value: &serde_json::Value, into: &mut Vec<String>) {
            for (name, value) in value.as_object().into_iter().flatten() {
                into.push(format!("{at}/{name}"));
                names(&format!("{at}/{name}"), value, into);
            }
        }
        let (mut written, mut known) = (Vec::new(), Vec::new());
        names("", &file, &mut written);
        names("", &code, &mut known);
        written.sort();
        known.sort();
        assert_eq!(written, known);
    }

    #[test]
    fn what_a_file_leaves_out_keeps_its_built_in_value() {
        let baseline = Baseline::parse("appliance: {disk: {max_used_percent: 70}}", "b").unwrap();
        assert_eq!(baseline.appliance.disk.max_used_percent, 70);
        assert_eq!(baseline.appliance.disk.mounts, Disk::default().mounts);
        assert_eq!(baseline.windows, Windows::default());
        assert_eq!(Baseline::parse("# nothing\n", "b").unwrap(), Baseline::default());
    }

    #[test]
    fn an_unknown_name_is_an_error_at_its_place_with_the_cure() {
        let text = "appliance:\n  disk:\n    max_used_precent: 70\n";
        let error = Baseline::parse(text, "b.yaml").unwrap_err().to_string();
        assert!(error.starts_with("b.yaml:3:5: unknown field \"max_used_precent\""), "{error}");
        assert!(error.contains("(did you mean \"max_used_percent\"?)"), "{error}");
        assert!(error.contains("known here: mounts,"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error_at_its_place() {
        for text in [
            "appliance:\n  disk:\n    max_used_percent: many\n",
            "appliance:\n  disk:\n    max_used_percent: -1\n",
            "appliance:\n  firewall:\n    enabled: yes\n",
            "appliance:\n  disk:\n    max_used_percent: 1\n    max_used_percent: 2\n",
        ] {
            let error = Baseline::parse(text, "b.yaml").unwrap_err().to_string();
            assert!(error.starts_with("b.yaml:3:") || error.starts_with("b.yaml:4:"), "{error}");
        }
    }
}
