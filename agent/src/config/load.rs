//! Brings environment, file and defaults together, and says where a mistake stands.
//!
//! The file is read as a list of keys with their positions first, so that a typo, an old spelling and a
//! wrong value can be named with line and column; then the merged map becomes a [`Config`].

use super::schema::{Config, KEYS, LISTS, NOT_IN_THIS_VERSION, OLD_SPELLINGS};
use super::window::Window;
use super::yaml;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Prefix of the environment variables that set keys.
const PREFIX: &str = "MSP_";
/// Reserved for tests; never a key.
const TEST_PREFIX: &str = "MSP_TEST_";

/// Keys whose value is text even where it looks like a number.
const TEXTS: &[&str] = &["site_id", "host_id", "reseller_id", "mcp_public_key"];

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read ({})", file.display(), cure(source))]
    Unreadable {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}:{line}:{column}: not a configuration in YAML or JSON: {reason}", file.display())]
    Syntax { file: PathBuf, line: u64, column: u64, reason: String },
    #[error("{place}: unknown key {key:?}{hint}")]
    UnknownKey { place: String, key: String, hint: String },
    #[error("{place}: {key} is set twice: {old} is the old spelling of {key}, remove one")]
    Twice { place: String, key: &'static str, old: &'static str },
    #[error("{}: {key} is missing: add a line `{key}: ...` or set {PREFIX}{}", file.display(), key.to_uppercase())]
    Missing { file: PathBuf, key: String },
    #[error("{place}: {key}: {reason}")]
    Value { place: String, key: String, reason: String },
}

/// What to do about a file that cannot be read.
fn cure(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "create it, or name another with --config",
        std::io::ErrorKind::PermissionDenied => "run this as the user it belongs to",
        std::io::ErrorKind::IsADirectory => "name the file in it",
        std::io::ErrorKind::InvalidData => "it has to be UTF-8 text",
        _ => "name another with --config",
    }
}

/// A configuration and what an operator should know about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}

/// A mapping with the position of each key, in the file's order.
struct Keys(Vec<(Spanned<String>, Value)>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Keys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping of configuration keys")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    keys.push(pair);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn at(file: &Path, location: Location) -> String {
    format!("{}:{}:{}", file.display(), location.line(), location.column())
}

fn unknown(place: String, key: &str) -> ConfigError {
    let names = KEYS.iter().copied().chain(OLD_SPELLINGS.iter().map(|(old, _)| *old));
    let hint = msp_rules::did_you_mean(key, names).map_or_else(
        || " (the keys are listed in docs/configuration.md)".to_owned(),
        |near| format!(" (did you mean {near:?}?)"),
    );
    ConfigError::UnknownKey { place, key: key.to_owned(), hint }
}

/// Where each key of the merged map came from, for messages.
#[derive(Default)]
struct Merged {
    values: Map<String, Value>,
    places: HashMap<String, String>,
    warnings: Vec<String>,
}

impl Merged {
    fn insert(&mut self, place: String, key: &str, value: Value) -> Result<(), ConfigError> {
        let old = OLD_SPELLINGS.iter().find(|(old, _)| *old == key);
        let name = old.map_or(key, |(_, new)| *new);
        if !KEYS.contains(&name) {
            return Err(unknown(place, key));
        }
        if let Some((old, new)) = old {
            self.warnings.push(format!("{place}: {old} is an old spelling: write {new}"));
            if self.values.contains_key(*new) {
                return Err(ConfigError::Twice { place, key: new, old });
            }
        }
        if NOT_IN_THIS_VERSION.contains(&name) {
            self.warnings.push(format!("{place}: {name} is checked, but nothing in this version acts on it"));
        }
        self.places.insert(name.to_owned(), place);
        self.values.insert(name.to_owned(), value);
        Ok(())
    }
}

/// Reads `file`, lays `environment` over it and checks every value.
///
/// # Errors
/// The first mistake, with its place and its cure.
pub fn load(file: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
    parse(file, &text, environment)
}

