//! What `cargo lab`, `cargo suite`, `cargo lint` and `cargo measure` run.
//!
//! The aliases in .cargo/config.toml start this program, and it starts cargo with the flags that the workspace
//! needs, so that nobody has to type them. It has no dependencies: it is compiled before everything else, on
//! every machine, and must be ready in a second.

mod cargo;
mod lab;
mod lint;
mod measure;
mod stop;
mod suggest;
mod suite;
mod workspace;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use stop::Stop;

const HELP: &str = "\
Builds, runs, tests and measures the workspace.

  cargo lab [ARGUMENT..]     build every program, then run the lab: a clinic on loopback
  cargo suite [FILTER..]     build every program, then run every test
  cargo lint                 formatting, clippy, and which crates and licences may come in
  cargo measure [NAME..]     run the benchmarks in release mode and print their ratios

`cargo suite --help` says more, and so do the others. `cargo lab --help` is the lab's own help.

Example: cargo suite evidence
";

fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let stop = match run(std::env::args_os().skip(1).collect(), &mut out, &mut err) {
        Ok(code) => return code,
        Err(stop) => stop,
    };
    // Nobody is left to tell when the error stream itself is closed.
    let _ = writeln!(err, "error: {stop}");
    stop.code()
}

fn run(mut arguments: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> Result<ExitCode, Stop> {
    if arguments.is_empty() {
        return Err(Stop::Usage(format!("a task is missing\n\n{HELP}")));
    }
    let task = arguments.remove(0).to_string_lossy().into_owned();
    if task == "lab" {
        return lab::run(&arguments);
    }
    let arguments: Vec<String> = arguments.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    let asked_for_help = arguments.iter().any(|it| it == "--help" || it == "-h");
    match task.as_str() {
        "suite" if asked_for_help => print(out, suite::HELP),
        "suite" => suite::run(&arguments, out, err),
        "lint" if asked_for_help => print(out, lint::HELP),
        "lint" => lint::run(&arguments, out),
        "measure" if asked_for_help => print(out, measure::HELP),
        "measure" => measure::run(&arguments, out),
        "help" | "--help" | "-h" => print(out, help_for(arguments.first().map(String::as_str))?),
        _ => Err(unknown_task(&task)),
    }
}

fn help_for(task: Option<&str>) -> Result<&'static str, Stop> {
    match task {
        None => Ok(HELP),
        Some("lab") => Ok(lab::HELP),
        Some("suite") => Ok(suite::HELP),
        Some("lint") => Ok(lint::HELP),
        Some("measure") => Ok(measure::HELP),
        Some(other) => Err(unknown_task(other)),
    }
}

fn unknown_task(typed: &str) -> Stop {
    let hint = suggest::did_you_mean(typed, &["lab", "suite", "lint", "measure", "help"]);
    Stop::Usage(format!("unknown task \"{typed}\"{hint}\n\n{HELP}"))
}

fn print(out: &mut dyn Write, text: &str) -> Result<ExitCode, Stop> {
    out.write_all(text.as_bytes()).map_err(|source| Stop::io("write the help", source))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> (Result<ExitCode, Stop>, String) {
        let mut out = Vec::new();
        let result = run(words.iter().map(OsString::from).collect(), &mut out, &mut Vec::new());
        (result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_mistyped_task_is_answered_with_the_nearest_one() {
        let stop = typed(&["siute"]).0.unwrap_err();
        assert!(matches!(&stop, Stop::Usage(text) if text.contains("did you mean \"suite\"?")), "{stop}");
    }

    #[test]
    fn every_task_explains_itself_without_running() {
        for task in ["suite", "lint", "measure"] {
            let (result, text) = typed(&[task, "--help"]);
            assert!(result.is_ok() && text.contains("Example"), "{task}: {text}");
            assert_eq!(text, typed(&["help", task]).1);
        }
        assert!(typed(&["help", "lab"]).1.contains("Example"));
    }

    #[test]
    fn an_option_that_a_task_does_not_know_is_refused() {
        for task in ["suite", "lint", "measure"] {
            let stop = typed(&[task, "--fast"]).0.unwrap_err();
            assert!(matches!(&stop, Stop::Usage(text) if text.contains("--fast")), "{task}: {stop}");
        }
    }
}
