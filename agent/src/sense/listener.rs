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
                let peer = peer(from.ip());
                match door.places.enter(peer) {
                    Some(place) => {
                        let door = Arc::clone(&door);
                        connections.spawn(async move {
                            connection(stream, peer, &door).await;
                            drop(place);
                        });
                    }
                    None => door.crowded(peer),
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

async fn connection(stream: TcpStream, peer: IpAddr, door: &Door) {
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

/// Who counts as one: a network of IPv6 belongs to one machine, which may call itself anything in it.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into(),
        four => four,
    }
}

/// The places for connections.
#[derive(Debug, Default)]
pub struct Places(Mutex<HashMap<IpAddr, usize>>);

/// One of them; it is free again when this is dropped.
struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.get(&peer).copied().unwrap_or_default();
        if of_peer >= MOST_OF_A_PEER || taken.values().sum::<usize>() >= MOST_CONNECTIONS {
            return None;
        }
        taken.insert(peer, of_peer + 1);
        Some(Place { places: Arc::clone(self), peer })
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
        let address = |text: &str| peer(text.parse().unwrap());
        let four: Vec<_> = (0..4).map(|_| places.enter(address("192.0.2.1")).unwrap()).collect();
        assert!(places.enter(address("::ffff:192.0.2.1")).is_none());
        let others: Vec<_> = (2..9).flat_map(|n| vec![address(&format!("2001:db8:0:{n}::1")); 4]).collect();
        let others: Vec<_> = others.into_iter().map(|peer| places.enter(peer).unwrap()).collect();
        assert!(places.enter(address("2001:db8:0:99::1")).is_none(), "thirty-two are in");
        drop(others);
        assert!(places.enter(address("2001:db8:0:99::1")).is_some());
        drop(four);
        assert!(places.0.lock().unwrap().is_empty());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:2"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
    }
}