fn parse(
    file: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let keys: Keys = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column, reason) = yaml::place(&error);
        ConfigError::Syntax { file: file.to_owned(), line, column, reason }
    })?;

    let mut merged = Merged::default();
    for (key, value) in keys.0 {
        merged.insert(at(file, key.referenced), &key.value, value)?;
    }
    let mut from_environment = Merged::default();
    for (name, text) in environment {
        let Some(key) = name.strip_prefix(PREFIX).filter(|_| !name.starts_with(TEST_PREFIX)) else { continue };
        let key = key.to_lowercase();
        let value = if TEXTS.contains(&key.as_str()) { Value::from(text) } else { scalar(&text) };
        from_environment.insert(format!("environment variable {name}"), &key, value)?;
    }
    merged.values.extend(from_environment.values);
    merged.places.extend(from_environment.places);
    merged.warnings.extend(from_environment.warnings);
    finish(file, merged)
}

/// A number or a boolean where the text is one, as in YAML; otherwise the text. A list is comma-separated.
fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
    }
}

fn finish(file: &Path, mut merged: Merged) -> Result<Loaded, ConfigError> {
    let place = |key: &str, places: &HashMap<String, String>| {
        places.get(key).cloned().unwrap_or_else(|| file.display().to_string())
    };
    for key in [
        "site_id",
        "mcp_url",
        "mcp_public_key",
        "client_cert_file",
        "client_key_file",
        "ca_cert_file",
        "signing_key_file",
    ] {
        if !merged.values.contains_key(key) {
            return Err(ConfigError::Missing { file: file.to_owned(), key: key.to_owned() });
        }
    }
    for key in LISTS {
        if let Some(Value::String(text)) = merged.values.get(*key) {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let parts: Vec<_> = parts.map(Value::from).collect();
            merged.values.insert((*key).to_owned(), Value::Array(parts));
        }
    }
    // 0042 is a number to YAML, and not the id that somebody meant.
    for key in TEXTS {
        if let Some(value @ Value::Number(_)) = merged.values.get(*key) {
            let reason = format!("{value} is a number to YAML: write it in quotes");
            return Err(ConfigError::Value { place: place(key, &merged.places), key: (*key).to_owned(), reason });
        }
    }
    let mut config: Config = serde_path_to_error::deserialize(Value::Object(merged.values)).map_err(|error| {
        let key = error.path().to_string();
        let top = key.split(['.', '[']).next().unwrap_or_default().to_owned();
        ConfigError::Value { place: place(&top, &merged.places), key, reason: error.inner().to_string() }
    })?;
    if let Some((key, reason)) = config.nonsense() {
        return Err(ConfigError::Value { place: place(key, &merged.places), key: key.to_owned(), reason });
    }
    config.window = Window::of(&config).map_err(|(key, reason)| ConfigError::Value {
        place: place(key, &merged.places),
        key: key.to_owned(),
        reason,
    })?;
    merged.warnings.extend(not_shipped(&config.runbook_allowlist, &place("runbook_allowlist", &merged.places)));
    let folder = file.parent().unwrap_or(Path::new(""));
    for path in config.files_mut() {
        *path = folder.join(&*path);
    }
    Ok(Loaded { config, warnings: merged.warnings })
}

