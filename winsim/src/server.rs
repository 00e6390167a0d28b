//! The listeners, WinRM over TLS, WinRM over plain HTTP and the drift interface, and their life: start, serve, stop.
//!
//! Every connection is bounded: in number, in the time of its TLS handshake, and in how long headers and body may take.
//! A stopped server has closed its sockets and told its commands to end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
use crate::drift;
use crate::profiles::Profile;
use crate::tls::Identity;
use crate::windows::Machine;
use crate::wsman::{Account, Connection, Service, Transport, while_it_hangs};

/// Connections served at the same time, on each listener.
const MOST_CONNECTIONS: usize = 128;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The kind of machine.
    pub profile: Profile,
    /// Its computer name.
    pub hostname: String,
    /// Where WinRM listens over TLS, if it has an identity; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where WinRM listens over plain HTTP, if it does; port 0 takes any free one.
    pub http: Option<SocketAddr>,
    /// Where the drift interface listens: a loopback address; port 0 takes any free one.
    pub drift: SocketAddr,
    /// The account that may log on.
    pub account: Account,
    /// The TLS identity of WinRM; without one it listens over plain HTTP only.
    pub identity: Option<Identity>,
    /// How long a handshake, the headers and the body of a request may each take.
    pub read_timeout: Duration,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The drift interface can change anything without a password, so it stays on the machine.
    #[error("the drift interface must listen on a loopback address, not on {address}; give one of 127.0.0.0/8 or ::1")]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// An address could not be listened on.
    #[error("listening on {address}: {source}; choose a free address of this machine, or port 0")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The account has no password.
    #[error("the account {user} has an empty password; WinRM refuses such a logon, so give it one")]
    EmptyPassword {
        /// Its name.
        user: String,
    },
}

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    winrm: Option<SocketAddr>,
    http: Option<SocketAddr>,
    drift: SocketAddr,
    machine: Arc<Machine>,
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Binds the listeners and serves them.
    ///
    /// # Errors
    /// An address is refused or taken, or the password is empty.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        if !config.drift.ip().is_loopback() {
            return Err(StartError::NotLoopback { address: config.drift });
        }
        if config.account.password.is_empty() {
            return Err(StartError::EmptyPassword { user: config.account.user });
        }
        let winrm_listener = match config.identity {
            Some(identity) => Some((listen(config.listen).await?, identity)),
            None => None,
        };
        let http_listener = match config.http {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let (drift_listener, drift) = listen(config.drift).await?;
        let machine = Arc::new(Machine::new(config.profile.state(&config.hostname), Clock));
        let service = Arc::new(Service::new(Arc::clone(&machine), config.account, config.read_timeout));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let winrm_to = WinRm {
            service: Arc::clone(&service),
            machine: Arc::clone(&machine),
            timeout: config.read_timeout,
            stopped: stopped.clone(),
        };
        let winrm = winrm_listener.map(|((listener, address), identity)| {
            tasks.spawn(serve_https(listener, identity, winrm_to.clone()));
            address
        });
        let http = http_listener.map(|(listener, address)| {
            tasks.spawn(serve_plain(listener, winrm_to));
            address
        });
        tasks.spawn(serve_drift(drift_listener, Arc::clone(&machine), config.read_timeout, stopped));
        Ok(Self { winrm, http, drift, machine, service, stop, tasks })
    }

    /// Where WinRM listens over TLS, if it does.
    #[must_use]
    pub fn winrm_address(&self) -> Option<SocketAddr> {
        self.winrm
    }

    /// Where WinRM listens over plain HTTP, if it does.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where the drift interface listens.
    #[must_use]
    pub fn drift_address(&self) -> SocketAddr {
        self.drift
    }

    /// The simulated machine, for tests in the same process.
    #[must_use]
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Closes the sockets, ends all connections and commands.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.service.stop_all();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.service.stop_all();
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

/// Accepts connections until stopped, and serves each in a task of its own.
async fn accept_loop<F, S>(listener: TcpListener, mut stopped: watch::Receiver<bool>, serve: F)
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = until(&mut stopped) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                // A client beyond the limit is turned away at once rather than left waiting.
                Ok((stream, _)) => if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
                    let serving = serve(stream);
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                },
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// What serving WinRM takes, over either transport.
#[derive(Clone)]
struct WinRm {
    service: Arc<Service>,
    machine: Arc<Machine>,
    timeout: Duration,
    stopped: watch::Receiver<bool>,
}

impl WinRm {
    /// Whether the firewall in front of the service lets a new connection in; one that it drops goes nowhere.
    fn admits(&self) -> bool {
        let admitted = self.machine.read(crate::windows::State::admits_winrm);
        if !admitted {
            tracing::info!("the simulated firewall dropped a connection to WinRM");
        }
        admitted
    }

    /// Serves one connection; who logged on with NTLM is known for as long as it lasts.
    async fn serve<I>(&self, io: I, transport: Transport)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Arc::new(Connection::new(transport));
        let service = Arc::clone(&self.service);
        let answer = service_fn(move |request| {
            let (service, connection) = (Arc::clone(&service), Arc::clone(&connection));
            async move { service.answer(&connection, request).await }
        });
        serve_http(io, answer, self.timeout).await;
    }
}

async fn serve_https(listener: TcpListener, identity: Identity, winrm: WinRm) {
    let acceptor = TlsAcceptor::from(identity.config);
    accept_loop(listener, winrm.stopped.clone(), |stream| {
        let (acceptor, winrm, bindings) = (acceptor.clone(), winrm.clone(), identity.bindings.clone());
        let admitted = winrm.admits();
        async move {
            if !admitted {
                return;
            }
            while_it_hangs(&winrm.machine).await;
            if let Ok(Ok(tls)) = tokio::time::timeout(winrm.timeout, acceptor.accept(stream)).await {
                winrm.serve(tls, Transport::Https(bindings)).await;
            }
        }
    })
    .await;
}

async fn serve_plain(listener: TcpListener, winrm: WinRm) {
    accept_loop(listener, winrm.stopped.clone(), |stream| {
        let winrm = winrm.clone();
        let admitted = winrm.admits();
        async move {
            if admitted {
                winrm.serve(stream, Transport::Http).await;
            }
        }
    })
    .await;
}

async fn serve_drift(listener: TcpListener, machine: Arc<Machine>, timeout: Duration, stopped: watch::Receiver<bool>) {
    accept_loop(listener, stopped, |stream| {
        let machine = Arc::clone(&machine);
        async move {
            let answer = service_fn(move |request| {
                let machine = Arc::clone(&machine);
                async move { Ok::<_, Infallible>(drift::answer(&machine, request, timeout).await) }
            });
            serve_http(stream, answer, timeout).await;
        }
    })
    .await;
}

async fn serve_http<I, S, B>(io: I, service: S, timeout: Duration)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<hyper::Request<hyper::body::Incoming>, Response = hyper::Response<B>> + Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send,
    B: hyper::body::Body<Data = hyper::body::Bytes, Error = Infallible> + Send + 'static,
{
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(io), service)
        .await;
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
