//! The options of the modules, as docs/options.md keeps them, against the programs that read them.

use super::schema::{self, Key};
use super::{files, root};
use msp_lab::process::program;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

/// A row of docs/options.md.
struct Row {
    kind: String,
    default: String,
}

/// The options below a prefix, without it.
fn rows(prefix: &str) -> BTreeMap<String, Row> {
    let page = fs::read_to_string(root().join("docs/options.md")).unwrap();
    let row = |line: &str| {
        let line = line.replace("\\|", "\u{0}");
        let cells: Vec<String> = line.split(" | ").map(|cell| cell.replace('\u{0}', "|")).collect();
        let name = cells.first()?.strip_prefix("| `")?.strip_suffix('`')?.strip_prefix(prefix)?.to_owned();
        let default = cells[2].trim_matches('`').to_owned();
        Some((name, Row { kind: cells[1].clone(), default }))
    };
    let rows: BTreeMap<_, _> = page.lines().filter_map(row).collect();
    assert!(!rows.is_empty(), "docs/options.md has no {prefix}");
    rows
}

/// The option of a key: its own name among the settings, or the file that the module hands over.
fn option_of(key: &str) -> String {
    match key.strip_suffix("_file") {
        Some("sensor_keys") => "listener.keysFile".to_owned(),
        Some(file) if key != "windows_ca_cert_file" => {
            let mut words = file.split('_');
            let first = words.next().unwrap().to_owned();
            words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..]) + "File"
        }
        _ => format!("settings.{key}"),
    }
}

/// How Nix names the type that a key has in Rust.
fn fits(key: &Key, kind: &str) -> bool {
    let kind = kind.strip_prefix("null or ").unwrap_or(kind).trim_matches(['(', ')']);
    match key.kind.as_str() {
        "bool" => kind == "boolean",
        "u32" | "u64" => kind.contains("integer"),
        "Vec" => kind.starts_with("list of"),
        "PathBuf" => kind.contains("path") || kind.starts_with("string matching"),
        "String" | "Time" => kind.starts_with("string"),
        _ => kind.starts_with("one of"),
    }
}

#[test]
fn every_key_of_the_agent_has_an_option_of_its_type_and_default() {
    let schema = schema::read();
    let rows = rows("services.msp-agent.");
    let mut wrong = Vec::new();
    for (name, key) in schema.keys.iter().filter(|(name, _)| !schema.idle.contains(name)) {
        let option = option_of(name);
        let Some(row) = rows.get(&option) else {
            wrong.push(format!("{name} has no option services.msp-agent.{option}"));
            continue;
        };
        if !fits(key, &row.kind) {
            wrong.push(format!("{name} is {} to the agent, and {} to Nix", key.kind, row.kind));
        }
        let nullable = row.kind.starts_with("null or");
        // What has a switch of its own is left out by that.
        let switched = option.split_once('.').is_some_and(|(part, _)| rows.contains_key(&format!("{part}.enable")));
        if key.optional && !nullable && !switched {
            wrong.push(format!("{name} may be left out, and its option may not"));
        }
        // Enrolment says where the handed-over files lie; the machine's name is Nix's to know.
        let default = row.default.replace("[ ]", "[]");
        if option.starts_with("settings.") && key.default.as_ref().is_some_and(|agents| *agents != default) {
            wrong.push(format!("{name} is {:?} unless set, and {default} to Nix", key.default));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_option_is_read() {
    let schema = schema::read();
    let read: BTreeSet<String> =
        schema.keys.keys().filter(|key| !schema.idle.contains(key)).map(|key| option_of(key)).collect();
    for service in ["msp-agent", "msp-central"] {
        let text: String = files(&[&format!("modules/{service}")])
            .iter()
            .map(|file| fs::read_to_string(root().join(file)).unwrap())
            .collect();
        for option in rows(&format!("services.{service}.")).keys().filter(|name| !name.contains(".*.")) {
            let agents = service == "msp-agent" && option.starts_with("settings.");
            let is_read = if agents {
                read.contains(option)
            } else {
                // Central Command's settings become its arguments, as they are.
                text.contains(&format!("cfg.{option}")) || option.starts_with("settings.")
            };
            assert!(is_read || option == "configFile", "nothing reads services.{service}.{option}");
        }
    }
}

/// A configuration with this key, judged by the program.
fn accepted(key: &str, value: &str) -> Result<(), String> {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let files = ["client_cert_file", "client_key_file", "ca_cert_file", "signing_key_file"];
    let mut text = format!("site_id: a\nmcp_url: https://a\nmcp_public_key: {public}\n{key}: {value}\n");
    text.extend(files.map(|key| format!("{key}: x.pem\n")));
    fs::write(&file, text).unwrap();
    let done = msp_suite::agent::run(&["check-config", &file.path().display().to_string()]).unwrap();
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

#[test]
fn numbers_and_choices_that_nix_admits_are_those_that_the_agent_admits() {
    let mut seen = 0;
    for (key, row) in rows("services.msp-agent.settings.") {
        if let Some(range) = row.kind.strip_prefix("integer between ") {
            let mut bounds = range.split([' ', '(']).filter_map(|word| word.parse::<i64>().ok());
            let (least, most) = (bounds.next().unwrap(), bounds.next().unwrap());
            for (value, good) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
                let said = accepted(&key, &value.to_string());
                assert_eq!(said.is_ok(), good, "{key}: {value}: {said:?}");
            }
            seen += 1;
        }
        if let Some(choices) = row.kind.strip_prefix("one of ") {
            for choice in choices.split(", ") {
                let choice =
                    if key == "deployment_mode" { format!("{choice}\nreseller_id: r") } else { choice.to_owned() };
                accepted(&key, &choice).unwrap_or_else(|said| panic!("{key}: {choice}: {said}"));
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} options were tried");
}

#[test]
fn every_argument_of_central_command_has_an_option_with_its_default() {
    let help = Command::new(program("msp-central").unwrap()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let rows = rows("services.msp-central.settings.");
    // The module's own (folder, files handed over), and what only a parent process needs.
    let others = ["dir", "people-cert", "people-key", "exit-with-stdin", "help"];
    let mut arguments = BTreeSet::new();
    let (_, options) = help.split_once("Options:\n").unwrap();
    let (options, _) = options.split_once("\nExample").unwrap();
    // An argument begins a line; its description may name others.
    for part in options.replace("\n      --", "\0").split('\0') {
        let part = part.trim_start_matches([' ', '-']).split_whitespace().collect::<Vec<_>>().join(" ");
        let name: String = part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if others.contains(&name.as_str()) {
            continue;
        }
        let row = rows.get(&name).unwrap_or_else(|| panic!("--{name} has no option"));
        if let Some(default) = part.split("[default: ").nth(1).map(|rest| rest.split(']').next().unwrap())
            && !default.contains(' ')
        {
            assert_eq!(row.default.trim_matches('"'), default, "--{name}");
        }
        arguments.insert(name);
    }
    let options: BTreeSet<String> = rows.into_keys().collect();
    assert_eq!(options, arguments, "options and arguments differ");
}
