//! `msp-winsim`: starts one simulated Windows server, says when it is ready, and stops on SIGTERM, SIGINT or, if asked to,
//! at the end of standard input.

mod cli;
mod parse;

use std::io::{IsTerminal, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use msp_winsim::{Account, Identity, Server, ServerConfig};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How long a handshake, headers and body may each take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stop may take before the process ends anyway.
const STOP_TIMEOUT: Duration = Duration::from_millis(800);

/// The exit code of a server that could not start.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let result = match (cli.command, cli.serve) {
        (Some(cli::Command::Parse { files }), _) => parse::run(&files),
        (None, Some(args)) => start(args).map(|()| ExitCode::SUCCESS),
        (None, None) => {
            Err(anyhow::anyhow!("give --user and --password-file to serve, or the command parse; see --help"))
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // Standard error that is closed leaves nowhere to say it.
            drop(writeln!(std::io::stderr(), "msp-winsim: {error:#}"));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn start(args: cli::Args) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // It says so with eprintln!, which panics where standard error is closed.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .init();
    // The only error is that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(serve(args));
    // Commands that still run have threads of their own: they must not hold the process back.
    runtime.shutdown_background();
    result
}

async fn serve(args: cli::Args) -> anyhow::Result<()> {
    let password = cli::read_password(&args.password_file)?;
    let identity = match (&args.cert, &args.key, &args.tls_dir) {
        (Some(cert), Some(key), _) => Some(Identity::from_pem(cert, key)?),
        (_, _, Some(dir)) => Some(Identity::create_in(dir, args.listen.ip(), &args.hostname)?),
        _ if args.port.is_some() || args.http.is_some() => None,
        _ => anyhow::bail!(
            "no TLS identity: give --cert and --key, or --tls-dir to have one made, or --port for plain HTTP alone"
        ),
    };
    // Before the ready line, so that no signal after it is lost.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let server = Server::start(ServerConfig {
        profile: args.profile,
        hostname: args.hostname.clone(),
        listen: args.listen,
        http: args.http.or(args.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
        drift: args.drift,
        account: Account { user: args.user, password },
        identity,
        read_timeout: READ_TIMEOUT,
    })
    .await?;
    let ready = serde_json::json!({
        "ready": true,
        "winrm": server.winrm_address().map(|address| address.to_string()),
        "winrm_http": server.http_address().map(|address| address.to_string()),
        "drift": server.drift_address().to_string(),
        "hostname": args.hostname,
        "profile": args.profile,
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}").and_then(|()| stdout.flush()).context("saying that the server is ready")?;

    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        () = stdin_end(), if args.exit_with_stdin => tracing::info!("standard input ended: stopping"),
    }
    if tokio::time::timeout(STOP_TIMEOUT, server.stop()).await.is_err() {
        tracing::warn!("stopping took too long; leaving anyway");
    }
    Ok(())
}

/// Returns when standard input ends.
async fn stdin_end() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A thread of its own: a blocked read must not keep the runtime from shutting down.
    std::thread::spawn(move || {
        let mut buffer = [0u8; 256];
        let mut stdin = std::io::stdin().lock();
        while stdin.read(&mut buffer).is_ok_and(|n| n > 0) {}
        let _ = sender.send(());
    });
    let _ = receiver.await;
}
