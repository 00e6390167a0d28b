//! Metrics: read by another's parser, true, and as documented.

use crate::clinic::{Clinic, SITE, Server, incident};
use prometheus_parse::{Scrape, Value};
use std::collections::{BTreeMap, BTreeSet};

async fn text(server: &Server) -> String {
    let url = format!("http://{}/metrics", server.metrics.unwrap());
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.text().await.unwrap()
}

fn read(text: &str) -> Scrape {
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// The value of the one series with these labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |sample: &&prometheus_parse::Sample| {
        sample.metric == name && labels.iter().all(|(name, value)| sample.labels.get(name) == Some(*value))
    };
    let found: Vec<_> = scrape.samples.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
    match &found[0].value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
        other => panic!("{name}: {other:?}"),
    }
}

/// A server about which every metric has something to say.
async fn busy(clinic: &Clinic) -> Server {
    let (agent, silent) = (clinic.issue("apl-1"), clinic.issue("apl-2"));
    let server = clinic.serve_with(&["--metrics", "127.0.0.1:0"]);
    agent.reports(&server, false).await;
    silent.check_in(&server).await;
    agent.post(&server, "/incidents", &incident(SITE)).await;
    agent.post(&server, "/incidents/4711/resolve", &incident(SITE)).await;
    let chain = agent.chain(4);
    // The second and third are missing, and the fourth comes twice, once forged.
    for place in [0, 3] {
        agent.accepted(&server, &chain[place].0).await;
    }
    let mut other = agent.bundle(4, &chain[2].1);
    other.check = "backup".to_owned();
    let forged = msp_contracts::dsse::Signed::sign(&other, &agent.key).unwrap();
    assert_eq!(agent.submit(&server, &forged).await.status().as_u16(), 409);
    clinic.order("apl-1", &["sync-now"]);
    clinic.order("apl-1", &["sync-now", "--expires-in", "1s"]);
    clinic.command(["kill-switch", "engage"], &[SITE, "--appliance", "apl-2", "--reason", "a bad rule"]);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    server
}

#[tokio::test]
async fn another_parser_reads_what_is_true_of_the_fleet() {
    let clinic = Clinic::new();
    let server = busy(&clinic).await;
    let scrape = read(&text(&server).await);
    let (first, second) = ([("site", SITE), ("appliance", "apl-1")], [("site", SITE), ("appliance", "apl-2")]);
    for (name, labels, expected) in [
        ("msp_central_open_incidents", &[("site", SITE), ("severity", "high")], 1.0),
        ("msp_central_open_incidents", &[("site", SITE), ("severity", "critical")], 0.0),
        ("msp_central_evidence_missing_bundles", &first, 2.0),
        ("msp_central_evidence_missing_bundles", &second, 0.0),
        ("msp_central_evidence_suspicious_bundles", &first, 1.0),
        ("msp_central_outbox_pending_reports", &first, 3.0),
        ("msp_central_outbox_rejected_reports", &first, 1.0),
        ("msp_central_kill_switch_engaged", &first, 0.0),
        ("msp_central_kill_switch_engaged", &second, 1.0),
        ("msp_central_appliance_stopped", &first, 0.0),
        ("msp_central_orders", &[("site", SITE), ("state", "pending")], 1.0),
        ("msp_central_orders", &[("site", SITE), ("state", "expired")], 1.0),
        ("msp_central_orders", &[("site", SITE), ("state", "revoked")], 0.0),
        ("msp_central_requests_total", &[("call", "checkin"), ("status", "200")], 2.0),
        ("msp_central_requests_total", &[("call", "incident_resolve"), ("status", "400")], 1.0),
        ("msp_central_requests_total", &[("call", "evidence"), ("status", "409")], 1.0),
        ("msp_central_request_duration_seconds_count", &[("call", "checkin"), ("call", "checkin")], 2.0),
    ] {
        assert_eq!(value(&scrape, name, labels), expected, "{name} {labels:?}");
    }
    assert!((1.0..60.0).contains(&value(&scrape, "msp_central_appliance_contact_age_seconds", &first)));
    assert!(value(&scrape, "msp_central_database_write_duration_seconds_count", &[]) >= 5.0);
    let sum = value(&scrape, "msp_central_database_write_duration_seconds_sum", &[]);
    assert!(sum > 0.0 && sum < 60.0);
    // What an agent never said is not made up.
    assert!(!text(&server).await.contains("outbox_pending_reports{site=\"clinic-a\",appliance=\"apl-2\"}"));
}

/// Each metric's name and kind, as served.
fn served(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(|line| line.split_once(' ').unwrap());
    types
        .map(|(name, kind)| {
            (if kind == "counter" { format!("{name}_total") } else { name.to_owned() }, kind.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn the_documented_table_is_what_is_served_and_every_name_carries_its_unit() {
    let clinic = Clinic::new();
    let server = busy(&clinic).await;
    let text = text(&server).await;
    let served = served(&text);
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let documented: BTreeMap<String, String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `msp_central_"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (format!("msp_central_{}", cells[0].trim_end_matches('`')), cells[1].to_owned())
        })
        .collect();
    assert_eq!(documented, served);
    let units = ["_seconds", "_total", "_reports", "_bundles", "_incidents", "_orders", "_engaged", "_stopped"];
    for name in served.keys() {
        assert!(units.iter().any(|unit| name.ends_with(unit)), "{name} says no unit");
    }
    // The labels too, and what the alert rules ask for.
    let scrape = read(&text);
    for sample in &scrape.samples {
        let base = sample.metric.trim_end_matches("_bucket").trim_end_matches("_count").trim_end_matches("_sum");
        let line = document.lines().find(|line| line.starts_with(&format!("| `{base}`"))).unwrap();
        for label in sample.labels.keys() {
            assert!(line.contains(&format!("`{label}`")), "{base} has an undocumented label {label}");
        }
    }
    let asked: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("msp_central_"))
        .collect();
    assert!(asked.len() >= 2 && asked.iter().all(|name| served.contains_key(*name)), "{asked:?}");
}

#[tokio::test]
async fn metrics_are_served_on_their_own_loopback_listener_and_nowhere_else() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let said = clinic.refused(2, &["serve", "--dir", clinic.dir_text(), "--metrics", "0.0.0.0:0"]);
    assert!(said.contains("--metrics 127.0.0.1:9464"), "{said}");
    let server = clinic.serve_with(&["--metrics", "127.0.0.1:0"]);
    assert_eq!(agent.get(&server, "/metrics").await.status().as_u16(), 404);
    assert_eq!(clinic.client(None).get(server.page("/metrics")).send().await.unwrap().status().as_u16(), 404);
    let url = format!("http://{}/metrics", server.metrics.unwrap());
    let rebound = reqwest::Client::new().get(url).header("Host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status().as_u16(), 421);
    drop(server);
    assert!(clinic.serve().metrics.is_none());
}
