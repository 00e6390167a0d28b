//! A sensor that pushes drift, rightly or wrongly, and an agent that was handed a socket for it.

use crate::central;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use msp_lab::process::program;
use serde_json::Value;
use sha2::Sha256;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

/// Who holds a key.
#[derive(Debug, Clone)]
pub struct Sensor {
    key: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its code.
    pub status: u16,
    /// Status line and headers, in small letters.
    pub head: String,
    /// Null when it is no JSON.
    pub body: Value,
}

impl Sensor {
    /// The sensor with this key: `whsec_...`.
    ///
    /// # Errors
    /// When it is no key.
    pub fn with_key(text: &str) -> anyhow::Result<Self> {
        let text = text.trim().strip_prefix("whsec_").context("a key begins with whsec_")?;
        Ok(Self { key: STANDARD.decode(text)? })
    }

    /// Adds a sensor to the file of keys, by the agent's own command, and holds its key.
    ///
    /// # Errors
    /// When the command refuses.
    pub fn add(name: &str, keys: &Path) -> anyhow::Result<Self> {
        let done = crate::agent::run(&["sensor", "add", name, "--keys", &keys.display().to_string()])?;
        let said = String::from_utf8(done.stdout)?;
        anyhow::ensure!(done.status.success(), "sensor add: {}", String::from_utf8_lossy(&done.stderr));
        Self::with_key(said.lines().next().context("no key was printed")?)
    }

    /// `v1,` and the signature.
    ///
    /// # Errors
    /// Never for a key.
    pub fn signature(&self, id: &str, at: i64, body: &str) -> anyhow::Result<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)?;
        mac.update(format!("{id}.{at}.{body}").as_bytes());
        Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }

    /// A whole push; `off` seconds from now.
    ///
    /// # Errors
    /// Never for a key.
    pub fn push(&self, id: &str, off: i64, body: &str) -> anyhow::Result<String> {
        let at = central::now().as_second() + off;
        let signature = self.signature(id, at, body)?;
        Ok(request(
            "POST /v1/drift",
            &[("webhook-id", id), ("webhook-timestamp", &at.to_string()), ("webhook-signature", &signature)],
            body,
        ))
    }
}

/// A request with these headers and its body's length.
#[must_use]
pub fn request(what: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    format!("{what} HTTP/1.1\r\nhost: sensor\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// A connection from one of this machine's own addresses.
///
/// # Errors
/// When nothing listens there.
pub async fn connect(from: u8, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 7, from), 0).into())?;
    Ok(tokio::time::timeout(Duration::from_secs(10), socket.connect(to)).await??)
}

/// Sends a request from that address and reads the answer; none when the connection ends without one.
///
/// # Errors
/// When nothing listens there, or nothing comes for long.
pub async fn send(from: u8, to: SocketAddr, request: &str) -> anyhow::Result<Option<Answer>> {
    let mut stream = connect(from, to).await?;
    // Who is refused before it has sent everything may not get rid of the rest.
    let _ = stream.write_all(request.as_bytes()).await;
    answer(stream).await
}

/// Reads what comes.
///
/// # Errors
/// When nothing comes for long, or what comes is no answer.
pub async fn answer(mut stream: TcpStream) -> anyhow::Result<Option<Answer>> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    let ended = read.context("no answer and no end")?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{ended:?}"))?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| text.clone())?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(|| head.to_owned())?;
    Ok(Some(Answer { status, head: head.to_ascii_lowercase(), body: serde_json::from_str(body).unwrap_or_default() }))
}

/// An agent that a socket was handed to.
#[derive(Debug)]
pub struct Listener {
    child: Child,
    log: PathBuf,
    /// Where its socket listens.
    pub address: SocketAddr,
}

impl Listener {
    /// Starts an agent as systemd does; `descriptors` are lines of shell that lay the socket, which is standard input, where
    /// it is looked for, and say so.
    ///
    /// # Errors
    /// When it is not built.
    pub fn start(config: &str, log: &Path, descriptors: &str) -> anyhow::Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let line = format!("{descriptors}\nexec 0</dev/null\nexport LISTEN_PID=$$\nexec \"$@\"");
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MSP_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["-c", &line, "sh"])
            .arg(program("msp-agent")?)
            .args(["run", "--config", config])
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            .spawn()
            .context("starting sh")?;
        Ok(Self { child, log: log.to_owned(), address })
    }

    /// One that a socket called "sensor" was handed to.
    ///
    /// # Errors
    /// When it is not built, or does not come up.
    pub async fn open(config: &str, log: &Path) -> anyhow::Result<Self> {
        let mut listener = Self::start(config, log, "exec 3<&0\nexport LISTEN_FDS=1 LISTEN_FDNAMES=sensor")?;
        listener.says("sensors may push", 1).await?;
        Ok(listener)
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log says something so often.
    ///
    /// # Errors
    /// When patience ends, or it has died.
    pub async fn says(&mut self, what: &str, times: usize) -> anyhow::Result<()> {
        for _ in 0..crate::agent::PATIENCE.as_millis() / 50 {
            if self.log().matches(what).count() >= times {
                return Ok(());
            }
            if let Some(ended) = self.child.try_wait()? {
                anyhow::bail!("waiting for {what:?}: the agent has ended: {ended}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("it did not say {what:?} {times} times:\n{}", self.log())
    }
}
