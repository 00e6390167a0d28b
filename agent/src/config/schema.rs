//! The keys of the configuration, with their defaults.
//!
//! The names are those that operators know; older spellings stand in [`OLD_SPELLINGS`] and are accepted
//! with a warning. An unknown key is an error. Times are seconds unless the name says otherwise.

use super::window::Window;
use msp_contracts::evidence::DeploymentMode;
use serde::Deserialize;
use std::path::PathBuf;

/// Older names of keys: (old, new).
pub const OLD_SPELLINGS: &[(&str, &str)] = &[
    ("mcp_base_url", "mcp_url"),
    ("client_cert", "client_cert_file"),
    ("client_key", "client_key_file"),
    ("ca_cert", "ca_cert_file"),
];

/// Every key, in the order of the documentation. A test holds it against [`Config`].
pub const KEYS: &[&str] = &[
    "site_id",
    "host_id",
    "deployment_mode",
    "reseller_id",
    "mcp_url",
    "mcp_public_key",
    "client_cert_file",
    "client_key_file",
    "ca_cert_file",
    "signing_key_file",
    "encryption_key_file",
    "state_dir",
    "baseline_path",
    "rules_dir",
    "windows_credentials_dir",
    "windows_ca_cert_file",
    "poll_interval",
    "host_check_interval",
    "windows_slow_check_interval",
    "sensor_keys_file",
    "order_ttl",
    "max_queue_size",
    "maintenance_window",
    "maintenance_window_enabled",
    "maintenance_window_start",
    "maintenance_window_end",
    "maintenance_window_days",
    "maintenance_window_timezone",
    "allow_disruptive_outside_window",
    "disruptive_from",
    "healing_enabled",
    "dry_run",
    "runbook_allowlist",
    "heals_per_host_per_hour",
    "heals_per_site_per_hour",
    "flap_limit",
    "flap_window_hours",
    "breaker_failures",
    "breaker_pause_minutes",
    "l2_enabled",
    "l2_mode",
    "l2_api_key_file",
    "escalation_webhook_url",
    "evidence_retention_days",
    "ntp_max_skew_ms",
    "metrics_textfile",
    "log_level",
];

/// Keys that are read and checked, but that nothing in this version acts on. Setting one warns.
pub const NOT_IN_THIS_VERSION: &[&str] = &[
    "l2_enabled",
    "l2_mode",
    "l2_api_key_file",
    "escalation_webhook_url",
    "evidence_retention_days",
    "ntp_max_skew_ms",
];

/// Keys whose value is a list; the environment writes it with commas.
pub const LISTS: &[&str] = &["maintenance_window_days", "runbook_allowlist"];

/// Where level 2 asks its language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannerMode {
    Local,
    Api,
    Hybrid,
}

/// How much the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    #[serde(alias = "warning")]
    Warn,
    #[serde(alias = "INFO")]
    Info,
    #[serde(alias = "DEBUG")]
    Debug,
    Trace,
}

impl LogLevel {
    /// The filter of the agent's own messages; libraries stay at `warn`.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "warn,msp_agent=info,winrm_rs=error",
            Self::Debug => "warn,msp_agent=debug,msp_rules=debug",
            Self::Trace => "trace",
        }
    }
}

/// From which degree of disturbance on a runbook is disruptive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DisruptiveFrom {
    /// Connections may drop.
    Medium,
    /// Work stops.
    #[default]
    High,
}

impl From<DisruptiveFrom> for msp_rules::Disruption {
    fn from(from: DisruptiveFrom) -> Self {
        match from {
            DisruptiveFrom::Medium => Self::Medium,
            DisruptiveFrom::High => Self::High,
        }
    }
}

/// A day of the week of the maintenance window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    #[serde(alias = "monday")]
    Mon,
    #[serde(alias = "tuesday")]
    Tue,
    #[serde(alias = "wednesday")]
    Wed,
    #[serde(alias = "thursday")]
    Thu,
    #[serde(alias = "friday")]
    Fri,
    #[serde(alias = "saturday")]
    Sat,
    #[serde(alias = "sunday")]
    Sun,
}

impl Weekday {
    /// The day as calendars reckon with it.
    pub fn civil(self) -> jiff::civil::Weekday {
        match self {
            Self::Mon => jiff::civil::Weekday::Monday,
            Self::Tue => jiff::civil::Weekday::Tuesday,
            Self::Wed => jiff::civil::Weekday::Wednesday,
            Self::Thu => jiff::civil::Weekday::Thursday,
            Self::Fri => jiff::civil::Weekday::Friday,
            Self::Sat => jiff::civil::Weekday::Saturday,
            Self::Sun => jiff::civil::Weekday::Sunday,
        }
    }
}

