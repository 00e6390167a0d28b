//! The server: the only file that knows every part, and wires them.
//!
//! Order matters. The lock comes first, so that a second server touches nothing; the ready line comes
//! when both listeners are bound; on the stop signal the listeners end before the database is closed.

use crate::api::{self, Context};
use crate::clock;
use crate::directory::Directory;
use crate::enroll::Desk;
use crate::listen::{self, Door, Limits};
use crate::metrics::{self, Metrics};
use crate::people::{self, People};
use crate::pki::{self, Authority};
use crate::signing::Signer;
use crate::store::Store;
use anyhow::Context as _;
use jiff::SignedDuration;
use serde::Serialize;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long closing the database may take.
const CLOSE: Duration = Duration::from_millis(300);

/// What the enrolment's listener spends on strangers at most.
const ENROLMENT: Limits = Limits { connections: 64, head: Duration::from_secs(10) };

/// A listener that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Passwords and sessions would cross the network in the clear.
    #[error(
        "--people-http serves people without TLS, so it listens on loopback only, and {address} is not (leave it out, or use --people 127.0.0.1:8444)"
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The metrics would be open to the network.
    #[error(
        "the metrics have no login, so they listen on loopback only, and {address} is not (use --metrics 127.0.0.1:9464 and let a collector or a proxy on this machine pass them on)"
    )]
    MetricsNotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {address} (is the port taken? port 0 takes a free one)")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// How people come in.
#[derive(Debug, Clone)]
pub(crate) enum PeopleDoor {
    /// TLS with the server's certificate, of the fleet's own authority.
    OwnCertificate,
    /// TLS with the operator's certificate and key.
    Files { certificate: PathBuf, key: PathBuf },
    /// Plain HTTP on loopback.
    Http,
}

