//! The sensor listener as a part of the agent: what a push leads to, and how it stands with the listener.
//!
//! It serves only when both were given: a socket of the service manager's, and a file of keys. A socket alone is refused,
//! loudly: somebody opened a port and nobody could be told from anybody.

use super::Agent;
use super::hints::Hints;
use crate::adapters::inherited::Inherited;
use crate::adapters::{inventory, sensor_keys};
use crate::causes::chain;
use crate::model::CheckKind;
use crate::model::status::SensorStatus;
use crate::orders::routing::{self, RoutingError};
use crate::sense::listener::door::Door;
use crate::sense::listener::hint::{Look, Looks, Nowhere};
use crate::sense::listener::{self, LONGEST_SILENCE};
use crate::sense::own::Strangers;
use crate::sense::{host, windows};
use crate::store::not_stored;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A stranger's push is stored at most so often: there may be thousands.
const STORING: Duration = Duration::from_secs(10);

/// The listener's state.
#[derive(Default)]
pub struct Sensors {
    /// What was asked for.
    pub hints: Arc<Hints>,
    /// None while there is neither a socket nor a file of keys.
    opened: OnceLock<Opened>,
}

struct Opened {
    addresses: Vec<String>,
    trouble: Option<String>,
    door: Option<Arc<Door>>,
}

impl Sensors {
    /// How it stands; none where the listener is off.
    pub fn status(&self) -> Option<SensorStatus> {
        let opened = self.opened.get()?;
        let counts = opened.door.as_ref().map(|door| door.counts()).unwrap_or_default();
        Some(SensorStatus {
            listening: opened.addresses.clone(),
            trouble: opened.trouble.clone(),
            sensors: opened.door.as_ref().map_or(0, |door| door.sensors()),
            taken: counts.taken,
            refused: counts.refused,
        })
    }
}

impl Agent {
    /// Opens the listener, where there is one. What it needs is in what was handed over and in the configuration; what is
    /// wrong with either keeps the listener closed and nothing else.
    pub(super) fn open_sensors(self: &Arc<Self>, inherited: Inherited) -> Option<Listening> {
        for refused in &inherited.refused {
            tracing::warn!("{refused}");
        }
        let file = self.config.sensor_keys_file.as_deref();
        if inherited.sensor.is_empty() && file.is_none() {
            return None;
        }
        let mut opened = Opened { addresses: Vec::new(), trouble: None, door: None };
        let listening = self.listening(inherited.sensor, file, &mut opened);
        if let Some(trouble) = &opened.trouble {
            tracing::error!(reason = %trouble, "THE SENSOR LISTENER IS CLOSED");
        }
        // Opened once, by the only caller.
        let _ = self.sensors.opened.set(opened);
        listening
    }

    fn listening(
        self: &Arc<Self>,
        sockets: Vec<TcpListener>,
        file: Option<&std::path::Path>,
        opened: &mut Opened,
    ) -> Option<Listening> {
        let Some(file) = file else {
            let trouble = "a socket for sensors was handed over, and sensor_keys_file is not set: it is not served";
            opened.trouble = Some(trouble.to_owned());
            return None;
        };
        let keys = match sensor_keys::read(file) {
            Ok(keys) => keys,
            Err(error) => {
                opened.trouble = Some(chain(&error));
                return None;
            }
        };
        if sockets.is_empty() {
            let trouble = "sensor_keys_file is set, and no socket was handed over (msp-agent-sensor.socket): nothing is listened on";
            opened.trouble = Some(trouble.to_owned());
            return None;
        }
        let sockets: Result<Vec<_>, _> = sockets.into_iter().map(tokio::net::TcpListener::from_std).collect();
        let sockets = match sockets {
            Ok(sockets) => sockets,
            Err(error) => {
                opened.trouble = Some(format!("the socket that was handed over is no use: {error}"));
                return None;
            }
        };
        opened.addresses = sockets.iter().filter_map(|socket| Some(socket.local_addr().ok()?.to_string())).collect();
        if keys.is_empty() {
            tracing::warn!(file = %file.display(), "no sensor has a key: every push will be refused");
        }
        tracing::info!(addresses = opened.addresses.join(", "), sensors = keys.len(), "sensors may push");
        let app = Arc::new(Pushed { agent: Arc::clone(self), strangers: watch::Sender::new(None) });
        let strangers = app.strangers.subscribe();
        let door = Arc::new(Door::new(keys, app, Arc::clone(&self.clock)));
        opened.door = Some(Arc::clone(&door));
        Some(Listening { sockets, door, strangers })
    }
}

