//! How sessions begin, end, and cannot be given to anybody.

use super::{PASSWORD, PERSON, Visitor, add, inside, trail};
use crate::clinic::Clinic;
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn without_a_session_every_page_and_every_form_leads_to_the_login() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    let mut visitor = Visitor::new(&clinic, &server);
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
        "/live",
        "/sites/clinic-a",
        "/sites/clinic-a/appliances/apl-1",
        "/incidents/clinic-a/apl-1/INC-0123456789ab",
        "/evidence/clinic-a/apl-1/0000000000000000",
        "/evidence/clinic-a/apl-1/0000000000000000/1",
        "/evidence/clinic-a/apl-1/0000000000000000/1/envelope",
        "/evidence/clinic-a/apl-1/0000000000000000/1/receipt",
    ] {
        let page = visitor.get(path).await;
        assert!(page.location().starts_with("/login"), "{path}");
        assert!(page.text.is_empty(), "{path}: {}", page.text);
    }
    for path in [
        "/kill-switch/engage",
        "/kill-switch/release",
        "/orders/new",
        "/orders/revoke",
        "/people/disable",
        "/people/enable",
        "/account/password",
        "/account/sessions/end",
        "/logout",
    ] {
        let fields = [("site", "clinic-a"), ("reason", "x"), ("name", PERSON), ("token", "x")];
        assert_eq!(visitor.post(path, &fields).await.location(), "/login", "{path}");
    }
    assert_eq!(clinic.database().query_row("SELECT COUNT(*) FROM kill_switch", [], |row| row.get::<_, i64>(0)), Ok(0));
    // The script, which cannot follow to a login, is told plainly.
    let looking = visitor.request(Method::GET, "/").header("msp-live", "1").send().await.unwrap();
    assert_eq!(looking.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_login_begins_a_new_session_whatever_cookie_was_there_before() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    add(&clinic, PERSON);
    let mut visitor = Visitor::new(&clinic, &server);
    let planted = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE".to_owned();
    visitor.cookies.insert("__Host-session".to_owned(), planted.clone());
    assert!(!visitor.is_in().await);
    visitor.knock(PERSON, PASSWORD).await;
    let first = visitor.session().unwrap().to_owned();
    assert_ne!(first, planted);
    let mut fixed = Visitor::new(&clinic, &server);
    fixed.cookies.insert("__Host-session".to_owned(), planted);
    assert!(!fixed.is_in().await, "the planted one is nobody's");

    // Coming in again ends the session before.
    let mut second = Visitor::new(&clinic, &server);
    second.get("/login").await;
    let token = second.get("/login").await.token();
    second.cookies.insert("__Host-session".to_owned(), first.clone());
    second.post("/login", &[("token", &token), ("name", PERSON), ("password", PASSWORD)]).await;
    assert_ne!(second.session().unwrap(), first);
    assert!(second.is_in().await && !visitor.is_in().await);
}

#[tokio::test]
async fn a_session_ends_by_silence_by_age_and_with_its_person() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    let set = |seen: &str, began: &str| {
        let sql = format!(
            "UPDATE sessions SET seen_at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '{seen}'), began_at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '{began}')"
        );
        assert_eq!(clinic.database().execute(&sql, []).unwrap(), 1);
    };
    set("-29 minutes", "-11 hours");
    assert!(visitor.is_in().await);
    // That request was seen, so the half hour begins anew; a page that only looks for news is not somebody.
    let seen =
        || clinic.database().query_row("SELECT seen_at FROM sessions", [], |row| row.get::<_, String>(0)).unwrap();
    set("-5 minutes", "-1 hours");
    let before = seen();
    visitor.request(Method::GET, "/").header("msp-live", "1").send().await.unwrap();
    assert_eq!(seen(), before);
    assert!(visitor.is_in().await);
    assert!(seen() > before);
    set("-31 minutes", "-1 hours");
    assert!(!visitor.is_in().await, "idle for half an hour");
    set("-1 minutes", "-13 hours");
    assert!(!visitor.is_in().await, "twelve hours old");
    set("-1 minutes", "-1 hours");
    assert!(visitor.is_in().await);
    clinic.command(["person", "disable"], &[PERSON, "--reason", "has left"]);
    assert!(!visitor.is_in().await);
    clinic.command(["person", "enable"], &[PERSON]);
    assert!(!visitor.is_in().await, "the session is over, not suspended");
}

#[tokio::test]
async fn logging_out_ends_the_session_at_the_server() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    let kept = visitor.cookies.clone();
    assert_eq!(visitor.submit("/", "/logout", &[]).await.location(), "/login");
    assert!(visitor.session().is_none());
    visitor.cookies = kept;
    assert!(!visitor.is_in().await);
    assert_eq!(trail(&clinic).last().unwrap()[1], "logout");
}

#[tokio::test]
async fn a_cookie_that_is_there_twice_or_is_no_secret_is_nobodys() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    let session = visitor.session().unwrap().to_owned();
    let stranger = Visitor::new(&clinic, &server);
    let ask = |cookie: String| stranger.request(Method::GET, "/audit").header("cookie", cookie).send();
    assert_eq!(ask(format!("__Host-session={session}")).await.unwrap().status(), StatusCode::OK);
    for cookie in [
        format!("__Host-session={session}; __Host-session={session}"),
        format!("msp-session={session}"),
        format!("__Host-session={session}A"),
        "__Host-session=".to_owned(),
        format!("__Host-session={}", "A".repeat(20_000)),
    ] {
        let status = ask(cookie.clone()).await.unwrap().status();
        assert_eq!(status, StatusCode::SEE_OTHER, "{:.80}", cookie);
    }
    assert!(visitor.is_in().await);
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_every_other_session() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    add(&clinic, PERSON);
    let (mut here, mut there) = (Visitor::new(&clinic, &server), Visitor::new(&clinic, &server));
    for visitor in [&mut here, &mut there] {
        visitor.knock(PERSON, PASSWORD).await;
    }
    let new = "a difference engine";
    for (current, new, again, said) in [
        ("wrong wrong wrong", new, new, "not right"),
        (PASSWORD, new, "another engine 12", "not the same"),
        (PASSWORD, "short", "short", "at least 12"),
        (PASSWORD, "ada ada ada ada", "ada ada ada ada", "name of its owner"),
    ] {
        let page =
            here.submit("/account", "/account/password", &[("current", current), ("new", new), ("again", again)]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.text.contains(said), "{said}: {}", page.text);
    }
    let done =
        here.submit("/account", "/account/password", &[("current", PASSWORD), ("new", new), ("again", new)]).await;
    assert_eq!(done.location(), "/account");
    assert!(here.is_in().await && !there.is_in().await);
    assert_eq!(there.knock(PERSON, PASSWORD).await.status, StatusCode::FORBIDDEN);
    assert_eq!(there.knock(PERSON, new).await.location(), "/");
    here.submit("/account", "/account/sessions/end", &[]).await;
    assert!(here.is_in().await && !there.is_in().await);

    // Who has forgotten it comes in by a link and sets another.
    let mut forgetful = inside(&clinic, &server).await;
    let done = forgetful.submit("/account", "/account/password", &[("new", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(done.location(), "/account");
    assert!(!here.is_in().await);
}