/// Warns of a runbook on the allowlist that this version does not ship: a fuller version may, a typo never does.
fn not_shipped(allowlist: &[String], place: &str) -> Vec<String> {
    let Ok(catalogue) = msp_rules::Catalogue::builtin() else { return Vec::new() };
    let unknown = allowlist.iter().filter(|id| catalogue.get(id).is_none());
    let warning = |id: &String| {
        let hint = msp_rules::did_you_mean(id, catalogue.ids()).map_or_else(
            || format!("there are {}", catalogue.ids().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean {near:?}?"),
        );
        format!("{place}: runbook_allowlist: {id:?} is no runbook of this version and allows nothing ({hint})")
    };
    unknown.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn minimal() -> String {
        format!(
            "site_id: clinic-a\nmcp_url: https://central.example\nmcp_public_key: {KEY}\nclient_cert_file: client.pem\n\
             client_key_file: client-key.pem\nca_cert_file: ca.pem\nsigning_key_file: signing.pem\n"
        )
    }

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        parse(Path::new("/etc/msp/config.yaml"), text, environment)
    }

    fn complaint(text: &str, environment: &[(&str, &str)]) -> String {
        read(text, environment).unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_a_field_and_every_field_a_key() {
        let all: Map<String, Value> = KEYS.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
        for key in KEYS {
            let mut one = Map::new();
            one.insert((*key).to_owned(), Value::from(vec![Value::from("no such value")]));
            let error = serde_json::from_value::<Config>(Value::Object(one)).unwrap_err().to_string();
            assert!(!error.contains("unknown field"), "{key}: {error}");
        }
        let error = serde_json::from_str::<Config>("{\"no_such_key\": 1}").unwrap_err().to_string();
        let fields: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(fields.len(), all.len(), "{error}");
    }

    #[test]
    fn the_page_for_operators_names_every_key() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = std::fs::read_to_string(page).unwrap();
        for key in KEYS.iter().chain(OLD_SPELLINGS.iter().map(|(old, _)| old)) {
            assert!(page.contains(&format!("`{key}`")), "{key} is not in docs/configuration.md");
        }
        let example = page.split("## The baseline").nth(1).unwrap().split("## Rules").next().unwrap();
        let lines = example.lines().filter_map(|line| line.strip_prefix("    "));
        let example = lines.fold(String::new(), |text, line| text + line + "\n");
        crate::config::baseline::Baseline::parse(&example, "docs/configuration.md").unwrap();
        assert!(example.contains("stamp"), "{example}");
    }

    #[test]
    fn defaults_are_those_of_the_contract_and_files_stand_beside_the_configuration() {
        let config = read(&minimal(), &[]).unwrap().config;
        assert_eq!((config.poll_interval, config.order_ttl, config.max_queue_size), (60, 900, 1000));
        assert!(config.healing_enabled && !config.dry_run && !config.l2_enabled);
        assert_eq!(config.ntp_max_skew_ms, 5000);
        assert_eq!(config.state_dir, Path::new("/var/lib/msp"));
        assert_eq!(config.client_cert_file, Path::new("/etc/msp/client.pem"));
        assert!(!config.host_id.is_empty());
    }

    #[test]
    fn environment_wins_over_file_and_tests_have_a_name_of_their_own() {
        let text = format!("{}poll_interval: 30\ndry_run: false\n", minimal());
        let environment =
            [("MSP_DRY_RUN", "true"), ("MSP_SITE_ID", "0042"), ("MSP_TEST_ANYTHING", "x"), ("PATH", "/bin")];
        let config = read(&text, &environment).unwrap().config;
        assert_eq!((config.poll_interval, config.dry_run, config.site_id.as_str()), (30, true, "0042"));
    }

    #[test]
    fn a_typo_is_named_with_line_column_and_the_likely_word() {
        let text = format!("{}pol_interval: 30\n", minimal());
        let said = complaint(&text, &[]);
        assert_eq!(said, "/etc/msp/config.yaml:8:1: unknown key \"pol_interval\" (did you mean \"poll_interval\"?)");
        let said = complaint(&minimal(), &[("MSP_DRYRUN", "true")]);
        assert!(said.contains("MSP_DRYRUN") && said.contains("did you mean \"dry_run\""), "{said}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let text = format!("{}poll_interval: soon\n", minimal());
        let said = complaint(&text, &[]);
        assert!(said.starts_with("/etc/msp/config.yaml:8:1: poll_interval: "), "{said}");
        for (line, word) in [
            ("poll_interval: 0", "1 to 86400"),
            ("log_level: loud", "unknown variant"),
            ("maintenance_window: at night", "HH:MM-HH:MM"),
            ("deployment_mode: reseller", "reseller_id"),
            ("dry_run: yes please", "boolean"),
            ("maintenance_window: \"02:00-02:00\"", "maintenance_window_enabled: false"),
            ("maintenance_window: \"22:00-24:00\"", "midnight is 00:00"),
            ("maintenance_window_start: \"02:00\"", "maintenance_window_end too"),
            ("maintenance_window_timezone: America/New_Yrok", "did you mean \"America/New_York\"?"),
            ("maintenance_window_timezone: EDT", "IANA"),
            ("maintenance_window_days: [mon, tues]", "unknown variant"),
            ("disruptive_from: low", "unknown variant"),
            ("heals_per_host_per_hour: 0", "1 to 1000"),
            ("flap_window_hours: 721", "1 to 720"),
            ("breaker_failures: -1", "u32"),
        ] {
            let said = complaint(&format!("{}{line}\n", minimal()), &[]);
            assert!(said.contains(":8:1:") && said.contains(word), "{line}: {said}");
        }
        let number = minimal().replace("clinic-a", "0042");
        assert!(complaint(&number, &[]).contains(":1:1: site_id: ") && complaint(&number, &[]).contains("in quotes"));
        let plain_http = minimal().replace("https://", "http://");
        assert!(complaint(&plain_http, &[]).contains("/etc/msp/config.yaml:2:1: mcp_url: "));
        let short_key = minimal().replace(KEY, "abc");
        assert!(complaint(&short_key, &[]).contains(":3:1: mcp_public_key: a public key is 64 hexadecimal"));
    }

    #[test]
    fn the_window_is_what_its_keys_come_to_and_another_day_than_every_day_is_said() {
        let window = |lines: &str, environment: &[(&str, &str)]| {
            let text = format!("{}maintenance_window_timezone: europe/london\n{lines}\n", minimal());
            read(&text, environment).unwrap().config.window.map(|window| window.to_string())
        };
        assert_eq!(window("", &[]).unwrap(), "02:00 to 04:00, every day, Europe/London");
        assert_eq!(window("maintenance_window_enabled: false", &[]), None);
        let days = [("MSP_MAINTENANCE_WINDOW_DAYS", "sun, sat")];
        let text = "maintenance_window_start: \"22:30\"\nmaintenance_window_end: \"00:00\"";
        assert_eq!(window(text, &days).unwrap(), "22:30 to 00:00, Sat, Sun, Europe/London");
        let twice = format!("{}maintenance_window: 01:00-02:00\n{text}\n", minimal());
        assert!(complaint(&twice, &[]).contains(":8:1: maintenance_window: the window is written twice"));
    }

    #[test]
    fn a_runbook_on_the_allowlist_that_there_is_not_is_named_with_the_likely_one() {
        let text = format!("{}runbook_allowlist: [RB-WIN-SVC-001, RB-WIN-FIREWAL-001]\n", minimal());
        let loaded = read(&text, &[]).unwrap();
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains("did you mean \"RB-WIN-FIREWALL-001\"?"), "{:?}", loaded.warnings);
        let from_environment = read(&minimal(), &[("MSP_RUNBOOK_ALLOWLIST", "RB-WIN-SVC-001")]).unwrap().config;
        assert_eq!(from_environment.runbook_allowlist, ["RB-WIN-SVC-001"]);
    }

    #[test]
    fn a_missing_key_is_named_with_the_line_to_add() {
        for key in ["site_id", "mcp_url", "mcp_public_key", "client_key_file", "signing_key_file"] {
            let text: String =
                minimal().lines().filter(|l| !l.starts_with(key)).fold(String::new(), |text, l| text + l + "\n");
            let said = complaint(&text, &[]);
            assert!(said.contains(&format!("{key} is missing")) && said.contains("add a line"), "{said}");
        }
    }

    #[test]
    fn broken_yaml_and_a_key_given_twice_are_errors_with_a_line() {
        let said = complaint(&format!("{}site_id: again\n", minimal()), &[]);
        assert!(said.starts_with("/etc/msp/config.yaml:8:1: ") && said.contains("site_id"), "{said}");
        let said = complaint("site_id: [\n", &[]);
        assert!(said.contains("not a configuration"), "{said}");
        let said = complaint(&format!("{}client_cert: c.pem\n", minimal()), &[]);
        assert!(said.contains("set twice"), "{said}");
        for (text, place) in [("- a list\n", "/etc/msp/config.yaml:1:1: "), ("just text", "/etc/msp/config.yaml:1:1: ")]
        {
            let said = complaint(text, &[]);
            assert!(said.starts_with(place) && said.contains("mapping"), "{said}");
        }
        assert!(complaint("", &[]).contains("site_id is missing"));
    }
}