/// An open listener.
pub struct Listening {
    sockets: Vec<tokio::net::TcpListener>,
    door: Arc<Door>,
    strangers: watch::Receiver<Option<IpAddr>>,
}

impl Listening {
    /// Serves until `stop`.
    pub async fn serve(self, agent: Arc<Agent>, stop: CancellationToken) {
        let mut serving = tokio::task::JoinSet::new();
        for (n, socket) in self.sockets.into_iter().enumerate() {
            let watched = agent.vigil.watch(format!("sensor listener {}", n + 1), LONGEST_SILENCE);
            let alive = move || watched.silent_for(LONGEST_SILENCE);
            serving.spawn(listener::serve(socket, Arc::clone(&self.door), alive, stop.clone()));
        }
        serving.spawn(remember_strangers(agent, self.strangers, stop));
        // One that ends early ends the agent, which is started anew.
        serving.join_next().await;
    }
}

/// Keeps when and from where a stranger pushed last: the agent's own checks tell a person of it.
async fn remember_strangers(agent: Arc<Agent>, mut seen: watch::Receiver<Option<IpAddr>>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = seen.changed() => if changed.is_err() { return },
        }
        let Some(from) = *seen.borrow_and_update() else { continue };
        let strangers = Strangers { at: agent.clock.now(), from };
        if let Err(error) = agent.store.write(move |db| strangers.store(db)).await {
            not_stored(&error, "that a push was refused is not stored");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(STORING) => {}
        }
    }
}

/// What pushes lead to.
struct Pushed {
    agent: Arc<Agent>,
    /// Who pushed last without being known here.
    strangers: watch::Sender<Option<IpAddr>>,
}

impl Looks for Pushed {
    fn find(&self, name: &str, check_type: &str) -> Result<Look, Nowhere> {
        let policy = Arc::clone(&self.agent.policy.borrow());
        let check = CheckKind::named(policy.rules.aliases().check_type(check_type)).ok_or(Nowhere::NoCheck)?;
        let appliance = &self.agent.appliance;
        let is_own = [&appliance.host_id, &appliance.name].iter().any(|own| own.eq_ignore_ascii_case(name));
        let (servers, _) = inventory::read(&self.agent.inventory.borrow());
        let (host_id, is_made) = match (routing::find(&servers, name), is_own) {
            (Err(RoutingError::Nobody { .. }), true) => (appliance.host_id.clone(), host::KINDS.contains(&check)),
            (Ok(server), false) => {
                let is_made = windows::checks(&policy.catalogue, true).any(|one| one.kind() == check);
                (server.address.to_string(), is_made)
            }
            (Err(RoutingError::Nobody { .. }), false) => return Err(Nowhere::NoHost),
            (Err(RoutingError::Several { .. }), _) | (Ok(_), true) => return Err(Nowhere::SeveralHosts),
        };
        if is_made { Ok(Look { host_id, check }) } else { Err(Nowhere::NotOfThisHost) }
    }

    fn look(&self, look: &Look) {
        self.agent.sensors.hints.ask(&look.host_id, look.check);
    }

    fn stranger(&self, from: IpAddr) {
        self.strangers.send_replace(Some(from));
    }
}
