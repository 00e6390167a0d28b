//! The shape of the sources, kept true: which module of the agent may use which, how long a file may be, and what
//! it may be called. ARCHITECTURE.md tells the layering; this file is what it means exactly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod printing;
mod references;
mod sources;

use references::{Reference, references};
use sources::Source;

/// The stages in the order in which the loop runs through them.
const STAGES: [&str; 5] = ["sense", "decide", "act", "prove", "report"];

/// What every stage may use beside itself and earlier stages.
const BELOW_STAGES: [&str; 10] =
    ["adapters", "causes", "clock", "config", "guard", "model", "redact", "store", "msp_contracts", "msp_rules"];

const LONGEST_FILE: usize = 449;

/// What a module of the agent may use beside itself; `None` for a module that has no place yet.
fn may_use(module: &str) -> Option<Vec<&'static str>> {
    if let Some(stage) = STAGES.iter().position(|stage| *stage == module) {
        // What the executor refused is a thing to sense; to ask it for something is the adapter's business.
        if module == "sense" {
            return Some([&BELOW_STAGES[..], &["msp_agent_act", "msp_agent_switch"]].concat());
        }
        // How a switch that goes on by itself stands, its records tell.
        let records: &[&str] = if module == "act" { &["msp_agent_switch"] } else { &[] };
        return Some([&BELOW_STAGES[..], &STAGES[..stage], records].concat());
    }
    Some(match module {
        // What Central Command asks for: judged before it is a plan, so it knows no stage.
        "orders" => BELOW_STAGES.to_vec(),
        "guard" => {
            vec!["adapters", "causes", "clock", "config", "model", "redact", "store", "msp_contracts", "msp_rules"]
        }
        "adapters" => {
            vec!["causes", "clock", "config", "model", "redact", "msp_agent_act", "msp_contracts", "msp_rules"]
        }
        "config" => vec!["causes", "clock", "model", "msp_contracts", "msp_rules"],
        "store" => vec!["causes", "clock", "model", "msp_contracts"],
        "redact" => vec!["model", "msp_contracts"],
        "model" => vec!["msp_contracts", "msp_rules"],
        "clock" => vec!["msp_contracts"],
        "causes" => vec![],
        _ => return None,
    })
}

/// The breaches in one source of the agent, each with its line and what would be allowed.
fn breaches(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(owner) = module.first().cloned() else { return Vec::new() };
    if ["app", "cli", "measure"].contains(&owner.as_str()) {
        return Vec::new();
    }
    let path = source.path.display();
    let Some(allowed) = may_use(&owner) else {
        return vec![format!("{path}: the module `{owner}` has no place in the layering: give it one in `may_use`")];
    };
    let describe = |Reference { target, line }: Reference| {
        let used = target.first().map_or("", String::as_str);
        let allowed_here = used == owner || allowed.contains(&used);
        let target = if target.is_empty() { "the crate's root".to_owned() } else { target.join("::") };
        (!allowed_here).then(|| format!("{path}:{line}: `{owner}` uses {target}; it may use {}", allowed.join(", ")))
    };
    let references = references(&source.text, module).unwrap_or_else(|error| panic!("{path}: {error}"));
    references.into_iter().filter_map(describe).collect()
}

fn planted(path: &str, text: &str) -> Vec<String> {
    breaches(&Source { path: path.into(), text: text.to_owned() })
}

#[test]
fn no_module_of_the_agent_uses_one_above_it() {
    let breaches: Vec<String> = sources::of_crate("agent").iter().flat_map(breaches).collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn a_later_stage_is_found_wherever_it_is_mentioned() {
    let mentions = [
        "use crate::prove::bundle::Bundle;",
        "use crate::{model::Finding, prove::{self, chain}};",
        "use super::super::prove;",
        "use crate::*;",
        "use crate as everything;",
        "fn a() { crate::prove::seal(); }",
        "fn a(bundle: &crate::prove::bundle::Bundle) {}",
        "fn a() -> Vec<Option<crate::prove::Seal>> { vec![] }",
        "fn a(x: u8) { match x { crate::prove::LIMIT => {} _ => {} } }",
        "fn a() { tracing::info!(seal = %crate::prove::seal(), \"sealed\"); }",
        "fn a() { tokio::select! { _ = async { inner!(super::super::prove::seal()) } => {} } }",
        "mod inner { fn a() { super::super::super::prove::seal(); } }",
        "#[serde(with = \"crate::prove::hex\")] struct A;",
        "#[derive(crate::prove::Sealed)] struct A;",
        "impl crate::prove::Seal for A {}",
    ];
    for mention in mentions {
        let found = planted("agent/src/act/perform.rs", mention);
        assert!(!found.is_empty(), "not found: {mention}");
        assert!(found[0].contains("perform.rs:1: `act` uses"), "{found:?}");
    }
}

#[test]
fn earlier_stages_and_what_lies_below_are_allowed() {
    let text = "
        pub(in crate::act) use crate::decide::ladder;
        use crate::{act::intent, clock::Clock, guard, model::{Finding, Plan}, store};
        use msp_rules::Catalogue;
        use super::intent::Intent;
        fn a(&self) { self.b(crate::sense::check::Check, prove::local(), \"crate prove\"); }
        mod tests { use super::*; use super::super::intent; }
    ";
    assert_eq!(planted("agent/src/act/perform.rs", text), Vec::<String>::new());
}

#[test]
fn the_modules_below_the_stages_are_held_to_their_own_lists() {
    let breaches = [
        ("agent/src/guard.rs", "use crate::act::perform;"),
        ("agent/src/adapters/winrm.rs", "use crate::sense::check;"),
        ("agent/src/adapters/winrm.rs", "fn a() { crate::store::open(); }"),
        ("agent/src/store/outbox.rs", "use msp_rules::Catalogue;"),
        ("agent/src/model/plan.rs", "use crate::clock::Clock;"),
        ("agent/src/report/client.rs", "use crate::app::App;"),
        ("agent/src/report/client.rs", "use crate::cli;"),
        ("agent/src/brand_new.rs", ""),
    ];
    for (path, text) in breaches {
        assert_eq!(planted(path, text).len(), 1, "{path}: {text}");
    }
    assert!(planted("agent/src/app/round.rs", "use crate::report::client; use crate::sense;").is_empty());
}

#[test]
fn no_source_file_is_long() {
    let crates = sources::crates();
    let files = crates.iter().flat_map(|folder| sources::of_crate(folder));
    let long = files.filter(|file| file.text.lines().count() > LONGEST_FILE);
    let named: Vec<String> =
        long.map(|file| format!("{}: {} lines", file.path.display(), file.text.lines().count())).collect();
    assert!(named.is_empty(), "longer than {LONGEST_FILE} lines, so each is two things:\n{}", named.join("\n"));
}

#[test]
fn no_file_or_folder_is_named_for_nothing_in_particular() {
    let vague = ["util", "utils", "helper", "helpers", "common", "manager", "managers"];
    let crates = sources::crates();
    let files = crates.iter().flat_map(|folder| sources::of_crate(folder));
    let named: Vec<String> = files
        .filter(|file| file.module().iter().any(|name| vague.contains(&name.as_str())))
        .map(|file| file.path.display().to_string())
        .collect();
    assert!(named.is_empty(), "name them for what they hold:\n{}", named.join("\n"));
}

#[test]
fn programs_print_through_a_writer() {
    let crates = sources::crates();
    let found: Vec<String> = crates.iter().flat_map(|folder| printing::found(&sources::of_crate(folder))).collect();
    assert!(found.is_empty(), "write to a `Write` that the caller passes:\n{}", found.join("\n"));
}
