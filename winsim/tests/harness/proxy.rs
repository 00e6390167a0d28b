//! Somebody on the network path of plain HTTP: hears everything, and may bend or repeat each request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What the server is sent instead of a request, which is given whole.
type Bend = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

pub struct Proxy {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    answered: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    pub async fn before(server: SocketAddr, bend: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, heard: Arc::default(), answered: Arc::default() };
        let (heard, answered) = (Arc::clone(&proxy.heard), Arc::clone(&proxy.answered));
        let bend: Arc<Bend> = Arc::new(bend);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(requests(from_client, to_server, Arc::clone(&heard), Arc::clone(&bend)));
                tokio::spawn(answers(from_server, to_client, Arc::clone(&answered)));
            }
        });
        proxy
    }

    /// Everything that clients have sent, before it was bent.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }

    /// Everything that the server has answered, once this is among it, or after two seconds.
    pub async fn answered_with(&self, text: &str) -> String {
        for _ in 0..100 {
            if self.answered().contains(text) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        self.answered()
    }

    /// Everything that the server has answered.
    pub fn answered(&self) -> String {
        String::from_utf8_lossy(&self.answered.lock().unwrap()).into_owned()
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: Arc<Mutex<Vec<u8>>>, bend: Arc<Bend>) {
    let mut bytes = Vec::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
        while let Some(length) = whole(&bytes) {
            let rest = bytes.split_off(length);
            heard.lock().unwrap().extend(&bytes);
            if to.write_all(&bend(&bytes)).await.is_err() {
                return;
            }
            bytes = rest;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answered: Arc<Mutex<Vec<u8>>>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        answered.lock().unwrap().extend(&bytes[..length]);
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

/// The length of the first request, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    Some(head + length.unwrap_or(0)).filter(|length| bytes.len() >= *length)
}
