//! `auditpol.exe`: reads and sets the audit policy by subcategory. What it prints is in the language of the machine, except
//! the header of a report and the word `System`.

use super::{Call, Ran};
use crate::windows::State;
use crate::windows::computer::Language;
use crate::windows::logging::{AuditSetting, Subcategory};

/// `ERROR_INVALID_PARAMETER`, which is also the exit code.
const INVALID: i32 = 87;

const REPORT_HEADER: &str =
    "Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting";

pub(super) fn run(call: &Call<'_>) -> Ran {
    let lower: Vec<String> = call.args.iter().map(|a| a.to_lowercase()).collect();
    let language = call.machine.read(|s| s.computer.language);
    let argument = |name: &str| lower.iter().find_map(|a| a.strip_prefix(name).map(str::to_owned));
    match lower.first().map(String::as_str) {
        Some("/get") => call.machine.read(|state| {
            let report = lower.iter().any(|a| a == "/r");
            let known = |a: &String| a == "/r" || a.starts_with("/category:") || a.starts_with("/subcategory:");
            if !lower.iter().skip(1).all(known) {
                return refused(language);
            }
            let chosen: Option<Vec<&Subcategory>> = match (argument("/category:"), argument("/subcategory:")) {
                (Some(all), None) if all == "*" => Some(state.logging.audit.iter().collect()),
                (None, Some(names)) => names.split(',').map(|n| state.logging.find(n)).collect(),
                _ => None,
            };
            match chosen {
                Some(chosen) if report => Ran::said(report_lines(state, &chosen)),
                Some(chosen) => Ran::said(table_lines(language, &chosen)),
                None => refused(language),
            }
        }),
        Some("/set") => set(call, &lower, argument("/subcategory:"), language),
        _ => refused(language),
    }
}

fn set(call: &Call<'_>, lower: &[String], names: Option<String>, language: Language) -> Ran {
    let (mut success, mut failure) = (None, None);
    for argument in lower.iter().skip(1) {
        let flag = |name: &str| match argument.strip_prefix(name) {
            Some("enable") => Some(true),
            Some("disable") => Some(false),
            _ => None,
        };
        match (flag("/success:"), flag("/failure:")) {
            (Some(on), _) => success = Some(on),
            (_, Some(on)) => failure = Some(on),
            _ if argument.starts_with("/subcategory:") => {}
            _ => return refused(language),
        }
    }
    let Some(names) = names else {
        return refused(language);
    };
    let (_, found) = call.machine.edit(call.actor, |state| {
        let mut changes = Vec::new();
        for name in names.split(',') {
            let Some(now) = state.logging.find(name).map(|s| s.setting) else {
                return (changes, false);
            };
            // Without either flag successes are meant.
            let wanted = match (success, failure) {
                (None, None) => AuditSetting::of(true, now.failure()),
                _ => AuditSetting::of(success.unwrap_or(now.success()), failure.unwrap_or(now.failure())),
            };
            changes.extend(state.logging.set_audit(name, wanted).flatten());
        }
        (changes, true)
    });
    match (found, language) {
        (false, _) => refused(language),
        (true, Language::English) => Ran::said(["The command was successfully executed."]),
        (true, Language::German) => Ran::said(["Der Befehl wurde erfolgreich ausgeführt."]),
    }
}

fn refused(language: Language) -> Ran {
    match language {
        Language::English => Ran::failed(INVALID, ["Error 0x00000057 occurred:", "The parameter is incorrect.", ""]),
        Language::German => Ran::failed(INVALID, ["Fehler 0x00000057:", "Falscher Parameter.", ""]),
    }
}

/// The CSV report: a header, a blank line, a row for each subcategory.
fn report_lines(state: &State, chosen: &[&Subcategory]) -> Vec<String> {
    let mut lines = vec![REPORT_HEADER.to_owned(), String::new()];
    let language = state.computer.language;
    lines.extend(chosen.iter().map(|s| {
        let setting = setting_text(language, s.setting);
        format!("{},System,{},{},{setting},", state.computer.name, name_text(language, s), s.guid())
    }));
    lines
}

fn table_lines(language: Language, chosen: &[&Subcategory]) -> Vec<String> {
    let (title, first, second) = match language {
        Language::English => ("System audit policy", "Category/Subcategory", "Setting"),
        Language::German => ("Systemüberwachungsrichtlinie", "Kategorie/Unterkategorie", "Einstellung"),
    };
    let mut lines = vec![title.to_owned(), format!("{first:<42}{second}")];
    let row = |s: &&Subcategory| format!("  {:<40}{}", name_text(language, s), setting_text(language, s.setting));
    lines.extend(chosen.iter().map(row));
    lines
}

fn name_text(language: Language, subcategory: &Subcategory) -> &'static str {
    match language {
        Language::English => subcategory.name,
        Language::German => subcategory.german,
    }
}

fn setting_text(language: Language, setting: AuditSetting) -> &'static str {
    match (language, setting) {
        (Language::English, AuditSetting::NoAuditing) => "No Auditing",
        (Language::English, AuditSetting::Success) => "Success",
        (Language::English, AuditSetting::Failure) => "Failure",
        (Language::English, AuditSetting::SuccessAndFailure) => "Success and Failure",
        (Language::German, AuditSetting::NoAuditing) => "Keine Überwachung",
        (Language::German, AuditSetting::Success) => "Erfolg",
        (Language::German, AuditSetting::Failure) => "Fehler",
        (Language::German, AuditSetting::SuccessAndFailure) => "Erfolg und Fehler",
    }
}
