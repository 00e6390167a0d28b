//! One task a Windows server, started and ended as the inventory changes.
//!
//! Never two at once for one address: a task that is to end may be in the middle of a heal, and the next one for
//! the same machine waits until it has ended.

use super::Agent;
use crate::adapters::inventory::{self, Server};
use crate::store::not_stored;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How much longer than its interval the fleet's own loop may be silent.
const SLACK: Duration = Duration::from_secs(60);

/// A server's task.
struct Watched {
    server: Server,
    ends: CancellationToken,
    task: JoinHandle<()>,
}

impl Watched {
    fn start(agent: &Arc<Agent>, server: Server, stop: &CancellationToken, before: Option<JoinHandle<()>>) -> Self {
        let ends = stop.child_token();
        let (agent, watched, token) = (Arc::clone(agent), server.clone(), ends.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // However it ended, it has ended.
                drop(before.await);
            }
            agent.watch_server(watched, token).await;
        });
        Self { server, ends, task }
    }

    /// Still at work for exactly this server.
    fn serves(&self, server: &Server) -> bool {
        self.server == *server && !self.ends.is_cancelled() && !self.task.is_finished()
    }
}

/// Watches every server of the inventory until `stop`.
pub async fn watch_servers(agent: Arc<Agent>, stop: CancellationToken) {
    let mut inventory = agent.inventory.subscribe();
    let mut watched: HashMap<IpAddr, Watched> = HashMap::new();
    let mut told = Vec::new();
    let every = Duration::from_secs(agent.config.poll_interval);
    let vigil = agent.vigil.watch("fleet", SLACK);
    loop {
        vigil.silent_for(every + SLACK);
        let (servers, refused) = inventory::read(&inventory.borrow_and_update());
        if told != refused {
            refused.iter().for_each(|refused| tracing::warn!("{refused}"));
            told = refused;
        }
        for (address, one) in &watched {
            if one.task.is_finished() && !one.ends.is_cancelled() {
                tracing::error!(%address, "the task of a server ended early and is started again");
            }
            if !servers.iter().any(|server| one.serves(server)) {
                one.ends.cancel();
            }
        }
        watched
            .retain(|address, one| !one.task.is_finished() || servers.iter().any(|server| server.address == *address));
        looked_after(&agent, &servers).await;
        for server in servers {
            let before = watched.remove(&server.address);
            let one = match before {
                Some(one) if one.serves(&server) => one,
                before => Watched::start(&agent, server, &stop, before.map(|one| one.task)),
            };
            watched.insert(one.server.address, one);
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = inventory.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(agent.clock.real(every)) => {}
        }
    }
    for (_, one) in watched {
        drop(one.task.await);
    }
}

/// What goes on with machines that are not looked after any more is over.
async fn looked_after(agent: &Agent, servers: &[Server]) {
    let mut host_ids = vec![agent.appliance.host_id.clone()];
    host_ids.extend(servers.iter().map(|server| server.address.to_string()));
    if let Err(error) = agent.record(move |recorder| recorder.looked_after(&host_ids)).await {
        not_stored(&error, "machines that left the inventory could not be closed");
    }
}
