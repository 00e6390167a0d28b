//! Sockets that the service manager opened for this program (sd_listen_fds(3)). The agent never binds one itself: without
//! them it listens on nothing.
//!
//! What is handed over is told apart by its name (`FileDescriptorName=` of the socket's unit), and none of it goes on to
//! the programs that the agent runs.

use listenfd::ListenFd;
use std::io;
use std::net::TcpListener;

/// The name of the sensor listener's sockets.
const SENSOR: &str = "sensor";

/// What was handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Where sensors push.
    pub sensor: Vec<TcpListener>,
    /// In words, what else there was, or what is wrong with it: none of it is used.
    pub refused: Vec<String>,
}

/// Takes what was handed over. To be called before there is a second thread: it clears the variables that say so.
pub fn take() -> Inherited {
    let mut inherited = Inherited::default();
    // Names them, and keeps them from the programs that are run later.
    let names = match sd_notify::listen_fds_with_names() {
        Ok(names) => names.map(|(_, name)| name).collect::<Vec<_>>(),
        Err(error) => {
            inherited.refused.push(format!("the sockets that were handed over cannot be told apart: {error}"));
            return inherited;
        }
    };
    let mut handed_over = ListenFd::from_env();
    for (place, name) in names.iter().enumerate() {
        if name != SENSOR {
            inherited.refused.push(format!("a socket called {name:?} was handed over, and nothing here is for it"));
            continue;
        }
        match handed_over.take_tcp_listener(place).and_then(usable) {
            Ok(listener) => inherited.sensor.push(listener),
            Err(error) => {
                inherited.refused.push(format!("the socket {name:?} that was handed over is no use: {error}"))
            }
        }
    }
    inherited
}

fn usable(listener: Option<TcpListener>) -> io::Result<TcpListener> {
    let listener = listener.ok_or(io::ErrorKind::NotFound)?;
    if !rustix::net::sockopt::socket_acceptconn(&listener)? {
        return Err(io::Error::other("it does not listen"));
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}
