//! The command line: what can be asked, and what the exit code says.
//!
//! 0: done. 1: the input was refused or the work failed. 2: wrong usage, or it could not even begin (no
//! such directory, another server's lock, a taken port). Results go to standard output, everything else
//! to standard error. A reader that ends early (`| head`) changes none of it.

mod appliance;
mod asker;
mod credentials;
mod duration;
mod enroll_token;
mod init;
mod issue;
mod kill_switch;
mod list;
mod login_link;
mod order;
mod person;
mod rules;
mod serve;
mod site;
mod table;
mod targets;

use crate::app::ListenError;
use crate::directory::{Directory, DirectoryError};
use crate::pki::AuthorityError;
use crate::store::{Store, StoreError};
use clap::{Args, Parser, Subcommand};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

const EXAMPLE: &str = "\
Example: a server with one appliance, on this machine.

  msp-central init --dir /var/lib/msp-central --name localhost --name 127.0.0.1
  msp-central issue --dir /var/lib/msp-central \\
    --site clinic-a --appliance apl-1 --out ./apl-1
  msp-central serve --dir /var/lib/msp-central \\
    --listen 127.0.0.1:8443 --people 127.0.0.1:8444

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or could not begin.";

/// Central Command: takes in what the agents report and tells them their targets and rules
#[derive(Debug, Parser)]
#[command(name = "msp-central", version, after_help = EXAMPLE)]
struct Cli {
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter such as info,sqlx=warn
    #[arg(long, global = true, env = "MSP_LOG_LEVEL", default_value = "info,sqlx=warn", value_name = "LEVEL", value_parser = log_filter)]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new directory: certificate authority, server certificate, signing key, database
    Init(init::Arguments),
    /// Issue the client certificate of one appliance and register it
    Issue(issue::Arguments),
    /// Make a one-time token by which a new appliance joins a site
    EnrollToken(enroll_token::Arguments),
    /// Serve the agents (mutual TLS) and the people's pages (TLS)
    Serve(serve::Arguments),
    /// The Windows servers of a site
    #[command(subcommand)]
    Targets(targets::Command),
    /// The level 1 rules of a site
    #[command(subcommand)]
    Rules(rules::Command),
    /// A site's settings
    #[command(subcommand)]
    Site(site::Command),
    /// The appliances' certificates: list, revoke
    #[command(subcommand)]
    Appliance(appliance::Command),
    /// Orders to one appliance, signed
    #[command(subcommand)]
    Order(Box<order::Command>),
    /// Stop every change of a site or of one appliance, and allow them again
    #[command(subcommand)]
    KillSwitch(kill_switch::Command),
    /// Who may use the people's pages
    #[command(subcommand)]
    Person(person::Command),
    /// Make a link that lets a person in once
    LoginLink(login_link::Arguments),
    /// What was reported; works while the server runs
    List(list::Arguments),
}

/// The directory that `init` made.
#[derive(Debug, Args)]
struct Dir {
    /// Central Command's directory, made by `msp-central init`
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl Dir {
    fn directory(&self) -> Directory {
        Directory::new(&self.dir)
    }

    async fn store(&self) -> anyhow::Result<Store> {
        let directory = self.directory();
        directory.require()?;
        Ok(Store::open(&directory.database()).await?)
    }
}

/// A site that must be registered.
#[derive(Debug, Args)]
struct Site {
    /// The site's id, for example clinic-a
    #[arg(long, value_name = "SITE")]
    site: String,
}

/// Input that was understood and is not accepted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Site {
    /// The id of a registered site; a name that is only nearly one is suggested.
    async fn registered(&self, store: &Store) -> anyhow::Result<&str> {
        if store.site_exists(&self.site).await? {
            return Ok(&self.site);
        }
        let known: Vec<String> = store.sites(None).await?.into_iter().map(|site| site.site_id).collect();
        let hint = match known.iter().find(|id| id.eq_ignore_ascii_case(&self.site)) {
            Some(id) => format!("did you mean {id:?}?"),
            None if known.is_empty() => "none is registered yet".to_owned(),
            None => format!("registered are {}", known.join(", ")),
        };
        let text =
            format!("no site {:?} ({hint}); `msp-central issue` registers a site with its first appliance", self.site);
        Err(Refused(text).into())
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error} (try info, or info,sqlx=warn)")),
    }
}

/// Parses the command line, does what it asks, and says how it went.
pub(crate) fn run(out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own way of printing knows about colours and help on standard output.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match begin(cli, &mut ReadOrNot { out }, err) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(err, "msp-central: {error:#}");
            ExitCode::from(code(&error))
        }
    }
}

/// Standard output, whether or not anybody reads all of it: the work and its exit code do not depend on that.
struct ReadOrNot<'a> {
    out: &'a mut dyn Write,
}

impl Write for ReadOrNot<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.out.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.out.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// 2 when nothing could be begun, else 1.
fn code(error: &anyhow::Error) -> u8 {
    let store = error.downcast_ref::<StoreError>();
    let could_not_begin = error.is::<DirectoryError>()
        || matches!(error.downcast_ref(), Some(AuthorityError::Directory(_)))
        || error.is::<ListenError>()
        || matches!(store, Some(StoreError::Open { .. } | StoreError::Migrate { .. }));
    if could_not_begin { 2 } else { 1 }
}

fn begin(cli: Cli, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&cli.log_level)?)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A log that nobody reads any more is no reason to panic; saying so on standard error would be.
        .log_internal_errors(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(execute(cli.command, out, err)).and_then(|()| Ok(out.flush()?));
    // A blocked statement must not hold the end.
    runtime.shutdown_timeout(Duration::from_millis(50));
    result
}

async fn execute(command: Command, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => init::run(&arguments, out).await,
        Command::Issue(arguments) => issue::run(&arguments, out).await,
        Command::EnrollToken(arguments) => enroll_token::run(&arguments, out, err).await,
        Command::Serve(arguments) => serve::run(&arguments, out).await,
        Command::Targets(command) => targets::run(&command, out).await,
        Command::Rules(command) => rules::run(&command, out).await,
        Command::Site(command) => site::run(&command, out).await,
        Command::Appliance(command) => appliance::run(&command, out).await,
        Command::Order(command) => order::run(*command, out).await,
        Command::KillSwitch(command) => kill_switch::run(&command, out).await,
        Command::Person(command) => person::run(&command, out).await,
        Command::LoginLink(arguments) => login_link::run(&arguments, out).await,
        Command::List(arguments) => list::run(&arguments, out).await,
    }
}

/// One value as JSON, and a line end.
fn print_json<T: serde::Serialize>(out: &mut dyn Write, value: &T) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}
