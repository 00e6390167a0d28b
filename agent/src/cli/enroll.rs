//! `msp-agent enroll`: this appliance joins a fleet by a one-time token.
//!
//! Keys are made here and stay here. Everything is written in an order in which an interruption leaves nothing that
//! looks finished: keys, the authority, the certificate (with its key, in one file), the configuration last. The same
//! command run again goes on where it ended: Central Command gives the same certificate for the same key again.

mod placed;

use super::{NO, print_json};
use crate::adapters::private_file::{self, PrivateFileError, Readers};
use crate::causes::chain;
use crate::config::sealed::Key;
use crate::config::{self, Config};
use crate::report::client::{CallError, Central};
use crate::report::enroll::{self, EnrollError, Newcomer};
use crate::report::identity;
use anyhow::Context;
use msp_agent_switch::declared;
use msp_agent_switch::places::Places;
use msp_agent_switch::profile;
use msp_contracts::api::{self, EnrollReply, Health};
use msp_contracts::keys;
use msp_contracts::token::EnrollToken;
use placed::{Placed, Settings};
use serde_json::json;
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// The longest token file, in bytes.
const LONGEST: u64 = 4096;

/// Join a fleet by a one-time token: make the keys, get the certificate, write the configuration
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  msp-agent enroll --server https://central.example.org:8445 --token-file token\n  \
                  msp-agent check-config --files && systemctl start msp-agent\n\n\
                  The token comes from `msp-central enroll-token` and is good once. It carries the fingerprint of Central Command's \
                  authority: a server that stands in between does not get to see the token. A token given with --token can be \
                  seen by other users of this machine while the command runs; --token-file - reads it from standard input.\n\n\
                  Run it as the user that the agent runs as; as root, the files belong to the owner of the folder. Interrupted, or \
                  without an answer: run it again.\n\n\
                  Exit codes: 0 enrolled, 1 refused (the message says the cure), 2 it could not run.")]
pub struct Args {
    /// Central Command's listener for enrolment (`msp-central serve --enroll`)
    #[arg(long, value_name = "URL")]
    server: String,
    /// The token
    #[arg(long, value_name = "TOKEN", required_unless_present = "token_file", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file that holds the token; - is standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The name of this appliance; not needed when the token names it
    #[arg(long, value_name = "NAME")]
    appliance: Option<String>,
    /// Where the configuration is to be, or is [default: config.yaml in --out-dir]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where keys and certificates are to be
    #[arg(long, value_name = "DIR", default_value = "/etc/msp")]
    out_dir: PathBuf,
    /// One JSON document: {"enrolled", "site_id", "appliance", ...}, or {"enrolled": false, "error", "message"}
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let token = token(args)?;
    let token: EnrollToken = match token.parse() {
        Ok(token) => token,
        Err(error) => return refused(args, out, "token_damaged", &format!("{error}")),
    };
    anyhow::ensure!(args.server.starts_with("https://"), "--server {:?} must begin with https://", args.server);
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(&args.out_dir)
        .with_context(|| format!("{}: cannot be made", args.out_dir.display()))?;
    let folder = args.out_dir.canonicalize().with_context(|| args.out_dir.display().to_string())?;
    let lock = File::open(&folder).with_context(|| folder.display().to_string())?;
    lock.try_lock().with_context(|| format!("{}: another enrolment works on it", folder.display()))?;
    let config_file = args.config.clone().unwrap_or_else(|| folder.join("config.yaml"));
    let present = config_file.exists().then(|| config::load(&config_file, []).map(|loaded| loaded.config));
    let placed = Placed::in_folder(&folder, present.as_ref().and_then(|read| read.as_ref().ok()));

    let public_key = signing_key(&placed)?;
    let encryption_key = encryption_key(&placed)?;
    let pending = folder.join(".enroll-key.pem");
    let key = enroll::pending_key(&pending, None)?;
    let newcomer = Newcomer {
        server: &args.server,
        token: &token,
        appliance: args.appliance.as_deref().unwrap_or_default(),
        key: &key,
        public_key: &public_key,
        encryption_key: &encryption_key,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let (reply, identity) = match runtime.block_on(enroll::by_token(&newcomer)) {
        Ok(enrolled) => enrolled,
        Err(EnrollError::Call(CallError::Status { said, code, status, .. })) if status.is_client_error() => {
            let code = code.unwrap_or_else(|| "refused".to_owned());
            let said = said.strip_suffix(&format!(" ({code})")).map(str::to_owned).unwrap_or(said);
            return refused(args, out, &code, &said);
        }
        Err(error @ EnrollError::Impostor { .. }) => {
            return refused(args, out, "wrong_fingerprint", &error.to_string());
        }
        Err(error) => return Err(anyhow::anyhow!("{}", chain(&error)).context("not enrolled; run it again")),
    };
    let settings = Settings::of(&reply, &placed)?;
    private_file::replace(&placed.authority, reply.ca_certificate.as_bytes(), Readers::Group)?;
    private_file::replace(&placed.identity, &identity.pem, Readers::Owner)?;
    let written = settings.write(&config_file)?;
    declare_what_runs();
    // The certificate has come, and with the configuration everything is in place.
    let _ = std::fs::remove_file(&pending);
    let config = config::load(&config_file, []).map(|loaded| loaded.config);
    let reached = match &config {
        Ok(config) if written != placed::Written::Differs => Some(first_word(&runtime, config)),
        _ => None,
    };
    report(args, out, &Outcome { reply: &reply, settings: &settings, config_file: &config_file, written, reached })?;
    Ok(ExitCode::SUCCESS)
}

fn token(args: &Args) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    match (&args.token, &args.token_file) {
        (Some(token), _) => text.push_str(token),
        (None, Some(file)) if file == Path::new("-") => {
            std::io::stdin()
                .take(LONGEST)
                .read_to_string(&mut text)
                .context("reading the token from standard input")?;
        }
        (None, Some(file)) => {
            let read = File::open(file).and_then(|open| open.take(LONGEST).read_to_string(&mut text));
            read.with_context(|| format!("{}: the token cannot be read", file.display()))?;
        }
        (None, None) => anyhow::bail!("give the token with --token-file FILE"),
    }
    Ok(text)
}

