//! The life of an appliance's certificate through the real programs: enrolled by a token, renewed while the agent runs,
//! revoked; and everybody who stands in the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_lab::Progress;
use msp_lab::clinic::{Clinic, SITE};
use msp_lab::process::{Process, succeed};
use msp_suite::agent::{PATIENCE, run, wait};
use msp_suite::stand_in::{StandIn, answer};
use serde::Deserialize;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Central Command alone, and a folder for an appliance.
struct Fleet {
    folder: TempDir,
    central: Option<Process>,
    at: Option<Doors>,
}

#[derive(Debug, Clone, Deserialize)]
struct Doors {
    agents: String,
    enroll: String,
}

impl Fleet {
    async fn found() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let fleet = Self { folder, central: None, at: None };
        succeed("msp-central", &["init", "--dir", &fleet.path("central"), "--name", "127.0.0.1"]).await.unwrap();
        fleet
    }

    async fn open(lifetime: &str) -> Self {
        let mut fleet = Self::found().await;
        let dir = fleet.path("central");
        let doors = ["--listen", "127.0.0.1:0", "--people", "127.0.0.1:0", "--enroll", "127.0.0.1:0"];
        let args =
            [&["serve", "--dir", &dir, "--exit-with-stdin", "--certificate-lifetime", lifetime], &doors[..]].concat();
        let mut central = Process::start(&fleet.folder.path().join("logs"), "central", "msp-central", &args).unwrap();
        fleet.at = Some(central.ready().await.unwrap());
        fleet.central = Some(central);
        fleet
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Makes a token in a file, and answers the file.
    async fn token(&self, further: &[&str]) -> String {
        let dir = self.path("central");
        let made = succeed("msp-central", &[&["enroll-token", "--dir", &dir, SITE], further].concat()).await.unwrap();
        let file = self.path("token");
        std::fs::write(&file, made).unwrap();
        file
    }

    fn server(&self) -> String {
        format!("https://{}", self.at.as_ref().unwrap().enroll)
    }

    /// `msp-agent enroll` with `--json`; the exit code and what it printed.
    fn enroll(&self, server: &str, token: &str, further: &[&str]) -> (Option<i32>, Value) {
        let out = self.path("agent");
        let args = ["enroll", "--server", server, "--token-file", token, "--out-dir", &out, "--json"];
        let done = run(&[&args[..], further].concat()).unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), serde_json::from_slice(&done.stdout).unwrap_or(Value::String(said)))
    }

    /// The configuration that enrolment wrote, with what the test needs beside it.
    fn complete_config(&self) -> String {
        let file = self.path("agent/config.yaml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (key, value) in [("state_dir", "state"), ("rules_dir", "rules"), ("poll_interval", "1")] {
            text.push_str(&format!("{key}: {value}\n"));
        }
        std::fs::write(&file, text).unwrap();
        file
    }

    fn start_agent(&self, config: &str) -> Process {
        let args = ["run", "--config", config, "--exit-with-stdin"];
        Process::start(&self.folder.path().join("logs"), "agent", "msp-agent", &args).unwrap()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("logs/{name}.log"))).unwrap_or_default()
    }

    async fn certificates(&self) -> Vec<Value> {
        let dir = self.path("central");
        let printed = succeed("msp-central", &["appliance", "list", "--dir", &dir, "--json"]).await.unwrap();
        serde_json::from_slice(&printed).unwrap()
    }

    async fn until(&self, what: &str, wanted: impl AsyncFn(&Self) -> bool) {
        for _ in 0..PATIENCE.as_millis() / 200 {
            if wanted(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("waited {PATIENCE:?} until {what}:\n{}\n{}", self.log("agent"), self.log("central"));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|one| one.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolled_agent_renews_its_certificate_while_it_runs_and_goes_on_when_the_old_one_is_worth_nothing() {
    let fleet = Fleet::open("15s").await;
    let token = fleet.token(&["--appliance", "apl-1"]).await;
    let (code, said) = fleet.enroll(&fleet.server(), &token, &[]);
    assert_eq!(
        (code, &said["appliance"], &said["config"], &said["reached"]),
        (Some(0), &"apl-1".into(), &"written".into(), &true.into()),
        "{said}"
    );
    let folder = PathBuf::from(fleet.path("agent"));
    for (name, mode) in [
        ("identity.pem", 0o600),
        ("signing.pem", 0o600),
        ("encryption.key", 0o600),
        ("ca.pem", 0o640),
        ("config.yaml", 0o640),
    ] {
        assert_eq!(std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(names(&folder).len(), 5, "nothing else stays behind: {:?}", names(&folder));

    let before = std::fs::read_to_string(folder.join("identity.pem")).unwrap();
    let mut agent = fleet.start_agent(&fleet.complete_config());
    fleet
        .until("the certificate was renewed twice", async |fleet| {
            let rows = fleet.certificates().await;
            rows.len() >= 3 && rows[1..].iter().all(|row| !row["revoked_at"].is_null())
        })
        .await;
    assert!(agent.runs());
    assert_eq!(fleet.log("agent").matches("msp-agent works").count(), 1, "it was not started anew");
    assert_ne!(std::fs::read_to_string(folder.join("identity.pem")).unwrap(), before);
    // The one it was enrolled with is over by now; reports still arrive and nothing was refused for good.
    let state = fleet.path("agent/config.yaml");
    let (_, queue) = msp_suite::agent::json(&["queue", "list", "--config", &state, "--json"]).unwrap();
    assert_eq!(queue["rejected"].as_u64().unwrap_or(0), 0, "{queue}");
    let seen = fleet.last_contact().await;
    fleet.until("it checks in again", async |fleet| fleet.last_contact().await > seen).await;

    // Killed at any moment, it starts again with a certificate and a key that belong together.
    agent.kill().await;
    let mut agent = fleet.start_agent(&state);
    let seen = fleet.last_contact().await;
    fleet.until("it checks in after a kill", async |fleet| fleet.last_contact().await > seen).await;

    let dir = fleet.path("central");
    succeed("msp-central", &["appliance", "revoke", "--dir", &dir, SITE, "apl-1", "--reason", "ticket 4711"])
        .await
        .unwrap();
    fleet
        .until("the agent says that it was revoked, and why", async |fleet| {
            fleet.log("agent").lines().any(|line| {
                line.contains("check-in failed") && line.contains("was revoked") && line.contains("ticket 4711")
            })
        })
        .await;
    let (_, queue) = msp_suite::agent::json(&["queue", "list", "--config", &state, "--json"]).unwrap();
    assert_eq!(queue["rejected"].as_u64().unwrap_or(0), 0, "what it owes is kept: {queue}");
    agent.stop().await;

    // By a token for its name it comes back, and with the same keys.
    let token = fleet.token(&["--appliance", "apl-1"]).await;
    let (code, said) = fleet.enroll(&fleet.server(), &token, &[]);
    assert_eq!((code, &said["config"], &said["reached"]), (Some(0), &"unchanged".into(), &true.into()), "{said}");
    let mut agent = fleet.start_agent(&state);
    let seen = fleet.last_contact().await;
    fleet.until("it checks in as before", async |fleet| fleet.last_contact().await > seen).await;
    agent.stop().await;
}

impl Fleet {
    async fn last_contact(&self) -> String {
        let dir = self.path("central");
        let printed = succeed("msp-central", &["list", "sites", "--dir", &dir, "--json"]).await.unwrap();
        let document: Value = serde_json::from_slice(&printed).unwrap();
        let found = document.to_string();
        let at = found.find("\"last_contact\":\"").map(|at| at + 16);
        at.map(|at| found[at..].split('"').next().unwrap_or_default().to_owned()).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_in_between_at_enrolment_does_not_get_to_see_the_token() {
    let (fleet, stranger) = (Fleet::open("90d").await, Fleet::found().await);
    let token = fleet.token(&[]).await;
    let secret = std::fs::read_to_string(&token).unwrap().trim().to_owned();
    // With an authority of its own.
    let (own, genuine) = (stranger.path("central/ca.pem"), fleet.path("central/ca.pem"));
    for (authority, code) in [(own, Some(1)), (genuine, Some(2))] {
        // The second time it shows the genuine authority, whose certificate it does not have.
        let pem = std::fs::read(&authority).unwrap();
        let between = StandIn::start(&stranger.path("central"), "127.0.0.1:0", move |_, _| answer("200 OK", "", &pem))
            .await
            .unwrap();
        let server = format!("https://{}", between.address());
        let (found, said) = fleet.enroll(&server, &token, &["--appliance", "apl-1"]);
        assert_eq!(found, code, "{said}");
        match code {
            Some(1) => {
                assert_eq!((&said["enrolled"], &said["error"]), (&false.into(), &"wrong_fingerprint".into()));
                assert!(said["message"].as_str().unwrap().contains("in between"), "{said}");
            }
            _ => assert!(said.to_string().contains("certificate"), "{said}"),
        }
        let asked = between.asked();
        assert!(asked.iter().all(|asked| asked.line == "GET /api/enroll/ca" && asked.body.is_empty()), "{asked:?}");
        between.stop().await;
    }
    assert_eq!(names(Path::new(&fleet.path("agent"))), [".enroll-key.pem", "encryption.key", "signing.pem"]);
    assert!(!fleet.log("central").contains(&secret));
    // Nothing was used up, and the same command at the right door goes on.
    let (code, said) = fleet.enroll(&fleet.server(), &token, &["--appliance", "apl-1"]);
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_enrolment_goes_on_and_a_repeated_one_leaves_what_is_there() {
    let fleet = Fleet::open("90d").await;
    let token = fleet.token(&[]).await;
    let damaged = fleet.path("damaged");
    let text = std::fs::read_to_string(&token).unwrap();
    std::fs::write(&damaged, &text.trim()[..50]).unwrap();
    let (code, said) = fleet.enroll(&fleet.server(), &damaged, &["--appliance", "apl-1"]);
    assert_eq!((code, &said["error"]), (Some(1), &"token_damaged".into()), "{said}");
    let (code, said) = fleet.enroll(&fleet.server(), &token, &[]);
    assert_eq!((code, &said["error"]), (Some(1), &"name_needed".into()), "{said}");
    let (code, said) = fleet.enroll("https://127.0.0.1:9", &token, &["--appliance", "apl-1"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.to_string().contains("could not be reached"), "{said}");
    assert!(!Path::new(&fleet.path("agent/config.yaml")).exists(), "nothing looks finished");

    let (code, said) = fleet.enroll(&fleet.server(), &token, &["--appliance", "apl-1"]);
    assert_eq!(code, Some(0), "{said}");
    // As after a power cut between the server's answer and the disk: the key is there, the certificate is not.
    let folder = PathBuf::from(fleet.path("agent"));
    let identity = std::fs::read_to_string(folder.join("identity.pem")).unwrap();
    let key = &identity[identity.find("-----BEGIN PRIVATE KEY").unwrap()..];
    std::fs::write(folder.join(".enroll-key.pem"), key).unwrap();
    std::fs::set_permissions(folder.join(".enroll-key.pem"), PermissionsExt::from_mode(0o600)).unwrap();
    for lost in ["identity.pem", "config.yaml", "ca.pem"] {
        std::fs::remove_file(folder.join(lost)).unwrap();
    }
    let (code, said) = fleet.enroll(&fleet.server(), &token, &["--appliance", "apl-1"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("identity.pem")).unwrap(), identity, "the same certificate");

    // Once everything is in place, the used token is refused and changes nothing.
    let (code, said) = fleet.enroll(&fleet.server(), &token, &["--appliance", "apl-1"]);
    assert_eq!((code, &said["error"]), (Some(1), &"token_used".into()), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("identity.pem")).unwrap(), identity);
    let config = folder.join("config.yaml").display().to_string();
    let checked = run(&["check-config", "--files", &config]).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // A configuration that says something else is a person's: the lines are printed.
    let dir = fleet.path("central");
    succeed("msp-central", &["appliance", "revoke", "--dir", &dir, SITE, "apl-1", "--reason", "a test"]).await.unwrap();
    let other = std::fs::read_to_string(&config).unwrap().replace("apl-1", "apl-old");
    std::fs::write(&config, &other).unwrap();
    let token = fleet.token(&["--appliance", "apl-1"]).await;
    let (code, said) = fleet.enroll(&fleet.server(), &token, &[]);
    assert_eq!((code, &said["config"]), (Some(0), &"differs".into()), "{said}");
    assert!(said["settings"].as_str().unwrap().contains("host_id: \"apl-1\""), "{said}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_or_is_over_is_said_by_check_config_and_by_the_running_agent() {
    let fleet = Fleet::open("90d").await;
    let (dir, out) = (fleet.path("central"), fleet.path("agent"));
    let issue = ["issue", "--dir", &dir, "--site", SITE, "--appliance", "apl-1", "--lifetime", "6s", "--out", &out];
    succeed("msp-central", &issue).await.unwrap();
    succeed("msp-agent", &["keygen", "--out", &fleet.path("agent/signing.pem")]).await.unwrap();
    let public = std::fs::read_to_string(fleet.path("agent/central.pub")).unwrap();
    let config = fleet.path("agent/config.yaml");
    let text = format!(
        "site_id: {SITE}\nhost_id: apl-1\nmcp_url: https://{}\nmcp_public_key: \"{}\"\nclient_cert: client.pem\n\
         client_key: client-key.pem\nca_cert: ca.pem\nsigning_key_file: signing.pem\nstate_dir: state\nrules_dir: rules\n\
         poll_interval: 1\n",
        fleet.at.as_ref().unwrap().agents,
        public.trim()
    );
    std::fs::write(&config, text).unwrap();
    let says = |what: &str| {
        let done = run(&["check-config", "--files", &config]).unwrap();
        done.status.success() && String::from_utf8_lossy(&done.stdout).contains(what)
    };
    assert!(!says("warning: the certificate"));
    fleet.until("it says that the end is near", async |_| says("should have been renewed")).await;
    fleet.until("it says that it is over", async |_| says("enrol it anew")).await;
    // Within its last second a handshake still takes it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut agent = fleet.start_agent(&config);
    fleet
        .until("the agent says so in words", async |fleet| {
            let log = fleet.log("agent");
            log.contains("enrol it anew")
                && log.contains("check-in failed")
                && log.contains("over this appliance's certificate")
        })
        .await;
    assert!(agent.runs(), "it goes on with its work on the machines");
    agent.stop().await;
}

/// Every file below `folder` that holds `words`, but for those of `except`.
fn holding(folder: &Path, words: &str, except: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, words, except));
        } else if !except.iter().any(|name| path.ends_with(name))
            && std::fs::read(&path).unwrap_or_default().windows(words.len()).any(|window| window == words.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_travelled_work_and_lie_in_plaintext_nowhere() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    let controller = clinic.controller.as_ref().unwrap();
    let (address, password) = (controller.winrm.ip().to_string(), controller.password.clone());
    // Only the encrypted ones are there for it.
    assert!(!clinic.path().join("agent/windows/DC01.yaml").exists());
    let config = clinic.config();
    let looked_at = |clinic: &Clinic| {
        let (_, targets) = msp_suite::agent::json(&["targets", "--json", "--config", &clinic.config()]).unwrap();
        targets["targets"].as_array().unwrap().iter().any(|one| one["hostname"] == "DC01" && one["credentials"] == true)
    };
    wait(&mut clinic, "both servers were looked at", |known| known.outbox.pending == 0 && !known.incidents.is_empty())
        .await
        .unwrap();
    assert!(looked_at(&clinic), "{}", clinic.last_words());
    let controller = clinic.controller.as_ref().unwrap();
    controller.inject(msp_lab::drift::Drift::ServiceStopped("DNS")).await.unwrap();
    wait(&mut clinic, "DNS is healed with them", |known| {
        msp_suite::agent::healed(known, &address, "services", Some("DNS"))
    })
    .await
    .unwrap();
    for line in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(line.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&command).contains(&password), "{:?}", line.path());
    }
    // The simulated server itself knows its password.
    assert_eq!(holding(clinic.path(), &password, &["DC01/password"]), Vec::<PathBuf>::new());

    // Changed on the way, they are refused in words; a file on the appliance wins over them.
    clinic.stop_agent().await;
    clinic.stop_central().await;
    let state = rusqlite::Connection::open(clinic.path().join("agent/state/agent.db")).unwrap();
    let inventory: String =
        state.query_row("SELECT value FROM facts WHERE name = 'inventory'", [], |row| row.get(0)).unwrap();
    assert!(inventory.contains("BEGIN AGE ENCRYPTED FILE"));
    let mut changed: Value = serde_json::from_str(&inventory).unwrap();
    let at = changed.as_array().unwrap().iter().position(|one| one["hostname"] == "DC01").unwrap();
    let text = changed[at]["credentials"].as_str().unwrap().to_owned();
    let store = |value: &Value| {
        state.execute("UPDATE facts SET value = ?1 WHERE name = 'inventory'", [value.to_string()]).unwrap();
    };
    let targets = || {
        let done = run(&["targets", "--config", &config]).unwrap();
        format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
    };
    let middle = text.len() / 2;
    let flipped = if text.as_bytes()[middle] == b'A' { "B" } else { "A" };
    changed[at]["credentials"] = format!("{}{flipped}{}", &text[..middle], &text[middle + 1..]).into();
    store(&changed);
    assert!(targets().contains("damaged or were changed"), "{}", targets());
    // Those of one server under the name of another.
    let mut moved: Value = serde_json::from_str(&inventory).unwrap();
    moved[1 - at]["credentials"] = text.clone().into();
    std::fs::rename(clinic.path().join("agent/windows/FS01.yaml"), clinic.path().join("fs01")).unwrap();
    store(&moved);
    assert!(targets().contains("server \"DC01\", this is \"FS01\""), "{}", targets());
    std::fs::rename(clinic.path().join("fs01"), clinic.path().join("agent/windows/FS01.yaml")).unwrap();
    assert!(!targets().contains("refused"), "a file wins: {}", targets());
    // Another key.
    std::fs::remove_file(clinic.path().join("agent/encryption.key")).unwrap();
    assert!(targets().contains("encryption_key_file"), "{}", targets());
    let file = clinic.path().join("agent/encryption.key").display().to_string();
    assert!(run(&["keygen", "--encryption", "--out", &file]).unwrap().status.success());
    assert!(targets().contains("encrypted to another key"), "{}", targets());
    assert!(!targets().contains(&password));
    clinic.close().await;
}
