//! `person`: who may use the people's pages.

use super::asker::By;
use super::{Dir, Refused, print_json, table};
use crate::clock;
use crate::people::{password, plain_name};
use crate::store::{Actor, PersonRow, Store};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

const EXAMPLE: &str = "\
Example: the first person, who sets a password after coming in by a link.
  msp-central person add --dir /var/lib/msp-central ada
  msp-central login-link --dir /var/lib/msp-central ada

Names are written in small letters; capitals make no difference at the login.";

const PASSWORD_EXAMPLE: &str = "\
Example:
  pass show central/ada | msp-central person set-password --dir /var/lib/msp-central ada

One line is read from standard input, or from --password-file. It is stored as an argon2id hash (64 MiB, 3 passes, \
4 lanes). Every session and every link of the person ends. At a terminal the line would be seen, so it is refused \
there: use a file, a pipe, or a link, after which people set their own password on the page.";

/// `person ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// Add a person, who comes in by a link until there is a password
    #[command(after_help = EXAMPLE)]
    Add(Named),
    /// List everybody
    #[command(after_help = "Example:\n  msp-central person list --dir /var/lib/msp-central --json")]
    List {
        #[command(flatten)]
        dir: Dir,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Shut a person out: sessions and links end at once
    #[command(after_help = "Example:\n  msp-central person disable --dir /var/lib/msp-central ada --reason 'has left'")]
    Disable(Named),
    /// Let a person in again
    #[command(after_help = "Example:\n  msp-central person enable --dir /var/lib/msp-central ada --reason 'is back'")]
    Enable(Named),
    /// Set a person's password, read from standard input or a file
    #[command(after_help = PASSWORD_EXAMPLE)]
    SetPassword {
        #[command(flatten)]
        named: Named,
        /// Read it from this file's first line
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// A person, and why something is done to them.
#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    dir: Dir,
    /// The person's name: 1 to 64 letters, digits and . _ - @
    #[arg(value_name = "NAME")]
    name: String,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    by: By,
}

impl Named {
    fn name(&self) -> anyhow::Result<String> {
        let name = plain_name(&self.name);
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        if name.is_empty() || self.name.trim().chars().count() > 64 || !name.chars().all(plain) {
            let text = format!("{:?} cannot name a person: 1 to 64 letters, digits and . _ - @", self.name);
            return Err(Refused(text).into());
        }
        Ok(name)
    }
}

/// Who acts on the command line.
pub(super) fn actor(by: &By) -> Actor {
    Actor { name: by.name().to_owned(), address: "command line".to_owned(), at: clock::now() }
}

/// Nobody of this name; whoever was meant, if that can be told.
pub(super) async fn unknown(store: &Store, name: &str) -> anyhow::Error {
    let known: Vec<String> =
        store.people().await.map(|people| people.into_iter().map(|row| row.name).collect()).unwrap_or_default();
    let hint = match msp_rules::did_you_mean(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None if known.is_empty() => "nobody was added yet: `msp-central person add`".to_owned(),
        None => format!("there are {}", known.join(", ")),
    };
    Refused(format!("nobody is called {name:?} ({hint})")).into()
}

fn cells(row: &PersonRow) -> Vec<String> {
    vec![
        row.name.clone(),
        if row.disabled_at.is_some() { "disabled" } else { "may log in" }.to_owned(),
        if row.has_password { "password" } else { "link only" }.to_owned(),
        row.last_login.clone().unwrap_or_else(|| "never".to_owned()),
    ]
}

/// The first line of the file, or of standard input.
fn read_password(file: Option<&PathBuf>) -> anyhow::Result<String> {
    let mut line = String::new();
    match file {
        Some(path) => {
            let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            std::io::BufReader::new(file).read_line(&mut line)?;
        }
        None if std::io::stdin().is_terminal() => {
            let text = "a password typed here would be seen: pipe it in, name a --password-file, or make a \
                        `msp-central login-link`";
            return Err(Refused(text.to_owned()).into());
        }
        None => {
            std::io::stdin().lock().read_line(&mut line).context("cannot read standard input")?;
        }
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

async fn disable(named: &Named, disabled: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let (store, name) = (named.dir.store().await?, named.name()?);
    if !store.set_disabled(&name, disabled, &actor(&named.by), &named.reason).await? {
        return Err(unknown(&store, &name).await);
    }
    store.close().await;
    let said = if disabled { "is shut out; sessions and links have ended" } else { "may log in again" };
    writeln!(out, "{name} {said}.")?;
    Ok(())
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Add(named) => {
            let (store, name) = (named.dir.store().await?, named.name()?);
            if !store.add_person(&name, &actor(&named.by), &named.reason).await? {
                return Err(Refused(format!("{name} is there already (`msp-central person list`)")).into());
            }
            store.close().await;
            let dir = named.dir.directory();
            writeln!(out, "{name} may log in.")?;
            writeln!(out, "Next: msp-central login-link --dir {} {name}", dir.path().display())?;
            Ok(())
        }
        Command::List { dir, json } => {
            let store = dir.store().await?;
            let people = store.people().await?;
            store.close().await;
            if *json {
                return print_json(out, &people);
            }
            let rows: Vec<_> = people.iter().map(cells).collect();
            let nothing = "Nobody may log in yet: msp-central person add.";
            table::print(out, &["NAME", "STATE", "COMES IN BY", "LAST LOGIN"], &rows, nothing)
        }
        Command::Disable(named) => disable(named, true, out).await,
        Command::Enable(named) => disable(named, false, out).await,
        Command::SetPassword { named, password_file } => {
            let (store, name) = (named.dir.store().await?, named.name()?);
            let password = read_password(password_file.as_ref())?;
            password::acceptable(&name, &password).map_err(|error| Refused(error.to_string()))?;
            let hash = password::hash(&password)?;
            if !store.set_password(&name, &hash, "", &actor(&named.by)).await? {
                return Err(unknown(&store, &name).await);
            }
            store.close().await;
            writeln!(out, "The password of {name} is set; sessions and links of before have ended.")?;
            Ok(())
        }
    }
}