/// The key that signs evidence: the one that is there, or a new one. Its public half in hexadecimal.
fn signing_key(placed: &Placed) -> anyhow::Result<String> {
    let file = &placed.signing;
    match private_file::read(file) {
        Ok(pem) => {
            let key = keys::private_from_pem(&pem).with_context(|| file.display().to_string())?;
            Ok(keys::public_to_hex(&key.verifying_key()))
        }
        Err(PrivateFileError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let (public, pem) = super::keygen::signing_key()?;
            private_file::replace(file, pem.as_bytes(), Readers::Owner)?;
            Ok(public)
        }
        Err(error) => Err(error.into()),
    }
}

/// The key that credentials are encrypted to: the one that is there, or a new one. Its public half.
fn encryption_key(placed: &Placed) -> anyhow::Result<String> {
    let file = &placed.encryption;
    if file.exists() {
        return Ok(Key::read(file)?.recipient().to_string());
    }
    let (public, text) = config::sealed::new_key();
    private_file::replace(file, text.as_bytes(), Readers::Owner)?;
    Ok(public)
}

/// On NixOS, what runs at enrolment is what should run until an order or a person says otherwise.
fn declare_what_runs() {
    let places = Places::own();
    let Ok(running) = profile::leads_to(&places, &places.current()) else { return };
    if matches!(declared::read(&places), Ok(None)) {
        // Whoever enrols without being root declares later, with `msp-agent generations accept`.
        drop(declared::write(&places, &running, "the system that ran at enrolment"));
    }
}

/// Asks Central Command for the first time as a member of its fleet, with what was written.
fn first_word(runtime: &tokio::runtime::Runtime, config: &Config) -> Result<(), String> {
    // Renewed before this enrolment, so of an appliance that is no more.
    identity::forget_renewed(&config.state_dir).map_err(|error| format!("{}: {error}", config.state_dir.display()))?;
    let central = Central::new(config).map_err(|error| chain(&error))?;
    let health = runtime.block_on(central.get::<Health>(api::HEALTH, &[]));
    health.map(drop).map_err(|error| chain(&error))
}

fn refused(args: &Args, out: &mut dyn Write, code: &str, message: &str) -> anyhow::Result<ExitCode> {
    if args.json {
        print_json(out, &json!({ "enrolled": false, "error": code, "message": message }))?;
    } else {
        writeln!(out, "not enrolled: {message}")?;
    }
    Ok(ExitCode::from(NO))
}

struct Outcome<'a> {
    reply: &'a EnrollReply,
    settings: &'a Settings,
    config_file: &'a Path,
    written: placed::Written,
    /// Whether Central Command answered at the agents' door; `None` when it was not asked.
    reached: Option<Result<(), String>>,
}

fn report(args: &Args, out: &mut dyn Write, outcome: &Outcome<'_>) -> anyhow::Result<()> {
    let Outcome { reply, settings, config_file, written, reached } = outcome;
    if args.json {
        return print_json(
            out,
            &json!({
                "enrolled": true, "site_id": reply.site_id, "appliance": reply.appliance, "mcp_url": reply.mcp_url,
                "renew_after": reply.renew_after, "config_file": config_file, "config": written.as_str(),
                "settings": settings.text(), "reached": reached.as_ref().map(Result::is_ok),
                "trouble": reached.as_ref().and_then(|reached| reached.as_ref().err()),
            }),
        );
    }
    writeln!(out, "enrolled as {} of {}; renewed from {:.0} on", reply.appliance, reply.site_id, reply.renew_after)?;
    let file = config_file.display();
    match written {
        placed::Written::New => writeln!(out, "{file}: written")?,
        placed::Written::Unchanged => writeln!(out, "{file}: says so already")?,
        placed::Written::Differs => {
            writeln!(out, "{file}: says something else and was left alone; it needs these lines:\n")?;
            writeln!(out, "{}", settings.text())?;
        }
    }
    match reached {
        Some(Ok(())) => writeln!(out, "{}: answers this appliance; start the agent", reply.mcp_url)?,
        Some(Err(trouble)) => writeln!(out, "warning: {trouble}")?,
        None => {}
    }
    Ok(())
}
