//! What stands between the agent and Central Command: lets everything through, or keeps each answer back for a while.

use anyhow::Context;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running relay; it ends, and every connection with it, when it is stopped or dropped.
#[derive(Debug)]
pub struct Relay {
    accepting: JoinHandle<()>,
    address: String,
}

impl Relay {
    /// Listens on `address` and passes everything on to `to`; whatever comes back waits for `late`.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(address: &str, to: &str, late: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let address = listener.local_addr().context("the address")?.to_string();
        let to = to.to_owned();
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and its connections with it.
            let mut connections = JoinSet::new();
            while let Ok((agent, _)) = listener.accept().await {
                let to = to.clone();
                connections.spawn(async move {
                    // An end that goes away is none of the relay's business.
                    let _ = pass(agent, &to, late).await;
                });
            }
        });
        Ok(Self { accepting, address })
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops, and frees the address.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // Aborted is ended.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut agent: TcpStream, to: &str, late: Duration) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    let (mut from_agent, mut to_agent) = agent.split();
    let (mut from_server, mut to_server) = server.split();
    let there = async { tokio::io::copy(&mut from_agent, &mut to_server).await.map(drop) };
    let back = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let count = from_server.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            tokio::time::sleep(late).await;
            to_agent.write_all(&bytes[..count]).await?;
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}
