//! `iptables-save` and `ip6tables-save`, the format of iptables-save(8).
//!
//! For machines whose firewall is made with iptables and that have no `nft` tool, as NixOS is by default. Any
//! option before `-j` or `-g` other than a comment looks at the packet.

use super::{Chain, Place, Rule, Ruleset, Verdict};

/// Why a listing is not one.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("line {line} of what `{program}` printed is not of its format: {text:?}")]
    Line { program: String, line: usize, text: String },
    #[error("what `{program}` printed has no end (COMMIT)")]
    Cut { program: String },
}

/// Adds the chains of one listing to a ruleset.
pub fn read_into(ruleset: &mut Ruleset, program: &str, family: &str, text: &str) -> Result<(), SaveError> {
    let mut table: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let odd =
            || SaveError::Line { program: program.to_owned(), line: index + 1, text: line.chars().take(80).collect() };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('*') {
            table = Some(name.to_owned());
            continue;
        }
        if line == "COMMIT" {
            table = None;
            continue;
        }
        let within = table.clone().ok_or_else(odd)?;
        let place = |chain: &str| Place { family: family.to_owned(), table: within.clone(), chain: chain.to_owned() };
        if let Some(rest) = line.strip_prefix(':') {
            let mut words = rest.split_whitespace();
            let (Some(name), Some(policy)) = (words.next(), words.next()) else { return Err(odd()) };
            // nat and raw see a packet too, but nobody drops there for good; filter and mangle may.
            let hook = (name == "INPUT" && policy != "-").then(|| "input".to_owned());
            let chain = Chain { hook, policy_drops: policy == "DROP", rules: Vec::new() };
            ruleset.chains.insert(place(name), chain);
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let words = split(rest);
            let (name, options) = words.split_first().ok_or_else(odd)?;
            ruleset.chains.entry(place(name)).or_default().rules.push(rule(options));
        } else {
            return Err(odd());
        }
    }
    match table {
        Some(_) => Err(SaveError::Cut { program: program.to_owned() }),
        None => Ok(()),
    }
}

fn rule(options: &[String]) -> Rule {
    let mut conditional = false;
    let mut words = options.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-j" | "--jump" => return Rule { conditional, verdict: verdict(words.next().unwrap_or_default()) },
            "-g" | "--goto" => {
                return Rule { conditional, verdict: Verdict::Goto(words.next().unwrap_or_default().to_owned()) };
            }
            "-m" if words.clone().next() == Some("comment") => {
                words.by_ref().take(3).for_each(drop); // comment --comment TEXT
            }
            "-c" => words.by_ref().take(2).for_each(drop),
            _ => conditional = true,
        }
    }
    Rule { conditional, verdict: Verdict::Continue }
}

fn verdict(target: &str) -> Verdict {
    match target {
        "ACCEPT" => Verdict::Accept,
        "DROP" | "REJECT" => Verdict::Deny,
        "RETURN" => Verdict::Return,
        "QUEUE" | "NFQUEUE" => Verdict::Unclear("a queue to a program".to_owned()),
        "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "SECMARK" | "CONNSECMARK" | "TRACE" | "AUDIT" | "SET" | "CT"
        | "TCPMSS" | "DSCP" | "TTL" | "HL" | "CHECKSUM" | "CLASSIFY" | "ULOG" | "NOTRACK" | "IDLETIMER" | "LED" => {
            Verdict::Continue
        }
        chain => Verdict::Jump(chain.to_owned()),
    }
}

/// Words of a line; a quoted one may hold spaces, and a backslash takes the next character as it is.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut begun) = (false, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            '\\' if quoted => word.extend(letters.next()),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            letter => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}
