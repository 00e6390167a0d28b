//! `serve`: the server, until it is told to stop.

use super::{Dir, duration};
use crate::app::{self, Options, PeopleDoor};
use crate::listen::Limits;
use clap::Args;
use jiff::SignedDuration;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLE: &str = "\
Example:
  msp-central serve --dir /var/lib/msp-central \\
    --listen 0.0.0.0:8443 --people 127.0.0.1:8444

When the listeners are bound, one line of JSON is printed:
  {\"ready\":true,\"agents\":\"0.0.0.0:8443\",\"people\":\"127.0.0.1:8444\",
   \"people_url\":\"https://central.example.org:8444\"}

New appliances enrol by a token (`msp-central enroll-token`) at a listener of its own, \
which takes nothing else and may be open only while you enrol:
  msp-central serve --dir /var/lib/msp-central --listen 0.0.0.0:8443 \\
    --enroll 0.0.0.0:8445 --agents-url https://central.example.org:8443

Port 0 takes a free port, which that line tells. \
SIGTERM and SIGINT stop the server within a second; calls under way may end. \
People log in at people_url: `msp-central person add` and `msp-central login-link` let the first one in.";

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(flatten)]
    dir: Dir,
    /// Where agents connect: HTTPS with client certificates
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where people look and act, over HTTPS with the server's certificate
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8444")]
    people: SocketAddr,
    /// Another certificate (PEM, its chain with it) for people's browsers
    #[arg(long, value_name = "FILE", requires = "people_key", conflicts_with = "people_http")]
    people_cert: Option<PathBuf>,
    /// The key of --people-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "people_cert")]
    people_key: Option<PathBuf>,
    /// Serve people without TLS; loopback only
    #[arg(long)]
    people_http: bool,
    /// Where people find the pages, for links [default: the first name of the certificate, and the port]
    #[arg(long, value_name = "URL", value_parser = url)]
    people_url: Option<String>,
    /// Where new appliances enrol by a token: HTTPS without client certificates; nowhere unless given
    #[arg(long, value_name = "ADDRESS:PORT")]
    enroll: Option<SocketAddr>,
    /// Where appliances are told to connect [default: the first --name of `init`, and the port of --listen]
    #[arg(long, value_name = "URL", value_parser = https)]
    agents_url: Option<String>,
    /// How long an appliance's certificate lives, when it enrols or renews: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = duration::parse)]
    certificate_lifetime: SignedDuration,
    /// Where monitoring reads GET /metrics, over HTTP: loopback only; nowhere unless given
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Stop when standard input ends: for a parent that must not leave servers behind
    #[arg(long)]
    exit_with_stdin: bool,
    /// Connections at the same time on each listener; further ones wait
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    max_connections: u16,
    /// Seconds that one call may take, with the arrival of its body
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    request_timeout: u16,
    /// Seconds for a TLS handshake, for the head of a request, and between two requests
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    idle_timeout: u16,
}

pub(super) async fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let people_door = match (&arguments.people_cert, &arguments.people_key) {
        (Some(certificate), Some(key)) => PeopleDoor::Files { certificate: certificate.clone(), key: key.clone() },
        _ if arguments.people_http => PeopleDoor::Http,
        _ => PeopleDoor::OwnCertificate,
    };
    let options = Options {
        agents: arguments.listen,
        people: arguments.people,
        people_door,
        people_url: arguments.people_url.clone(),
        enroll: arguments.enroll,
        agents_url: arguments.agents_url.clone(),
        certificate_life: arguments.certificate_lifetime,
        metrics: arguments.metrics,
        exit_with_stdin: arguments.exit_with_stdin,
        limits: Limits {
            connections: usize::from(arguments.max_connections),
            head: Duration::from_secs(u64::from(arguments.idle_timeout)),
        },
        request_timeout: Duration::from_secs(u64::from(arguments.request_timeout)),
    };
    app::serve(&arguments.dir.directory(), &options, out).await
}

fn https(text: &str) -> Result<String, String> {
    if text.starts_with("https://") { Ok(text.to_owned()) } else { Err("it must begin with https://".to_owned()) }
}

/// An address that links can begin with.
fn url(text: &str) -> Result<String, String> {
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|begin| text.starts_with(begin));
    if text.starts_with("https://") || local {
        Ok(text.to_owned())
    } else {
        Err("it must begin with https:// (or http:// and a loopback name)".to_owned())
    }
}
