//! `msp-agent sensor`: who may push drift to the sensor listener.

use crate::adapters::sensor_keys::{self, Entries};
use anyhow::Context;
use clap::Subcommand;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Who may push drift: add a sensor and get its key, list them, remove one
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  msp-agent sensor add FS01-watch        makes a key and prints it, this once\n  \
                        msp-agent sensor list\n  msp-agent sensor remove FS01-watch\n\nThe agent reads the keys when it \
                        starts: systemctl restart msp-agent. docs/sensors.md says how to push.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make a sensor's key, or a new one with --replace, and print it
    Add {
        /// What to call the sensor: letters, digits, . _ -
        name: String,
        /// The sensor is known already: its old key counts no more
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        keys: KeysArg,
    },
    /// Name the sensors that have a key
    List {
        #[command(flatten)]
        keys: KeysArg,
    },
    /// Forget a sensor: what it pushes is refused
    Remove {
        /// The sensor's name
        name: String,
        #[command(flatten)]
        keys: KeysArg,
    },
}

#[derive(clap::Args, Debug)]
struct KeysArg {
    /// The file of keys (`sensor_keys_file`; on NixOS services.msp-agent.listener.keysFile)
    #[arg(long = "keys", value_name = "FILE", default_value = "/etc/msp/sensors.json")]
    file: PathBuf,
}

/// The entries of the file; none when it is not there yet.
fn entries(file: &Path) -> anyhow::Result<Entries> {
    if !file.try_exists().with_context(|| file.display().to_string())? {
        return Ok(Entries::new());
    }
    Ok(sensor_keys::entries(file)?)
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Add { name, replace, keys } => add(&keys.file, name, *replace, out)?,
        What::List { keys } => {
            for name in entries(&keys.file)?.keys() {
                writeln!(out, "{name}")?;
            }
        }
        What::Remove { name, keys } => {
            let mut entries = entries(&keys.file)?;
            if entries.remove(name).is_none() {
                let near = msp_rules::did_you_mean(name, entries.keys().map(String::as_str));
                let hint = near.map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"));
                anyhow::bail!("{}: there is no sensor called {name:?}{hint}", keys.file.display());
            }
            sensor_keys::write(&keys.file, &entries)?;
            writeln!(
                out,
                "{name} has no key any more, as soon as the agent is restarted: systemctl restart msp-agent"
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(file: &Path, name: &str, replace: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    anyhow::ensure!(sensor_keys::is_name(name), "{name:?} is no name of a sensor: letters, digits, . _ -, at most 64");
    let mut entries = entries(file)?;
    anyhow::ensure!(
        replace || !entries.contains_key(name),
        "{name} has a key already: --replace makes a new one, and the old one counts no more"
    );
    let key = sensor_keys::new_key()?;
    entries.insert(name.to_owned(), key.clone());
    sensor_keys::write(file, &entries)?;
    // Whatever else is wrong with the file, the agent would refuse it later.
    sensor_keys::read(file)?;
    writeln!(out, "{}", key.0)?;
    writeln!(out, "This is the key of {name}; it is not shown again. It counts as soon as the agent is restarted:")?;
    writeln!(out, "  systemctl restart msp-agent")?;
    writeln!(out, "docs/sensors.md says how to push with it, from PowerShell or with curl.")?;
    Ok(())
}
