//! A real browser in the hands of a test: Chromium without a window, driven over the DevTools protocol.
//!
//! The protocol runs through a pipe (`--remote-debugging-pipe`: file descriptors 3 and 4, each message ended by a zero
//! byte), so it needs neither a port nor a WebSocket. Every error that a page reports is kept: a test that only looks
//! at what is shown would miss a broken script or a breach of the page's policy.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

/// How long the browser may take for one command.
const COMMAND: Duration = Duration::from_secs(60);
/// How long a page may take until it is as a test wants it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the reader of the pipe has understood.
#[derive(Debug, Default)]
struct Heard {
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    /// What each session's page reported as an error.
    errors: HashMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Pipe {
    stdin: tokio::sync::Mutex<(ChildStdin, u64)>,
    heard: Arc<Mutex<Heard>>,
}

fn held(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running browser; it ends with this value.
#[derive(Debug)]
pub struct Browser {
    pipe: Arc<Pipe>,
    child: Child,
}

/// A page of the browser.
#[derive(Debug)]
pub struct Page {
    pipe: Arc<Pipe>,
    session: String,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether the person prefers dark.
    pub dark: bool,
}

/// An error that an event reports, in words.
fn error_in(event: &Value) -> Option<String> {
    let params = event.get("params")?;
    match event.get("method")?.as_str()? {
        "Runtime.exceptionThrown" => {
            Some(params.pointer("/exceptionDetails").map(ToString::to_string).unwrap_or_default())
        }
        "Log.entryAdded" if params.pointer("/entry/level")? == "error" => Some(params["entry"].to_string()),
        "Runtime.consoleAPICalled" if params["type"] == "error" => Some(params["args"].to_string()),
        _ => None,
    }
}

async fn listen(stdout: ChildStdout, heard: Arc<Mutex<Heard>>) {
    let mut messages = BufReader::new(stdout).split(0);
    while let Ok(Some(bytes)) = messages.next_segment().await {
        let Ok(message) = serde_json::from_slice::<Value>(&bytes) else { continue };
        let mut heard = held(&heard);
        if let Some(waiting) = message["id"].as_u64().and_then(|id| heard.waiting.remove(&id)) {
            // Whoever asked may have stopped waiting.
            let _ = waiting.send(message);
        } else if let Some(error) = error_in(&message) {
            let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
            heard.errors.entry(session).or_default().push(error);
        }
    }
}

impl Pipe {
    async fn ask(&self, session: Option<&str>, method: &str, params: Value) -> anyhow::Result<Value> {
        let (answer, answered) = oneshot::channel();
        {
            let mut writer = self.stdin.lock().await;
            writer.1 += 1;
            let id = writer.1;
            held(&self.heard).waiting.insert(id, answer);
            let mut message = json!({ "id": id, "method": method, "params": params });
            if let Some(session) = session {
                message["sessionId"] = json!(session);
            }
            let mut bytes = message.to_string().into_bytes();
            bytes.push(0);
            writer.0.write_all(&bytes).await.with_context(|| format!("asking the browser for {method}"))?;
        }
        let answer = tokio::time::timeout(COMMAND, answered).await;
        let answer = answer.with_context(|| format!("the browser did not answer {method}"))??;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        Ok(answer["result"].clone())
    }
}

/// Where the browser is, if it is anywhere.
#[must_use]
pub fn installed() -> Option<&'static str> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/run/current-system/sw/bin/chromium"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
}

impl Browser {
    /// Starts the browser at `program` with an empty profile in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &str, folder: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(folder.join("browser.log")).context("the browser's log")?;
        let mut child = Command::new("/bin/sh")
            // The protocol wants descriptors 3 and 4; the shell lays them where a child process has 0 and 1.
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null", program])
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("about:blank")
            .env("HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting the browser")?;
        let (stdin, stdout) = (child.stdin.take().context("its pipe")?, child.stdout.take().context("its pipe")?);
        let heard = Arc::new(Mutex::new(Heard::default()));
        tokio::spawn(listen(stdout, Arc::clone(&heard)));
        Ok(Self { pipe: Arc::new(Pipe { stdin: tokio::sync::Mutex::new((stdin, 0)), heard }), child })
    }

