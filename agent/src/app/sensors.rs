//! The sensor listener as a part of the agent: what a push leads to, and how it stands with the listener.
//!
//! It serves only when both were given: a socket of the service manager's, and a file of keys. A socket without keys that
//! can be used is closed, loudly: somebody opened a port and nobody could be told from anybody. Who connects there is told so,
//! because the service manager keeps the socket open, and nobody else would answer.

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
use crate::sense::own::{self, Notice, Noticed};
use crate::sense::{host, windows};
use crate::store::not_stored;
use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The last of each thing that a person is told of, by the name under which it is kept.
type LastNoticed = BTreeMap<&'static str, Noticed>;

/// What happened is stored at most so often: there may be thousands of strangers' pushes.
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
    pub(super) async fn open_sensors(self: &Arc<Self>, inherited: Inherited) -> Option<Listening> {
        for refused in &inherited.refused {
            tracing::warn!("{refused}");
        }
        let file = self.config.sensor_keys_file.as_deref();
        let mut opened = Opened { addresses: Vec::new(), trouble: None, door: None };
        let is_off = inherited.sensor.is_empty() && file.is_none();
        let listening = if is_off { None } else { self.listening(inherited.sensor, file, &mut opened) };
        if let Some(trouble) = &opened.trouble {
            tracing::error!(reason = %trouble, "THE SENSOR LISTENER IS CLOSED: {trouble}");
        }
        let trouble = opened.trouble.clone();
        if let Err(error) = self.store.write(move |db| own::sensors_are_closed(db, trouble.as_deref())).await {
            not_stored(&error, "how it stands with the sensor listener is not stored");
        }
        if !is_off {
            // Opened once, by the only caller.
            let _ = self.sensors.opened.set(opened);
        }
        listening
    }

    fn listening(
        self: &Arc<Self>,
        sockets: Vec<TcpListener>,
        file: Option<&std::path::Path>,
        opened: &mut Opened,
    ) -> Option<Listening> {
        let keys = match file.map(sensor_keys::read) {
            Some(Ok(keys)) => Some(keys),
            Some(Err(error)) => {
                opened.trouble = Some(chain(&error));
                None
            }
            None => {
                let trouble = "a socket for sensors was handed over, and sensor_keys_file is not set: nobody may push";
                opened.trouble = Some(trouble.to_owned());
                None
            }
        };
        if sockets.is_empty() {
            let trouble = "sensor_keys_file is set, and no socket was handed over (msp-agent-sensor.socket): nothing is listened on";
            opened.trouble.get_or_insert_with(|| trouble.to_owned());
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
        if let Some(keys) = &keys {
            if keys.is_empty() {
                let file = file.map(|file| file.display().to_string());
                tracing::warn!(file, "no sensor has a key: every push will be refused");
            }
            tracing::info!(addresses = opened.addresses.join(", "), sensors = keys.len(), "sensors may push");
        }
        let app = Arc::new(Pushed { agent: Arc::clone(self), noticed: watch::Sender::default() });
        let noticed = app.noticed.subscribe();
        let door = Arc::new(Door::new(keys, app, Arc::clone(&self.clock)));
        opened.door = Some(Arc::clone(&door));
        Some(Listening { sockets, door, noticed })
    }
}

/// An open listener.
pub struct Listening {
    sockets: Vec<tokio::net::TcpListener>,
    door: Arc<Door>,
    noticed: watch::Receiver<LastNoticed>,
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
        serving.spawn(remember(agent, self.noticed, stop));
        // One that ends early ends the agent, which is started anew.
        serving.join_next().await;
    }
}

/// Keeps what happened last, and from where: the agent's own checks tell a person of it.
async fn remember(agent: Arc<Agent>, mut noticed: watch::Receiver<LastNoticed>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = noticed.changed() => if changed.is_err() { return },
        }
        let last = noticed.borrow_and_update().clone();
        let stored = agent.store.write(move |db| last.values().try_for_each(|noticed| noticed.store(db))).await;
        if let Err(error) = stored {
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
    noticed: watch::Sender<LastNoticed>,
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

    fn look(&self, look: &Look, from: Duration) {
        self.agent.sensors.hints.ask(&look.host_id, look.check, from);
    }

    fn notice(&self, from: IpAddr, notice: Notice) {
        let noticed = Noticed { at: self.agent.clock.now(), from, notice };
        self.noticed.send_modify(|last| {
            last.insert(noticed.notice.fact(), noticed);
        });
    }
}
