//! The listener: TLS or loopback, what every answer carries, and what it never serves.

use super::{Visitor, inside};
use crate::clinic::{Clinic, SITE, escalation, execution, incident, problem, resolution};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;

/// What a page may not contain: the policy would break it, and it would be where a hole begins.
fn nothing_inline(path: &str, text: &str) {
    let lower = text.to_lowercase();
    for (at, _) in lower.match_indices("<script") {
        let tag = &lower[at..at + lower[at..].find('>').unwrap()];
        assert!(tag.contains("src=\"/assets/live-"), "{path}: {tag}");
        assert!(lower[at + tag.len()..].starts_with("></script>"), "{path}: a script with a body");
    }
    for bad in ["<style", " style=", " onclick", " onload", " onerror", " onsubmit", "javascript:", "<iframe", "<base"]
    {
        assert!(!lower.contains(bad), "{path}: {bad}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_no_page_has_anything_inline() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.reports(&server, false).await;
    let mut visitor = inside(&clinic, &server).await;
    let home = visitor.get("/").await.text;
    let asset = |name: &str| {
        let at = home.find(&format!("/assets/{name}-")).unwrap();
        home[at..].split('"').next().unwrap().to_owned()
    };
    let (style, script, icon) = (asset("dashboard"), asset("live"), asset("icon"));
    for path in [
        "/",
        "/incidents",
        "/evidence",
        "/orders",
        "/orders/new",
        "/rules",
        "/kill-switch",
        "/people",
        "/account",
        "/audit",
        "/sites/clinic-a",
        "/sites/clinic-a/appliances/apl-1",
        "/login",
        "/link/x",
        "/nowhere",
        "/incidents/a/b/c",
        "/sites/%2e%2e",
        "/evidence?page=-1",
        "/assets/none.css",
        &style,
        &script,
        &icon,
    ] {
        let page = visitor.get(path).await;
        let header = |name: &str| page.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{path}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(header("strict-transport-security").starts_with("max-age=63072000"), "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        let kept = [&style, &script, &icon].contains(&&path.to_owned());
        assert_eq!(
            header("cache-control"),
            if kept { "public, max-age=31536000, immutable" } else { "no-store" },
            "{path}"
        );
        if header("content-type").starts_with("text/html") {
            nothing_inline(path, &page.text);
        }
    }
    let css = visitor.get(&style).await;
    assert_eq!(css.headers["content-type"], "text/css; charset=utf-8");
    assert!(css.text.contains("prefers-color-scheme: dark"));
}

#[tokio::test]
async fn plain_http_is_for_loopback_and_only_when_it_is_asked_for() {
    let clinic = Clinic::new();
    let said = clinic.refused(
        2,
        &["serve", "--dir", clinic.dir_text(), "--listen", "127.0.0.1:0", "--people", "0.0.0.0:0", "--people-http"],
    );
    assert!(said.contains("loopback") && said.contains("0.0.0.0:0"), "{said}");
    // Without the flag it is TLS, and plain HTTP gets nothing.
    let server = clinic.serve();
    assert!(Client::new().get(format!("http://{}/login", server.people)).send().await.is_err());
    server.stop().await;

    let server = clinic.serve_with(&["--people-http"]);
    let mut visitor = Visitor::plain(&server);
    let page = visitor.get("/login").await;
    page.shows(&["Log in"]);
    assert!(page.headers.get("strict-transport-security").is_none());
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("msp-knock=") && cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let port = server.people.port();
    for (host, answered) in [
        ("evil.example".to_owned(), false),
        ("evil.example:80".to_owned(), false),
        ("127.0.0.1.evil.example".to_owned(), false),
        ("localhost.evil.example".to_owned(), false),
        ("192.168.10.2".to_owned(), false),
        (String::new(), false),
        ("user@localhost.x".to_owned(), false),
        (format!("localhost:{port}"), true),
        (format!("LOCALHOST:{port}"), true),
        (format!("[::1]:{port}"), true),
        ("127.0.0.1".to_owned(), true),
    ] {
        let response = visitor.request(Method::GET, "/login").header("host", &host).send().await.unwrap();
        let expected = if answered { StatusCode::OK } else { StatusCode::MISDIRECTED_REQUEST };
        assert_eq!(response.status(), expected, "{host:?}");
        assert_eq!(response.text().await.unwrap().contains("name=\"password\""), answered, "{host:?}");
    }
}

#[tokio::test]
async fn the_operators_own_certificate_is_shown_when_it_is_given() {
    let (clinic, other) = (Clinic::new(), Clinic::new());
    let file = |name: &str| other.dir().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("server.pem"), file("server-key.pem"));
    let server = clinic.serve_with(&[
        "--people-cert",
        &certificate,
        "--people-key",
        &key,
        "--people-url",
        "https://ops.example",
    ]);
    assert_eq!(Visitor::new(&other, &server).get("/login").await.status, StatusCode::OK);
    let known = clinic.client(None).get(server.page("/login")).send().await;
    assert!(known.is_err(), "another authority's certificate");
    clinic.command(["person", "add"], &["ada"]);
    let link = clinic.ok(&["login-link", "--dir", clinic.dir_text(), "ada"]);
    assert!(link.starts_with("https://ops.example/link/"), "{link}");
    server.stop().await;
    let wrong = ["serve", "--dir", clinic.dir_text(), "--listen", "127.0.0.1:0", "--people", "127.0.0.1:0"];
    let mixed = [&wrong[..], &["--people-cert", &certificate, "--people-key", clinic.dir_text()]].concat();
    let said = clinic.refused(1, &mixed);
    assert!(said.contains(clinic.dir_text()) && said.contains("private key"), "{said}");
    let own_key = clinic.dir().join("server-key.pem").to_str().unwrap().to_owned();
    let said = clinic.refused(1, &[&wrong[..], &["--people-cert", &certificate, "--people-key", &own_key]].concat());
    assert!(said.contains("belong together"), "{said}");
}

#[tokio::test]
async fn the_two_listeners_never_serve_each_others_paths() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    let mut visitor = inside(&clinic, &server).await;
    for path in ["/health", "/agent/sync?site_id=clinic-a"] {
        assert_eq!(visitor.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for (path, body) in [
        ("/api/appliances/checkin", agent.checkin()),
        ("/evidence", json!({ "schema_version": 1, "bundle": agent.chain(1)[0].0 })),
        ("/api/evidence/sites/clinic-a/submit", json!({})),
        ("/incidents", incident(SITE)),
        ("/incidents/INC-0123456789ab/resolve", resolution()),
        ("/api/agent/executions", execution(SITE)),
        ("/api/escalations", escalation(SITE)),
    ] {
        let response = visitor.request(Method::POST, path).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(clinic.list("incidents"), json!([]));
    for path in ["/", "/login", "/kill-switch", "/live"] {
        problem(agent.get(&server, path).await, 404, "unknown_path").await;
    }
    // Nor is the agents' port readable without TLS.
    assert!(Client::new().get(format!("http://{}/", server.agents)).send().await.is_err());
}
