//! `cargo measure`: the benchmarks, in release mode. Each prints its own ratios: against a limit, or against a peer
//! in the same run, because a bare number of nanoseconds says more about the machine than about the code.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::stop::Stop;
use crate::{cargo, lab, suggest, workspace};

/// Rounds in which the agent is killed; run by the lab, not by a benchmark.
const CRASH: &str = "crash";
/// So many crash rounds, unless --rounds says otherwise.
const ROUNDS: u32 = 100;

pub const HELP: &str = "\
Runs the workspace's benchmarks in release mode and prints their ratios: all of them, or those named.

Usage: cargo measure [NAME..]
       cargo measure crash [--rounds N] [--seed S]

`crash` is none of them and runs only when it is named: it opens a clinic, kills its agent N times (100 unless said
otherwise) in the middle of its work, and prints one line when every drift was healed once and no evidence was lost.
With the seed that it printed, the same things drift in the same order.

Exit code 0 when all ran, 1 when one failed, 2 when a name is unknown; the known ones are then listed.

Examples: cargo measure match_rules
          cargo measure crash --rounds 1000
";

pub fn run(arguments: &[String], out: &mut dyn Write) -> Result<ExitCode, Stop> {
    if let Some((CRASH, options)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return crash(options);
    }
    let known = workspace::benches(&workspace::root())?;
    if let Some(unknown) = arguments.iter().find(|name| !known.contains(name)) {
        let known = [known, vec![CRASH.to_owned()]].concat();
        let hint = suggest::did_you_mean(unknown, &known);
        return Err(Stop::Usage(format!(
            "unknown benchmark \"{unknown}\"{hint}; known: {}\n\n{HELP}",
            known.join(", ")
        )));
    }
    let chosen = if arguments.is_empty() { &known } else { arguments };
    let mut clean = true;
    // One after the other: two at once would measure each other.
    for name in chosen {
        writeln!(out, "{name}").map_err(|source| Stop::io("write the name of a benchmark", source))?;
        let status = cargo::status(&mut cargo::cargo(&["bench", "--workspace", "--bench", name]), "start cargo bench")?;
        clean &= status.success();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Crash rounds. In debug builds: a released agent has no clock that could be told that minutes have passed.
fn crash(options: &[String]) -> Result<ExitCode, Stop> {
    let words = crash_words(options)?;
    lab::run(&words.into_iter().map(OsString::from).collect::<Vec<_>>())
}

/// The lab's arguments for `--rounds N` and `--seed S`.
fn crash_words(options: &[String]) -> Result<Vec<String>, Stop> {
    let (mut rounds, mut seed) = (ROUNDS.to_string(), None);
    let mut words = options.iter();
    while let Some(option) = words.next() {
        let number = words.next().filter(|word| word.parse::<u64>().is_ok()).cloned();
        match (option.as_str(), number) {
            ("--rounds", Some(number)) => rounds = number,
            ("--seed", Some(number)) => seed = Some(number),
            ("--rounds" | "--seed", None) => {
                return Err(Stop::Usage(format!("{option} takes a number\n\n{HELP}")));
            }
            _ => {
                let hint = suggest::did_you_mean(option, &["--rounds", "--seed"]);
                return Err(Stop::Usage(format!("crash rounds have no option \"{option}\"{hint}\n\n{HELP}")));
            }
        }
    }
    let mut words = vec!["--crash".to_owned(), rounds];
    words.extend(seed.into_iter().flat_map(|seed| ["--seed".to_owned(), seed]));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(options: &[&str]) -> Result<Vec<String>, Stop> {
        crash_words(&options.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn crash_rounds_are_counted_and_seeded_and_a_slip_is_named() {
        assert_eq!(words(&[]).unwrap(), ["--crash", "100"]);
        assert_eq!(words(&["--seed", "7", "--rounds", "9"]).unwrap(), ["--crash", "9", "--seed", "7"]);
        for (options, said) in [
            (&["--rouns", "9"][..], "did you mean \"--rounds\"?"),
            (&["--rounds"], "--rounds takes a number"),
            (&["--seed", "x"], "--seed takes a number"),
        ] {
            let stop = words(options).unwrap_err();
            assert!(matches!(&stop, Stop::Usage(text) if text.contains(said)), "{stop}");
        }
    }
}