/// The whole configuration of one agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "keys of NOT_IN_THIS_VERSION are held so that a wrong value is an error today")]
pub struct Config {
    pub site_id: String,
    /// Defaults to the host name.
    #[serde(default = "host_name")]
    pub host_id: String,
    #[serde(default)]
    pub deployment_mode: DeploymentMode,
    pub reseller_id: Option<String>,
    /// Central Command, `https://` only.
    pub mcp_url: String,
    /// The key that signs what Central Command sends: 64 hexadecimal characters.
    pub mcp_public_key: String,
    pub client_cert_file: PathBuf,
    pub client_key_file: PathBuf,
    pub ca_cert_file: PathBuf,
    pub signing_key_file: PathBuf,
    /// The key that opens encrypted credentials; beside the signing key unless set.
    pub encryption_key_file: Option<PathBuf>,
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// What `desired` is; built in when the default file does not exist.
    #[serde(default = "baseline_path")]
    pub baseline_path: PathBuf,
    #[serde(default = "rules_dir")]
    pub rules_dir: PathBuf,
    #[serde(default = "windows_credentials_dir")]
    pub windows_credentials_dir: PathBuf,
    /// The authority that issued the Windows servers' WinRM certificates.
    pub windows_ca_cert_file: Option<PathBuf>,
    /// Check-in, rule sync and Windows checks, in seconds.
    #[serde(default = "poll_interval")]
    pub poll_interval: u64,
    /// Checks of the appliance itself, in seconds.
    #[serde(default = "host_check_interval")]
    pub host_check_interval: u64,
    /// The checks of a Windows server that keep it busy (updates, directory), in seconds.
    #[serde(default = "windows_slow_check_interval")]
    pub windows_slow_check_interval: u64,
    /// The keys of the sensors that may push drift; without it no socket is served.
    pub sensor_keys_file: Option<PathBuf>,
    #[serde(default = "order_ttl")]
    pub order_ttl: u64,
    #[serde(default = "max_queue_size")]
    pub max_queue_size: u64,
    /// `HH:MM-HH:MM`.
    pub maintenance_window: Option<String>,
    pub maintenance_window_enabled: Option<bool>,
    /// `HH:MM`.
    pub maintenance_window_start: Option<jiff::civil::Time>,
    /// `HH:MM`.
    pub maintenance_window_end: Option<jiff::civil::Time>,
    /// The days on which it begins; empty: every day.
    #[serde(default)]
    pub maintenance_window_days: Vec<Weekday>,
    /// A name of the IANA database; the machine's own zone when absent.
    pub maintenance_window_timezone: Option<String>,
    /// What the keys above come to; set when the configuration is loaded.
    #[serde(skip)]
    pub window: Option<Window>,
    #[serde(default)]
    pub allow_disruptive_outside_window: bool,
    #[serde(default)]
    pub disruptive_from: DisruptiveFrom,
    #[serde(default = "yes")]
    pub healing_enabled: bool,
    #[serde(default)]
    pub dry_run: bool,
    /// The runbooks that may run; empty: every one that this version ships.
    #[serde(default)]
    pub runbook_allowlist: Vec<String>,
    #[serde(default = "heals_per_host_per_hour")]
    pub heals_per_host_per_hour: u32,
    #[serde(default = "heals_per_site_per_hour")]
    pub heals_per_site_per_hour: u32,
    /// So many heals of the same thing within `flap_window_hours`, and the next goes to a person.
    #[serde(default = "flap_limit")]
    pub flap_limit: u32,
    #[serde(default = "flap_window_hours")]
    pub flap_window_hours: u32,
    /// So many heals of a machine in a row failed, and it is left alone for `breaker_pause_minutes`.
    #[serde(default = "breaker_failures")]
    pub breaker_failures: u32,
    #[serde(default = "breaker_pause_minutes")]
    pub breaker_pause_minutes: u32,
    #[serde(default)]
    pub l2_enabled: bool,
    pub l2_mode: Option<PlannerMode>,
    pub l2_api_key_file: Option<PathBuf>,
    pub escalation_webhook_url: Option<String>,
    /// Six years by default: 45 CFR 164.316(b)(2)(i).
    #[serde(default = "evidence_retention_days")]
    pub evidence_retention_days: u32,
    #[serde(default = "ntp_max_skew_ms")]
    pub ntp_max_skew_ms: u64,
    /// Where node_exporter's textfile collector finds the agent's numbers: a file that ends in `.prom`.
    pub metrics_textfile: Option<PathBuf>,
    #[serde(default = "log_level")]
    pub log_level: LogLevel,
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
fn state_dir() -> PathBuf {
    "/var/lib/msp".into()
}
fn baseline_path() -> PathBuf {
    super::baseline::DEFAULT_PATH.into()
}
fn rules_dir() -> PathBuf {
    "/etc/msp/rules".into()
}
fn windows_credentials_dir() -> PathBuf {
    "/etc/msp/windows".into()
}
fn poll_interval() -> u64 {
    60
}
fn host_check_interval() -> u64 {
    300
}
fn windows_slow_check_interval() -> u64 {
    3600
}
fn order_ttl() -> u64 {
    900
}
fn max_queue_size() -> u64 {
    1000
}
fn yes() -> bool {
    true
}
fn heals_per_host_per_hour() -> u32 {
    12
}
fn heals_per_site_per_hour() -> u32 {
    60
}
fn flap_limit() -> u32 {
    3
}
fn flap_window_hours() -> u32 {
    24
}
fn breaker_failures() -> u32 {
    3
}
fn breaker_pause_minutes() -> u32 {
    30
}
fn evidence_retention_days() -> u32 {
    2192
}
fn ntp_max_skew_ms() -> u64 {
    5000
}
fn log_level() -> LogLevel {
    LogLevel::Info
}

impl Config {
    /// The file of the key that opens encrypted credentials.
    pub fn encryption_key(&self) -> PathBuf {
        let beside = || self.signing_key_file.with_file_name("encryption.key");
        self.encryption_key_file.clone().unwrap_or_else(beside)
    }

