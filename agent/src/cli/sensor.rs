//! `msp-agent sensor`: who may push drift to the sensor listener.

use super::ConfigArg;
use crate::adapters::sensor_keys::{self, Entries};
use anyhow::Context;
use clap::Subcommand;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file of keys where nothing says otherwise.
const STANDARD: &str = "/etc/msp/sensors.json";
/// Where systemd lays what it hands to a service.
const CREDENTIALS: &str = "/run/credentials";

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
        /// The sensor is known already: its old key counts until the agent is restarted, and no longer
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
    /// The file of keys (on NixOS services.msp-agent.listener.keysFile) [default: the configuration's sensor_keys_file;
    /// where that is a credential of systemd's, or not set, /etc/msp/sensors.json]
    #[arg(long = "keys", value_name = "FILE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

impl KeysArg {
    /// The file, and what has to be said of it.
    fn file(&self) -> anyhow::Result<(PathBuf, Option<String>)> {
        if let Some(file) = &self.keys {
            return Ok((file.clone(), None));
        }
        // Keys may be made before there is a configuration.
        let there = self.config.file.try_exists().with_context(|| self.config.file.display().to_string())?;
        match if there { self.config.load()?.sensor_keys_file } else { None } {
            // What the agent sees there is a copy that systemd makes at each start.
            Some(copy) if copy.starts_with(CREDENTIALS) => {
                let note = format!(
                    "The agent gets a copy of the file that LoadCredential= of its unit names (on NixOS \
                     services.msp-agent.listener.keysFile). Where that is not {STANDARD}, say --keys FILE."
                );
                Ok((STANDARD.into(), Some(note)))
            }
            Some(file) => Ok((file, None)),
            None => Ok((
                STANDARD.into(),
                Some(format!("{}: sensor_keys_file is not set: no push is taken.", self.config.file.display())),
            )),
        }
    }
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
        What::Add { name, replace, keys } => add(keys, name, *replace, out)?,
        What::List { keys } => {
            for name in entries(&keys.file()?.0)?.keys() {
                writeln!(out, "{name}")?;
            }
        }
        What::Remove { name, keys } => {
            let (file, note) = keys.file()?;
            let mut entries = entries(&file)?;
            if entries.remove(name).is_none() {
                return Err(nobody(&file, name, &entries));
            }
            sensor_keys::write(&file, &entries)?;
            writeln!(
                out,
                "{name} is no longer in {}. Its key counts until the agent is restarted: systemctl restart msp-agent",
                file.display()
            )?;
            note.map_or(Ok(()), |note| writeln!(out, "{note}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn nobody(file: &Path, name: &str, entries: &Entries) -> anyhow::Error {
    let near = msp_rules::did_you_mean(name, entries.keys().map(String::as_str));
    let hint = near.map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"));
    anyhow::anyhow!("{}: there is no sensor called {name:?}{hint}", file.display())
}

fn add(keys: &KeysArg, name: &str, replace: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    anyhow::ensure!(sensor_keys::is_name(name), "{name:?} is no name of a sensor: letters, digits, . _ -, at most 64");
    let (file, note) = keys.file()?;
    let mut entries = entries(&file)?;
    anyhow::ensure!(
        replace || !entries.contains_key(name),
        "{name} has a key already: --replace makes a new one, and the old one counts until the agent is restarted"
    );
    if replace && !entries.contains_key(name) {
        return Err(nobody(&file, name, &entries).context("--replace is for a sensor that has a key"));
    }
    let key = sensor_keys::new_key()?;
    entries.insert(name.to_owned(), key.clone());
    // Before it is written: the agent would refuse the whole file, and no sensor would be heard.
    sensor_keys::checked(&file, &entries)?;
    sensor_keys::write(&file, &entries)?;
    writeln!(out, "{}", key.0)?;
    writeln!(
        out,
        "This is the key of {name}; it is not shown again. It is in {}, and counts as soon as the agent is",
        file.display()
    )?;
    writeln!(out, "restarted{}:", if replace { "; until then the old key counts" } else { "" })?;
    writeln!(out, "  systemctl restart msp-agent")?;
    note.map_or(Ok(()), |note| writeln!(out, "{note}"))?;
    writeln!(out, "docs/sensors.md says how to push with it, from PowerShell or with curl.")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(what: What) -> Result<String, String> {
        let mut out = Vec::new();
        run(&Args { what }, &mut out).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_key_too_many_or_in_nobodys_place_is_not_written_and_the_file_is_the_configurations() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sensors.json");
        let config = folder.path().join("none.yaml");
        let keys = || KeysArg { keys: Some(file.clone()), config: ConfigArg { file: config.clone() } };
        let add = |name: &str, replace| said(What::Add { name: name.to_owned(), replace, keys: keys() });
        for n in 0..64 {
            assert!(add(&format!("s{n}"), false).unwrap().starts_with("whsec_"));
        }
        let before = std::fs::read(&file).unwrap();
        for (name, replace, why) in [
            ("one-more", false, "65 sensors are too many"),
            ("s3", false, "has a key already"),
            ("s33x", true, "no sensor called \"s33x\" (did you mean \"s33\"?)"),
        ] {
            let error = add(name, replace).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert_eq!(std::fs::read(&file).unwrap(), before, "{name} is written");
        }
        let replaced = add("s3", true).unwrap();
        assert!(replaced.contains("until then the old key counts"), "{replaced}");
        assert!(replaced.contains(&file.display().to_string()) && std::fs::read(&file).unwrap() != before);

        // Without --keys: where the configuration says, if the agent reads it there.
        let by_config = KeysArg { keys: None, config: ConfigArg { file: config.clone() } };
        assert_eq!(by_config.file().unwrap().0, Path::new(STANDARD), "no configuration yet");
        let minimal = "site_id: s\nhost_id: h\nmcp_url: https://central.example\nclient_cert_file: c\nclient_key_file: k\n\
                       ca_cert_file: a\nsigning_key_file: s\nmcp_public_key: \
                       d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n";
        for (line, expected) in [
            ("", Path::new(STANDARD).to_owned()),
            ("sensor_keys_file: keys/s.json", folder.path().join("keys/s.json")),
            ("sensor_keys_file: /run/credentials/msp-agent.service/sensor_keys_file", Path::new(STANDARD).to_owned()),
        ] {
            std::fs::write(&config, format!("{minimal}{line}\n")).unwrap();
            let (found, note) = by_config.file().unwrap();
            assert_eq!(found, expected, "{line}");
            assert_eq!(note.is_some(), expected == Path::new(STANDARD), "{note:?}");
        }
    }
}
