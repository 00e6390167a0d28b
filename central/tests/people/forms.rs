//! Forms that somebody else made.

use super::{PERSON, Visitor, inside, trail};
use crate::clinic::{Clinic, SITE};
use reqwest::{RequestBuilder, StatusCode};

fn engaged(clinic: &Clinic) -> i64 {
    clinic.database().query_row("SELECT COUNT(*) FROM kill_switch", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_form_without_this_sessions_token_does_nothing() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve();
    let (mut mine, mut other) = (inside(&clinic, &server).await, inside(&clinic, &server).await);
    let foreign = other.get("/kill-switch").await.token();
    let right = mine.get("/kill-switch").await.token();
    let knocking = Visitor::new(&clinic, &server).get("/login").await.token();
    let session = mine.session().unwrap().to_owned();
    let cut = right[..63].to_owned();
    for token in ["", "x", &foreign, &knocking, &session, &cut, &right.to_uppercase()] {
        let page = mine.post("/kill-switch/engage", &[("token", token), ("site", SITE), ("reason", "x")]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{token}");
    }
    let page = mine.post("/kill-switch/engage", &[("site", SITE), ("reason", "x")]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "no token at all");
    let twice = [("token", right.as_str()), ("token", right.as_str()), ("site", SITE), ("reason", "x")];
    assert_eq!(mine.post("/kill-switch/engage", &twice).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(engaged(&clinic), 0);
    let page = mine.post("/kill-switch/engage", &[("token", &right), ("site", SITE), ("reason", "a test")]).await;
    assert_eq!(page.location(), "/kill-switch#clinic-a");
    assert_eq!(engaged(&clinic), 1);
}

#[tokio::test]
async fn a_form_of_another_origin_does_nothing_even_with_the_token() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    let token = visitor.get("/kill-switch").await.token();
    let own = format!("https://{}", server.people);
    let send = |headers: &[(&str, &str)]| {
        let body = super::encoded(&[("token", &token), ("site", SITE), ("reason", "x")]);
        let mut request: RequestBuilder = visitor.request(reqwest::Method::POST, "/kill-switch/engage");
        request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send()
    };
    let elsewhere = format!("https://localhost:{}", server.people.port());
    let plain = own.replace("https", "http");
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("origin", "https://evil.example")],
        &[("origin", &elsewhere)],
        &[("origin", &plain)],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        &[("origin", &own), ("origin", "https://evil.example")],
        &[],
    ] {
        assert_eq!(send(headers).await.unwrap().status(), StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(engaged(&clinic), 0);
    // What browsers send, with and without knowing of Sec-Fetch-Site; our pages tell no referrer, hence the null.
    for headers in [
        &[("sec-fetch-site", "same-origin"), ("origin", "null")][..],
        &[("sec-fetch-site", "same-origin"), ("origin", &own)],
        &[("origin", &own)],
    ] {
        assert_eq!(send(headers).await.unwrap().status(), StatusCode::SEE_OTHER, "{headers:?}");
    }
    assert_eq!(engaged(&clinic), 3);
}

#[tokio::test]
async fn a_login_is_a_form_too() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    super::add(&clinic, PERSON);
    let mut visitor = Visitor::new(&clinic, &server);
    let token = visitor.get("/login").await.token();
    let fields = [("name", PERSON), ("password", super::PASSWORD), ("token", token.as_str())];
    let cross = visitor.form("/login", &fields).header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(cross.status(), StatusCode::FORBIDDEN);
    // Another browser's token: somebody wants this one to act under their name.
    let mut victim = Visitor::new(&clinic, &server);
    assert_eq!(victim.post("/login", &fields).await.status, StatusCode::FORBIDDEN, "no cookie");
    victim.get("/login").await;
    assert_eq!(victim.post("/login", &fields).await.status, StatusCode::FORBIDDEN, "another cookie");
    assert!(victim.session().is_none());
    assert_eq!(visitor.post("/login", &fields).await.location(), "/");
}

#[tokio::test]
async fn what_is_no_form_is_refused_before_it_is_understood() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    let token = visitor.get("/kill-switch").await.token();
    let send = |content_type: &'static str, body: String| {
        let request =
            visitor.request(reqwest::Method::POST, "/kill-switch/engage").header("sec-fetch-site", "same-origin");
        request.header("content-type", content_type).body(body).send()
    };
    let form = "application/x-www-form-urlencoded";
    let fields = format!("token={token}&site={SITE}&reason=x");
    for (content_type, body, status) in [
        ("text/plain", fields.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/json", "{}".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (form, format!("token={token}&reason={}", "x".repeat(70_000)), StatusCode::PAYLOAD_TOO_LARGE),
        (form, format!("token={token}&site={SITE}"), StatusCode::BAD_REQUEST),
        (form, format!("token={token}&site=nowhere&reason=x"), StatusCode::NOT_FOUND),
        (form, format!("token={token}&site={SITE}&reason=+"), StatusCode::CONFLICT),
        (form, format!("token={token}&site={SITE}&appliance=none&reason=x"), StatusCode::CONFLICT),
        (form, format!("token={token}&site={SITE}&reason=%ff%00"), StatusCode::CONFLICT),
    ] {
        let answer = send(content_type, body).await.unwrap();
        assert_eq!(answer.status(), status, "{content_type}");
    }
    assert_eq!(engaged(&clinic), 0);
    let refused = trail(&clinic).iter().filter(|row| row[1] == "engage kill switch" && row[3] == "refused").count();
    assert_eq!(refused, 3, "what was refused is in the trail too");
}