/// How to serve.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) agents: SocketAddr,
    pub(crate) people: SocketAddr,
    pub(crate) people_door: PeopleDoor,
    /// Where people find the pages; made of the door's certificate or address when absent.
    pub(crate) people_url: Option<String>,
    /// Where appliances enrol by a token; nowhere when absent.
    pub(crate) enroll: Option<SocketAddr>,
    /// Where agents are told to connect; derived from the server's certificate when absent.
    pub(crate) agents_url: Option<String>,
    /// How long a new certificate of an appliance lives.
    pub(crate) certificate_life: SignedDuration,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) exit_with_stdin: bool,
    pub(crate) limits: Limits,
    pub(crate) request_timeout: Duration,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    agents: SocketAddr,
    people: SocketAddr,
    people_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enroll: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |source| ListenError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn bind_some(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, ListenError> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

/// Serves until SIGTERM, SIGINT or, when asked for, the end of standard input.
pub(crate) async fn serve(directory: &Directory, options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
    if matches!(options.people_door, PeopleDoor::Http) && !options.people.ip().is_loopback() {
        return Err(ListenError::NotLoopback { address: options.people }.into());
    }
    if let Some(address) = options.metrics.filter(|address| !address.ip().is_loopback()) {
        return Err(ListenError::MetricsNotLoopback { address }.into());
    }
    directory.require()?;
    let _lock = directory.lock()?;
    let tls = TlsAcceptor::from(Arc::new(pki::server_config(directory)?));
    let newcomers = TlsAcceptor::from(Arc::new(pki::open_config(&directory.server(), &directory.server_key())?));
    let files = match &options.people_door {
        PeopleDoor::OwnCertificate => Some((directory.server(), directory.server_key())),
        PeopleDoor::Files { certificate, key } => Some((certificate.clone(), key.clone())),
        PeopleDoor::Http => None,
    };
    let people_tls = match &files {
        Some((certificate, key)) => Some(TlsAcceptor::from(Arc::new(pki::open_config(certificate, key)?))),
        None => None,
    };
    let signer = Signer::load(directory)?;
    let store = Store::open(&directory.database()).await?;
    let (agents_listener, agents) = bind(options.agents).await?;
    let (people_listener, people) = bind(options.people).await?;
    let enrolment = bind_some(options.enroll).await?;
    let metrics_bound = bind_some(options.metrics).await?;
    let enroll = enrolment.as_ref().map(|(_, bound)| *bound);
    let metrics_at = metrics_bound.as_ref().map(|(_, bound)| *bound);
    let desk = desk(directory, options, agents, &signer)?;
    // Listened for before the ready line: who reads it may send a signal at once.
    let stop = stop_signal(options.exit_with_stdin).context("cannot listen for signals")?;

    let people_url = people_url(options, files.as_ref().map(|(certificate, _)| certificate.as_path()), people)?;
    store.set_people_door(&people_url, clock::now()).await?;
    let indexed = store.index_evidence().await?;
    if indexed > 0 {
        tracing::info!(bundles = indexed, "evidence of before was indexed");
    }
    let pages = Arc::new(People::new(
        store.clone(),
        Signer::load(directory)?,
        store.watch_changes(stop.clone()).await?,
        stop.clone(),
        people_tls.is_some(),
    ));
    let metrics = Arc::new(Metrics::new(&store));
    let context = Arc::new(Context {
        store: store.clone(),
        signer,
        desk,
        request_timeout: options.request_timeout,
        metrics: Arc::clone(&metrics),
    });
    let enrolment_served = enrolment.map(|(listener, _)| (listener, api::enrolment_router(Arc::clone(&context))));
    let enrolment_served = async {
        if let Some((listener, router)) = enrolment_served {
            let limits = Limits {
                connections: options.limits.connections.min(ENROLMENT.connections),
                head: options.limits.head.min(ENROLMENT.head),
            };
            listen::serve(listener, Door::Enrolment(newcomers), router, limits, stop.clone()).await;
        }
    };
    let agents_served =
        listen::serve(agents_listener, Door::Agents(tls), api::router(context), options.limits, stop.clone());
    let people_served =
        listen::serve(people_listener, Door::People(people_tls), people::router(pages), options.limits, stop.clone());
    let metrics_served = async {
        if let Some((listener, _)) = metrics_bound {
            let router = metrics::router(store.clone(), metrics);
            listen::serve(listener, Door::People(None), router, options.limits, stop.clone()).await;
        }
    };
    let ready = Ready { ready: true, agents, people, people_url, enroll, metrics: metrics_at };
    let ready = serde_json::to_string(&ready)?;
    writeln!(out, "{ready}").and_then(|()| out.flush()).context("cannot write the ready line to standard output")?;
    tracing::info!(%agents, %people, dir = %directory.path().display(), "serving");

    tokio::join!(agents_served, people_served, metrics_served, enrolment_served);
    if tokio::time::timeout(CLOSE, store.close()).await.is_err() {
        tracing::warn!("the database was still busy at the end; what was answered is stored");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Who certifies, with what the directory holds.
fn desk(directory: &Directory, options: &Options, agents: SocketAddr, signer: &Signer) -> anyhow::Result<Desk> {
    // Kept elsewhere, it cannot be used; an enrolment's door that can only refuse is a mistake.
    let authority = (options.enroll.is_some() || directory.ca_key().exists())
        .then(|| Authority::load(directory))
        .transpose()
        .context("appliances cannot be certified")?;
    let agents_url = match &options.agents_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let name = pki::certified_name(&directory.server())?.unwrap_or_else(|| agents.ip().to_string());
            format!("https://{name}:{}", agents.port())
        }
    };
    Ok(Desk { authority, life: options.certificate_life, agents_url, server_keys: vec![signer.public_hex()] })
}

/// Where people find the pages: what links are made for.
fn people_url(options: &Options, certificate: Option<&Path>, bound: SocketAddr) -> anyhow::Result<String> {
    if let Some(url) = &options.people_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let Some(certificate) = certificate else { return Ok(format!("http://{bound}")) };
    let name = pki::certified_name(certificate)?;
    Ok(format!("https://{}:{}", name.unwrap_or_else(|| bound.ip().to_string()), bound.port()))
}

/// A token that is cancelled when the server is to stop.
fn stop_signal(exit_with_stdin: bool) -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signalled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop by a signal");
        signalled.cancel();
    });
    if exit_with_stdin {
        let ended = stop.clone();
        // A thread of its own: a blocked read must not hold the runtime's end.
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let mut buffer = [0_u8; 256];
            let mut stdin = std::io::stdin().lock();
            loop {
                match stdin.read(&mut buffer) {
                    Ok(0) => break,
                    Err(error) if error.kind() != std::io::ErrorKind::Interrupted => break,
                    _ => {}
                }
            }
            ended.cancel();
        })?;
    }
    Ok(stop)
}