    /// Opens a page in a window of its own.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn open(&self, url: &str) -> anyhow::Result<Page> {
        let ask = |method: &'static str, params: Value| self.pipe.ask(None, method, params);
        let target = ask("Target.createTarget", json!({ "url": "about:blank", "newWindow": true })).await?;
        let attached = ask("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true })).await?;
        let session = attached["sessionId"].as_str().context("the browser attached to nothing")?.to_owned();
        let page = Page { pipe: Arc::clone(&self.pipe), session };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            page.ask(domain, json!({})).await?;
        }
        page.goto(url).await?;
        Ok(page)
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn close(mut self) -> anyhow::Result<()> {
        // It may be gone before it answers.
        let _ = tokio::time::timeout(Duration::from_secs(3), self.pipe.ask(None, "Browser.close", json!({}))).await;
        if tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
            self.child.kill().await.context("ending the browser")?;
        }
        Ok(())
    }
}

impl Page {
    async fn ask(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.pipe.ask(Some(&self.session), method, params).await
    }

    /// Goes to another page and waits until it is loaded.
    ///
    /// # Errors
    /// When it does not load.
    pub async fn goto(&self, url: &str) -> anyhow::Result<()> {
        let went = self.ask("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = went.get("errorText") {
            bail!("{url}: {error}");
        }
        self.wait(&format!("{url} is loaded"), "document.readyState === 'complete' && location.href !== 'about:blank'")
            .await
    }

    /// What an expression says in the page; a promise is waited for.
    ///
    /// # Errors
    /// When it throws.
    pub async fn evaluate(&self, expression: &str) -> anyhow::Result<Value> {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let said = self.ask("Runtime.evaluate", params).await?;
        if let Some(thrown) = said.get("exceptionDetails") {
            bail!("{expression}: {thrown}");
        }
        Ok(said["result"]["value"].clone())
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    /// When patience ends; says what the page showed.
    pub async fn wait(&self, what: &str, expression: &str) -> anyhow::Result<()> {
        for _ in 0..PATIENCE.as_millis() / 100 {
            // While a page is left, its context goes away under the question.
            if let Ok(Value::Bool(true)) = self.evaluate(&format!("Boolean({expression})")).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("waiting until {what}: {} shows {}", self.address().await?, self.text().await?)
    }

    /// Clicks with the mouse on what a selector finds, and waits for whatever page comes of it.
    ///
    /// # Errors
    /// When there is nothing to click.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        let find = format!(
            "(() => {{ const one = document.querySelector({}); if (!one) return null; one.scrollIntoView({{ block: 'center' }}); \
             const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        );
        let place = self.evaluate(&find).await?;
        let (Some(x), Some(y)) = (place[0].as_f64(), place[1].as_f64()) else {
            bail!("{selector}: not on {}, which shows {}", self.address().await?, self.text().await?);
        };
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Types into what a selector finds.
    ///
    /// # Errors
    /// When there is nothing to type into.
    pub async fn fill(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        let focus = format!(
            "(() => {{ const one = document.querySelector({}); one?.focus(); return document.activeElement === one && one !== null; }})()",
            json!(selector)
        );
        if self.evaluate(&focus).await? != json!(true) {
            bail!("{selector}: not on {}, which shows {}", self.address().await?, self.text().await?);
        }
        self.ask("Input.insertText", json!({ "text": text })).await?;
        Ok(())
    }

    /// The address of the page.
    ///
    /// # Errors
    /// When the page does not answer.
    pub async fn address(&self) -> anyhow::Result<String> {
        Ok(self.evaluate("location.href").await?.as_str().unwrap_or_default().to_owned())
    }

    /// What the page shows.
    ///
    /// # Errors
    /// When the page does not answer.
    pub async fn text(&self) -> anyhow::Result<String> {
        Ok(self.evaluate("document.body.innerText").await?.as_str().unwrap_or_default().to_owned())
    }

    /// Every error that the page has reported, the breaches of its policy among them.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        held(&self.pipe.heard).errors.get(&self.session).cloned().unwrap_or_default()
    }

    /// Looks at the page as on another screen.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn look(&self, look: Look) -> anyhow::Result<()> {
        let size =
            json!({ "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": look.width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = if look.dark { "dark" } else { "light" };
        // A colour on its way to another would be measured in between.
        let still = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }, still] });
        self.ask("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// Writes a picture of the whole page as PNG, in base64.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn picture(&self) -> anyhow::Result<String> {
        let whole =
            self.ask("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true })).await?;
        Ok(whole["data"].as_str().context("the browser drew nothing")?.to_owned())
    }
}
