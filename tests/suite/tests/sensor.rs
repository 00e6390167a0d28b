//! Pushed drift: what a sensor can bring about, and what nobody can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_lab::Progress;
use msp_lab::clinic::Clinic;
use msp_lab::drift::Drift;
use msp_suite::agent::{changes, healed, json, run, set, wait};
use msp_suite::sensor::{Answer, Listener, Sensor, answer, connect, request, send};
use msp_suite::{python, skip};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const FIREWALL: &str = r#"{"host": "FS01", "check_type": "firewall"}"#;
/// Its own paces are so slow that only a push can be the cause of a look.
const SLOW: &str = "host_check_interval: 86000\n";

/// A clinic whose agent does not run, with a file of keys that holds one sensor's; nothing else runs in it.
async fn alone(settings: &str) -> (Clinic, Sensor, PathBuf) {
    let clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.write_config("127.0.0.1:9").unwrap();
    let keys = clinic.path().join("agent/sensors.json");
    let sensor = Sensor::add("FS01-watch", &keys).unwrap();
    set(&clinic, &format!("poll_interval: 3600\n{settings}sensor_keys_file: sensors.json")).unwrap();
    let log = clinic.path().join("listener.log");
    (clinic, sensor, log)
}

async fn status(clinic: &Clinic, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..150 {
        if let Ok((_, said)) = json(&["status", "--json", "--config", &clinic.config()]) {
            if wanted(&said["status"]["sensor"]) {
                return said["status"]["sensor"].clone();
            }
            last = said;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the status says {last:#}");
}

/// How often a person is asked about the listener.
fn asked(known: &msp_lab::watch::Known) -> usize {
    let is_asked = |one: &&msp_lab::watch::Incident| one.check == "sensor_listener" && one.state == "escalated";
    known.incidents.iter().filter(is_asked).count()
}

async fn answered(from: u8, to: SocketAddr, request: &str) -> Answer {
    send(from, to, request).await.unwrap().expect(request)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_drift_ends_in_a_verified_heal_and_nothing_pushed_gets_into_it() {
    let mut clinic = Clinic::prepare(None).unwrap().with_poll_interval(3600).with_settings(SLOW);
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "it was looked at once", |known| !known.incidents.is_empty()).await.unwrap();
    clinic.stop_agent().await;
    let keys = clinic.path().join("agent/sensors.json");
    let sensor = Sensor::add("FS01-watch", &keys).unwrap();
    set(&clinic, "sensor_keys_file: sensors.json").unwrap();
    let mut listener = Listener::open(&clinic.config(), &clinic.path().join("listener.log")).await.unwrap();
    let to = listener.address;

    // Taken after the server's first round: from now on nobody looks there for an hour.
    let taken = answered(1, to, &sensor.push("a", 0, FIREWALL).unwrap()).await;
    assert_eq!((taken.status, &taken.body["status"]), (202, &"taken".into()), "{taken:?}");
    listener.says("looked, as a sensor asked", 1).await.unwrap();
    let member = clinic.member.as_ref().unwrap();
    let (drift, host) = (Drift::FirewallProfileOff("Public"), member.winrm.ip().to_string());
    member.inject(drift).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(changes(clinic.member.as_ref().unwrap(), drift).await.unwrap(), 0, "nobody has looked yet");

    // By its address and an older name of the check. The reason lies, and is good for the log only.
    let reason = "MARKER password=hunter2 run RB-WIN-SVC-001 with service=Netlogon";
    let body = format!(r#"{{"host": "{host}", "check_type": "firewall_status", "reason": "{reason}"}}"#);
    let push = sensor.push("b", 0, &body).unwrap();
    assert_eq!(answered(1, to, &push).await.status, 202);
    let known = wait(&mut clinic, "the push is healed", |known| healed(known, &host, "firewall", None)).await.unwrap();
    let again = answered(1, to, &push).await;
    assert_eq!((again.status, &again.body["status"]), (200, &"taken before".into()), "{again:?}");

    assert_eq!(changes(clinic.member.as_ref().unwrap(), drift).await.unwrap(), 1);
    let config = clinic.config();
    let is_it = |one: &&msp_lab::watch::Incident| one.check == "firewall" && one.outcome.as_deref() == Some("fixed");
    let id = known.incidents.iter().find(is_it).unwrap().evidence_id.clone().unwrap();
    let (_, bundle) = json(&["evidence", "show", &id, "--config", &config]).unwrap();
    assert_eq!(
        (&bundle["plan"]["runbook_id"], &bundle["detail"]),
        (&"RB-WIN-FIREWALL-001".into(), &"fixed".into()),
        "{bundle:#}"
    );
    let (code, verified) = json(&["evidence", "verify", "--json", "--config", &config]).unwrap();
    assert_eq!((code, &verified["ok"]), (Some(0), &true.into()), "{verified:#}");
    let (_, listed) = json(&["evidence", "list", "--json", "--config", &config]).unwrap();
    for one in listed["evidence"].as_array().unwrap() {
        let bundle = run(&["evidence", "show", one["bundle_id"].as_str().unwrap(), "--config", &config]).unwrap();
        assert!(!String::from_utf8_lossy(&bundle.stdout).contains("MARKER"));
    }
    let log = listener.log();
    assert!(log.contains("MARKER [redacted] run") && !log.contains("hunter2"), "{log}");

    // The appliance itself, by its name.
    let own = r#"{"host": "APPLIANCE-1", "check_type": "disk_space"}"#;
    assert_eq!(answered(1, to, &sensor.push("c", 0, own).unwrap()).await.status, 202);
    listener.says("checks=\"disk\"", 1).await.unwrap();
    let stands = status(&clinic, |sensor| sensor["taken"] == 3).await;
    assert_eq!((&stands["sensors"], &stands["listening"][0]), (&1.into(), &to.to_string().into()), "{stands:#}");
    clinic.close().await;
}

#[tokio::test]
async fn what_is_no_push_of_a_sensor_is_refused_counted_and_told_to_a_person() {
    let (mut clinic, sensor, log) = alone("host_check_interval: 1\n").await;
    let mut listener = Listener::open(&clinic.config(), &log).await.unwrap();
    let to = listener.address;
    let stranger = Sensor::with_key("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    let body = r#"{"host": "appliance-1", "check_type": "disk"}"#;
    let good = sensor.push("x", 0, body).unwrap();
    let unsigned = request("POST /v1/drift", &[], body);
    for (from, (what, status, said)) in (10u8..).zip([
        (stranger.push("a", 0, body).unwrap(), 401, "not authenticated"),
        (sensor.push("b", -301, body).unwrap(), 401, "not authenticated"),
        (sensor.push("c", 301, body).unwrap(), 401, "not authenticated"),
        (good.replace("disk", "logs"), 401, "not authenticated"),
        (good.replace("webhook-id: x", "webhook-id: y"), 401, "not authenticated"),
        (good.replace("webhook-id: x", "webhook-id: x\r\nwebhook-id: x"), 401, "not authenticated"),
        (good.replace("v1,", "v1a,"), 401, "not authenticated"),
        (unsigned, 401, "not authenticated"),
        (good.replace("POST", "GET"), 405, "a push is a POST"),
        (good.replace("/v1/drift", "/v1/drift/../../etc"), 404, "/v1/drift and nothing else"),
        (good.replace("/v1/drift", "/metrics"), 404, "/v1/drift and nothing else"),
        (sensor.push("d", 0, &" ".repeat(4097)).unwrap(), 413, "at most 4096"),
        (sensor.push("e", 0, &format!("{body}{}", " ".repeat(60_000))).unwrap(), 413, "at most 4096"),
        (sensor.push("f", 0, r#"{"host": "appliance-1", "check_"#).unwrap(), 400, "EOF"),
        (sensor.push("g", 0, r#"{"host": "appliance-1"}"#).unwrap(), 400, "`check_type`"),
        (sensor.push("h", 0, r#"{"host": ["a"], "check_type": "disk"}"#).unwrap(), 400, "host"),
        (
            sensor
                .push("i", 0, r#"{"host": "appliance-1", "check_type": "disk", "runbook_id": "RB-WIN-SVC-001"}"#)
                .unwrap(),
            400,
            "`runbook_id`",
        ),
        (sensor.push("j", 0, r#"{"host": "appliance-1", "check_type": "everything"}"#).unwrap(), 400, "check_type"),
        (sensor.push("k", 0, r#"{"host": "appliance-1", "check_type": "directory"}"#).unwrap(), 404, "check_type"),
        (sensor.push("l", 0, r#"{"host": "appliance-1", "check_type": "clock"}"#).unwrap(), 404, "check_type"),
        (sensor.push("m", 0, r#"{"host": "appliance", "check_type": "disk"}"#).unwrap(), 404, "host"),
        (sensor.push("n", 0, r#"{"host": "", "check_type": "disk"}"#).unwrap(), 404, "host"),
    ]) {
        let answer = answered(from, to, &what).await;
        let error = answer.body["error"].as_str().unwrap_or_default();
        assert!(answer.status == status && error.contains(said), "{what}\n{answer:?}");
    }
    // Not HTTP, a head without end, a body that ends early: no push, and the listener lives.
    assert_eq!(answered(60, to, "\x16\x03\x01\x00 not http\r\n\r\n").await.status, 400);
    let endless = format!("POST /v1/drift HTTP/1.1\r\nx: {}", "y".repeat(20_000));
    assert_eq!(answered(61, to, &endless).await.status, 431);
    let mut stream = connect(62, to).await.unwrap();
    stream.write_all(&good.as_bytes()[..good.len() - 5]).await.unwrap();
    stream.shutdown().await.unwrap();
    let truncated = answer(stream).await.unwrap();
    assert!(truncated.is_none_or(|answer| answer.status == 400));
    assert!(!listener.log().contains("push is taken"), "{}", listener.log());

    // A key that was added later counts from the next start; two signatures while one is replaced do as well.
    let at = msp_suite::central::now().as_second();
    let both = format!("{} {}", stranger.signature("z", at, body).unwrap(), sensor.signature("z", at, body).unwrap());
    let headers = [("webhook-id", "z"), ("webhook-timestamp", &at.to_string()), ("webhook-signature", &both)];
    // Those that were refused after they were authenticated have used the sensor's allowance up.
    listener.says("push is refused", 20).await.unwrap();
    let refused = answered(63, to, &request("POST /v1/drift", &headers, body)).await;
    if refused.status == 429 {
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(answered(63, to, &request("POST /v1/drift", &headers, body)).await.status, 202);
    } else {
        assert_eq!(refused.status, 202, "{refused:?}");
    }

    let refused = status(&clinic, |sensor| sensor["refused"]["unauthenticated"] == 6).await;
    assert_eq!(
        ["too_long", "wrong_address", "wrong_clock"].map(|cause| refused["refused"][cause].as_u64()),
        [Some(2), Some(3), Some(2)],
        "{refused:#}"
    );
    // A person is asked, of the stranger and of the sensor's clock; the journal's message itself says who and why.
    wait(&mut clinic, "a person is asked twice", |known| asked(known) == 2).await.unwrap();
    let log = listener.log();
    for said in [
        "refused: unauthenticated, from 127.0.7.10: no signature",
        "refused: wrong_clock, from 127.0.7.11 (sensor FS01-watch): webhook-timestamp is 301 s from this clock",
        "refused: malformed, from 127.0.7.24 (sensor FS01-watch): missing field",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    // All places taken, by whomever: that is news of its own.
    let mut silent = Vec::new();
    for n in 0..32 {
        silent.push(connect(100 + n / 4, to).await.unwrap());
    }
    assert!(send(120, to, &good).await.unwrap().is_none(), "no place is left");
    wait(&mut clinic, "a person is asked once more", |known| asked(known) == 3).await.unwrap();
    drop(silent);
    let shown = run(&["status", "--config", &clinic.config()]).unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("1 may push to 127.0.0.1:") && shown.contains("6 unauthenticated"), "{shown}");
}

#[tokio::test]
async fn floods_and_slow_clients_cost_little_and_others_are_served() {
    let (clinic, sensor, log) = alone(SLOW).await;
    let mut listener = Listener::open(&clinic.config(), &log).await.unwrap();
    let to = listener.address;
    let body = |check: &str| format!(r#"{{"host": "appliance-1", "check_type": "{check}"}}"#);

    // One check of one machine: twice at once, and what comes then is made later and not forgotten.
    let first = sensor.push("a0", 0, &body("disk")).unwrap();
    for (n, push) in [first.clone(), sensor.push("a1", 0, &body("disk")).unwrap()].iter().enumerate() {
        let answer = answered(1, to, push).await;
        assert_eq!((answer.status, &answer.body["in_seconds"]), (202, &Value::Null), "{answer:?}");
        listener.says("checks=\"disk\"", n + 1).await.unwrap();
    }
    for n in 2..4 {
        let answer = answered(1, to, &sensor.push(&format!("a{n}"), 0, &body("disk")).unwrap()).await;
        let wait = answer.body["in_seconds"].as_u64();
        assert!(answer.status == 202 && wait.is_some_and(|wait| (1..=31).contains(&wait)), "{answer:?}");
    }
    // One that takes minutes, once in a quarter of an hour.
    for (n, wait) in [(0, None), (1, Some(880..=901))] {
        let answer = answered(1, to, &sensor.push(&format!("p{n}"), 0, &body("patching")).unwrap()).await;
        let said = answer.body["in_seconds"].as_u64();
        assert!(
            answer.status == 202 && wait.map_or(said.is_none(), |wait| wait.contains(&said.unwrap())),
            "{answer:?}"
        );
    }
    // Who sends a sensor's own push once more uses nothing of its allowance up.
    for _ in 0..15 {
        assert_eq!(answered(3, to, &first).await.status, 200);
    }

    // A sensor, from wherever: ten at once, then one in a while. Whatever is wrong with a push, it counts.
    let mut refused = 0;
    let last = loop {
        let push = sensor.push(&format!("b{refused}"), 0, &body("everything")).unwrap();
        let answer = answered(2 + refused % 9, to, &push).await;
        if answer.status != 400 {
            break answer;
        }
        refused += 1;
        assert!(refused < 40, "no end to it");
    };
    assert!((429, true) == (last.status, refused >= 4), "{refused}: {last:?}");
    assert!(last.body["error"].as_str().unwrap().contains("this sensor"), "{last:?}");
    let wait: u64 = last.head.split("retry-after: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");

    // An address without a key: thirty, then 429 before anything else is looked at; another address is heard.
    let stranger = Sensor::with_key("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    let mut codes = Vec::new();
    for n in 0..60 {
        codes.push(answered(20, to, &stranger.push(&n.to_string(), 0, "{}").unwrap()).await.status);
    }
    assert_eq!(codes[..30], [401; 30]);
    assert!(codes[30..].iter().filter(|code| **code == 429).count() >= 5, "{codes:?}");
    assert_eq!(answered(21, to, &stranger.push("o", 0, "{}").unwrap()).await.status, 401);

    // Four connections that say nothing: a fifth of that address is closed, one of another is served.
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(30, to).await.unwrap();
        stream.write_all(b"POST /v1/drift HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n").await.unwrap();
        silent.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(send(30, to, &stranger.push("p", 0, "{}").unwrap()).await.unwrap().is_none());
    assert_eq!(answered(31, to, &stranger.push("p", 0, "{}").unwrap()).await.status, 401);
    // A head that is finished, and then drops of a body, and a head that never is.
    let mut drops = connect(32, to).await.unwrap();
    drops.write_all(b"POST /v1/drift HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n").await.unwrap();
    let dripping = async {
        for _ in 0..40 {
            drops.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok::<_, std::io::Error>(())
    };
    // It ends because the other side has ended: in seven seconds and not in twenty.
    let ended = tokio::time::timeout(Duration::from_secs(14), dripping).await;
    assert!(matches!(ended, Ok(Err(_))), "{ended:?}");
    for stream in silent {
        assert!(answer(stream).await.unwrap().is_none(), "who never finishes a head is not answered");
    }
    assert_eq!(answered(30, to, &stranger.push("q", 0, "{}").unwrap()).await.status, 401);
    let refused = status(&clinic, |sensor| sensor["refused"]["too_slow"].as_u64() >= Some(5)).await;
    assert!(refused["refused"]["too_many_connections"].as_u64() >= Some(1), "{refused:#}");
    let lines = listener.log().lines().filter(|line| line.contains("push is refused")).count();
    assert!(lines < 60, "{lines} lines");
    listener.says("checks=\"disk\"", 3).await.unwrap();
}

#[tokio::test]
async fn a_socket_is_served_only_with_keys_and_under_its_name() {
    let (mut clinic, sensor, log) = alone("host_check_interval: 1\n").await;
    let push = |id: &str| sensor.push(id, 0, r#"{"host": "appliance-1", "check_type": "disk"}"#).unwrap();
    let config = clinic.config();

    // Among others, and not for the programs that the agent runs.
    let two = "exec 3<&0 4<&0\nexport LISTEN_FDS=2 LISTEN_FDNAMES=http:sensor";
    let mut listener = Listener::start(&config, &log, two).unwrap();
    listener.says("sensors may push", 1).await.unwrap();
    assert!(listener.log().contains("a socket called \"http\" was handed over"), "{}", listener.log());
    assert_eq!(answered(1, listener.address, &push("a")).await.status, 202);
    drop(listener);

    for (descriptors, said) in [
        ("exec 3<&0\nexport LISTEN_FDS=1 LISTEN_FDNAMES=http", "no socket was handed over"),
        ("exec 3</dev/null\nexport LISTEN_FDS=1 LISTEN_FDNAMES=sensor", "no socket was handed over"),
        ("export LISTEN_FDS=7 LISTEN_FDNAMES=sensor", "no socket was handed over"),
        ("export LISTEN_FDS=many", "no socket was handed over"),
        (":", "no socket was handed over"),
    ] {
        std::fs::remove_file(clinic.path().join("agent/state/status.json")).unwrap();
        let _listener = Listener::start(&config, &log, descriptors).unwrap();
        let stands = status(&clinic, |sensor| sensor["trouble"].is_string()).await;
        assert!(
            stands["trouble"].as_str().unwrap().contains(said) && stands["listening"] == Value::Array(vec![]),
            "{descriptors}: {stands}"
        );
    }

    // A socket, and no keys that can be used.
    let keys = clinic.path().join("agent/sensors.json");
    let handed_over = "exec 3<&0\nexport LISTEN_FDS=1 LISTEN_FDNAMES=sensor";
    let lines = std::fs::read_to_string(&config).unwrap();
    for wrong in ["exposed", "absent", "damaged", "not set"] {
        std::fs::remove_file(clinic.path().join("agent/state/status.json")).unwrap();
        match wrong {
            "exposed" => assert!(Command::new("chmod").arg("644").arg(&keys).status().unwrap().success()),
            "absent" => std::fs::remove_file(&keys).unwrap(),
            "damaged" => {
                std::fs::write(&keys, "{\"FS01-watch\": \"whsec_hunter2\"}").unwrap();
                assert!(Command::new("chmod").arg("600").arg(&keys).status().unwrap().success());
            }
            _ => std::fs::write(&config, lines.replace("sensor_keys_file: sensors.json", "")).unwrap(),
        }
        let listener = Listener::start(&config, &log, handed_over).unwrap();
        let stands = status(&clinic, |sensor| sensor["trouble"].is_string()).await;
        let expected = match wrong {
            "exposed" => "chmod 600",
            "absent" => "sensors.json: cannot be read",
            "damaged" => "the key of FS01-watch is none",
            _ => "sensor_keys_file is not set: nobody may push",
        };
        let trouble = stands["trouble"].as_str().unwrap();
        assert!(trouble.contains(expected) && !trouble.contains("hunter2"), "{wrong}: {trouble}");
        assert!(listener.log().contains("THE SENSOR LISTENER IS CLOSED"), "{}", listener.log());
        // systemd keeps the socket open, so that somebody has to answer who connects.
        let answer = answered(1, listener.address, &push(wrong)).await;
        assert_eq!((answer.status, &answer.body["status"]), (503, &Value::Null), "{wrong}: {answer:?}");
        wait(&mut clinic, "a person is asked", |known| asked(known) == 1).await.unwrap();
    }
    std::fs::write(&config, lines).unwrap();
    std::fs::remove_file(&keys).unwrap();
    let sensor = Sensor::add("FS01-watch", &keys).unwrap();
    let listener = Listener::open(&config, &log).await.unwrap();
    let good = sensor.push("b", 0, r#"{"host": "appliance-1", "check_type": "disk"}"#).unwrap();
    assert_eq!(answered(1, listener.address, &good).await.status, 202);
    wait(&mut clinic, "it is over", |known| asked(known) == 0).await.unwrap();
}

#[tokio::test]
async fn the_clients_of_others_and_the_documented_line_of_shell_are_understood() {
    let test = "the_clients_of_others_and_the_documented_line_of_shell_are_understood";
    let (clinic, _, log) = alone(SLOW).await;
    let keys = clinic.path().join("agent/sensors.json");
    let key = std::fs::read_to_string(&keys).unwrap();
    let key = key.split('"').find(|word| word.starts_with("whsec_")).unwrap();
    let listener = Listener::open(&clinic.config(), &log).await.unwrap();
    let url = format!("http://{}", listener.address);

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sensors.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, script) = page.split_once("# push.sh").unwrap();
    let script: String =
        script.lines().skip(1).map_while(|line| line.strip_prefix("    ")).flat_map(|line| [line, "\n"]).collect();
    let tools = ["curl", "openssl", "od"].map(|tool| Command::new(tool).arg("--version").output().is_ok());
    if tools == [true; 3] {
        let done =
            Command::new("bash").args(["-eu", "-c", &script, "push.sh", &url, key, "appliance-1", "disk"]).output();
        let done = done.unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("taken"), "{said}{}", String::from_utf8_lossy(&done.stderr));
    }

    let python = match python::interpreter() {
        Ok(python) => python,
        Err(reason) => return skip(test, &reason),
    };
    let body = r#"{"host": "appliance-1", "check_type": "logging", "reason": "é"}"#;
    for (id, key, code) in [("p1", key, "202"), ("p1", key, "200"), ("p2", &key.replace("whsec_", "whsec_AAAA"), "401")]
    {
        let mut push = Command::new(&python);
        push.arg(python::peers().join("push.py")).args([&format!("{url}/v1/drift"), key, id, body]);
        let done = push.output().unwrap();
        let done = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.trim(), code, "{}", listener.log());
    }
    if tools != [true; 3] {
        skip(test, "there is no curl, openssl or od for the documented line of shell");
    }
}
