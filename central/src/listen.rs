//! One listener: accepts, handshakes, serves HTTP/1.1, and bounds all of it.
//!
//! A connection that says nothing, says it slowly or never ends costs one of a fixed number of places
//! for a fixed time, and nothing else. On the stop signal no connection is accepted any more, idle ones
//! are closed, and calls under way get [`GRACE`] to end.

use crate::api::Peer;
use crate::pki::{CallerError, caller};
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long calls under way may still take after the stop signal.
pub(crate) const GRACE: Duration = Duration::from_millis(600);
/// How long a connection lives at most; a client opens another.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long accepting rests after an error (too many open files): it is not the client's fault.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How many bytes of a request's head are read.
const MAX_HEAD: usize = 32 * 1024;

/// Who may come in, and how.
#[derive(Clone)]
pub(crate) enum Door {
    /// TLS; the acceptor demands a client certificate.
    Agents(TlsAcceptor),
    /// TLS without a client certificate, for appliances that have none yet.
    Enrolment(TlsAcceptor),
    /// TLS, for people; without an acceptor plain HTTP, for people on this machine.
    People(Option<TlsAcceptor>),
}

/// Where a call comes from; put beside every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote(pub(crate) IpAddr);

/// What a listener spends on its clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at the same time; further ones wait to be accepted.
    pub(crate) connections: usize,
    /// For the TLS handshake, for a request's head, and between two requests.
    pub(crate) head: Duration,
}

/// Why a connection ended before its client was done.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the socket cannot be set up")]
    Socket {
        #[source]
        source: std::io::Error,
    },
    #[error("no TLS handshake within {limit:?}")]
    NoHandshake { limit: Duration },
    #[error("the TLS handshake failed")]
    Handshake {
        #[source]
        source: std::io::Error,
    },
    #[error("the HTTP exchange failed")]
    Http {
        #[source]
        source: hyper::Error,
    },
    #[error("cut off {grace:?} after it was asked to end")]
    CutOff { grace: Duration },
}

/// Serves until `stop`, then waits for calls under way, at most [`GRACE`].
pub(crate) async fn serve(listener: TcpListener, door: Door, router: Router, limits: Limits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, from))) => {
                let (door, router, stop) = (door.clone(), router.clone(), stop.clone());
                connections.spawn(async move {
                    if let Err(error) = connection(stream, Remote(from.ip()), door, router, limits, stop).await {
                        tracing::debug!(%from, error = &error as &dyn std::error::Error, "connection ended");
                    }
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => break,
        }
    }
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "calls were cut off by the stop");
    }
}

async fn connection(
    stream: TcpStream,
    remote: Remote,
    door: Door,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), Ended> {
    stream.set_nodelay(true).map_err(|source| Ended::Socket { source })?;
    let (acceptor, with_certificate) = match door {
        Door::People(None) => return http(stream, remote, None, router, limits, stop).await,
        Door::People(Some(acceptor)) => (acceptor, false),
        Door::Agents(acceptor) => (acceptor, true),
        Door::Enrolment(acceptor) => (acceptor, false),
    };
    let handshake = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        handshake = timeout(limits.head, acceptor.accept(stream)) => handshake,
    };
    let handshake = handshake.map_err(|_| Ended::NoHandshake { limit: limits.head })?;
    let stream = handshake.map_err(|source| Ended::Handshake { source })?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = with_certificate.then(|| Peer(certificate.map_or(Err(CallerError::NoUri), caller)));
    http(stream, remote, peer, router, limits, stop).await
}

async fn http<S>(
    stream: S,
    remote: Remote,
    peer: Option<Peer>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(remote);
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        inner.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let grace = tokio::select! {
        ended = serving.as_mut() => return ended.map_err(|source| Ended::Http { source }),
        () = stop.cancelled() => GRACE,
        () = sleep(LIFETIME) => limits.head,
    };
    serving.as_mut().graceful_shutdown();
    let ended = timeout(grace, serving).await.map_err(|_| Ended::CutOff { grace })?;
    ended.map_err(|source| Ended::Http { source })
}
