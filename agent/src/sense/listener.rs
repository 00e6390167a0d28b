//! Pushed drift: a sensor on the practice's network says that a check of a machine should be made now.
//!
//! A push is a hint and nothing else. It names a machine and a check, and what comes of it is that the agent looks there
//! itself, now instead of at its next turn; nothing that was pushed gets into an observation, a plan or a parameter. So a
//! sensor that lies, or whoever stole its key, can make the agent look, as often as the limits allow.
//!
//! The sockets are the service manager's ([`crate::adapters::inherited`]). Connections are few and short: one request,
//! a few kilobytes, some seconds. [`door`] judges a request, [`signature`] says whose it is, [`limits`] how often
//! somebody may ask, [`hint`] what was asked for.

pub mod door;
pub mod hint;
mod limits;
mod signature;

use door::Door;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at the same time.
const MOST_CONNECTIONS: usize = 32;
/// Connections of one peer at the same time.
const MOST_OF_A_PEER: usize = 4;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection lives at most, whatever it does.
const LIFETIME: Duration = Duration::from_secs(12);
/// How many bytes of a request's head are read.
const MAX_HEAD: usize = 8 * 1024;
/// How long accepting rests after an error, which is never the peer's.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How long the loop sleeps at most.
const BREATH: Duration = Duration::from_secs(30);
/// How long it may be silent.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(90);

/// Serves one socket until `stop`; `alive` hears of the loop at least every [`LONGEST_SILENCE`].
pub async fn serve(listener: TcpListener, door: Arc<Door>, alive: impl Fn() + Send, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut trouble = false;
    loop {
        alive();
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = tokio::time::sleep(BREATH) => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                trouble = false;
                let peer = Peer::new(from.ip(), stream.local_addr().ok().map(|own| own.ip()));
                match door.places.enter(peer.counted) {
                    Ok(place) => {
                        let door = Arc::clone(&door);
                        connections.spawn(async move {
                            connection(stream, peer, &door).await;
                            drop(place);
                        });
                    }
                    Err(crowd) => door.crowded(peer, crowd),
                }
            }
            Err(error) => {
                if !trouble {
                    tracing::warn!(%error, "no connection of a sensor can be accepted; it is tried again");
                }
                trouble = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: Peer, door: &Door) {
    let service =
        service_fn(|request| async move { Ok::<_, std::convert::Infallible>(door.answer(peer, request).await) });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIFETIME, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => door.broken(peer, &error),
        Err(_) => door.slow(peer),
    }
}

/// Who connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// From where: what a person is told.
    address: IpAddr,
    /// Who counts as one.
    counted: IpAddr,
}

impl Peer {
    /// The peer at `address`, connected to the address `own` of this machine. A network of IPv6 somewhere else belongs to
    /// one site, whose machines may call themselves anything in it, and counts as one; the network in which this machine
    /// itself is has everybody in it: there, each address counts.
    fn new(address: IpAddr, own: Option<IpAddr>) -> Self {
        let address = address.to_canonical();
        let counted = match address {
            IpAddr::V6(six) if !six.is_unicast_link_local() && own.map(network) != Some(network(address)) => {
                network(address)
            }
            near => near,
        };
        Self { address, counted }
    }
}

/// The network of an address of IPv6; of another the address itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into(),
        four => four,
    }
}

/// The places for connections.
#[derive(Debug, Default)]
pub struct Places(Mutex<HashMap<IpAddr, usize>>);

/// Whose places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crowd {
    /// The peer's own.
    OfPeer,
    /// All there are.
    Everywhere,
}

/// One of them; it is free again when this is dropped.
struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Crowd> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.get(&peer).copied().unwrap_or_default();
        if of_peer >= MOST_OF_A_PEER {
            return Err(Crowd::OfPeer);
        }
        if taken.values().sum::<usize>() >= MOST_CONNECTIONS {
            return Err(Crowd::Everywhere);
        }
        taken.insert(peer, of_peer + 1);
        Ok(Place { places: Arc::clone(self), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_four_places_and_all_of_them_thirty_two() {
        let places = Arc::new(Places::default());
        let address = |text: &str| Peer::new(text.parse().unwrap(), None).counted;
        let four: Vec<_> = (0..4).map(|_| places.enter(address("192.0.2.1")).unwrap()).collect();
        assert_eq!(places.enter(address("::ffff:192.0.2.1")).err(), Some(Crowd::OfPeer));
        let others: Vec<_> = (2..9).flat_map(|n| vec![address(&format!("2001:db8:0:{n}::1")); 4]).collect();
        let others: Vec<_> = others.into_iter().map(|peer| places.enter(peer).unwrap()).collect();
        assert_eq!(places.enter(address("2001:db8:0:99::1")).err(), Some(Crowd::Everywhere), "thirty-two are in");
        drop(others);
        assert!(places.enter(address("2001:db8:0:99::1")).is_ok());
        drop(four);
        assert!(places.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_elsewhere_counts_as_one_and_in_our_own_everybody_for_himself() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let counted = |text: &str, own: &str| Peer::new(ip(text), Some(ip(own))).counted;
        for (one, other, own, are_one) in [
            ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:7::1", true),
            ("2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:7::1", false),
            ("2001:db8::1", "2001:db8::ffff:2", "2001:db8::7", false),
            ("fe80::1", "fe80::2", "2001:db8:0:7::1", false),
            ("192.0.2.1", "192.0.2.2", "192.0.2.7", false),
            ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.7", true),
        ] {
            assert_eq!(counted(one, own) == counted(other, own), are_one, "{one} and {other} at {own}");
        }
        let far = Peer::new(ip("2001:db8::5"), Some(ip("2001:db8:0:7::1")));
        assert_eq!(far.address, ip("2001:db8::5"), "a person is told the address itself");
    }
}