    /// The files of the configuration, which may be written relative to the configuration's folder.
    pub fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        let mut files = vec![
            &mut self.client_cert_file,
            &mut self.client_key_file,
            &mut self.ca_cert_file,
            &mut self.signing_key_file,
            &mut self.state_dir,
            &mut self.baseline_path,
            &mut self.rules_dir,
            &mut self.windows_credentials_dir,
        ];
        files.extend(self.encryption_key_file.as_mut());
        files.extend(self.windows_ca_cert_file.as_mut());
        files.extend(self.sensor_keys_file.as_mut());
        files.extend(self.metrics_textfile.as_mut());
        files.extend(self.l2_api_key_file.as_mut());
        files
    }

    /// The first value that parses but makes no sense: (key, what is wrong and what to write).
    pub fn nonsense(&self) -> Option<(&'static str, String)> {
        let id_like = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if !id_like(&self.site_id) {
            return Some(("site_id", format!("{:?} is no id: letters, digits, . _ -, at most 64", self.site_id)));
        }
        if !id_like(&self.host_id) {
            return Some(("host_id", format!("{:?} is no id: letters, digits, . _ -, at most 64", self.host_id)));
        }
        if !self.mcp_url.starts_with("https://") {
            return Some(("mcp_url", format!("{:?} must begin with https://", self.mcp_url)));
        }
        if let Err(error) = msp_contracts::keys::public_from_hex(&self.mcp_public_key) {
            return Some(("mcp_public_key", error.to_string()));
        }
        if let Some(file) =
            self.metrics_textfile.as_ref().filter(|file| file.extension().is_none_or(|ext| ext != "prom"))
        {
            return Some((
                "metrics_textfile",
                format!("{}: the collector reads only files that end in .prom", file.display()),
            ));
        }
        if self.deployment_mode == DeploymentMode::Reseller && self.reseller_id.is_none() {
            return Some(("deployment_mode", "reseller needs reseller_id".to_owned()));
        }
        let intervals = [
            ("poll_interval", self.poll_interval),
            ("host_check_interval", self.host_check_interval),
            ("windows_slow_check_interval", self.windows_slow_check_interval),
        ];
        for (key, seconds) in intervals {
            if !(1..=86_400).contains(&seconds) {
                return Some((key, format!("{seconds} is out of range: 1 to 86400 seconds")));
            }
        }
        let limits = [
            ("heals_per_host_per_hour", self.heals_per_host_per_hour, 1000),
            ("heals_per_site_per_hour", self.heals_per_site_per_hour, 10_000),
            ("flap_limit", self.flap_limit, 1000),
            ("flap_window_hours", self.flap_window_hours, 24 * 30),
            ("breaker_failures", self.breaker_failures, 100),
            ("breaker_pause_minutes", self.breaker_pause_minutes, 24 * 60),
        ];
        let wrong = limits.into_iter().find(|(_, value, most)| !(1..=*most).contains(value));
        wrong.map(|(key, value, most)| (key, format!("{value} is out of range: 1 to {most}")))
    }
}
