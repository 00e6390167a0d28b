//! Passwords and links.

use super::{PASSWORD, PERSON, Visitor, add, inside, link, trail};
use crate::clinic::Clinic;
use reqwest::StatusCode;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_password_lets_its_owner_in_and_nobody_else() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    add(&clinic, PERSON);
    let mut visitor = Visitor::new(&clinic, &server);
    let refused = visitor.knock(PERSON, "analytical engines 1844").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(visitor.session().is_none() && !visitor.is_in().await);
    // Capitals and spaces around a name make no difference.
    let came = visitor.knock(" Ada ", PASSWORD).await;
    assert_eq!(came.location(), "/");
    let cookie = came
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|one| one.to_str().unwrap())
        .find(|one| one.contains("session"))
        .unwrap();
    assert!(cookie.starts_with("__Host-session="), "{cookie}");
    for attribute in ["Path=/", "HttpOnly", "SameSite=Strict", "Secure"] {
        assert!(cookie.contains(attribute), "{attribute}: {cookie}");
    }
    assert!(!cookie.contains("Domain") && !cookie.contains("Max-Age"), "{cookie}");
    assert!(visitor.is_in().await);
    let rows = trail(&clinic);
    let logins: Vec<_> =
        rows.iter().filter(|row| row[1] == "login").map(|row| (row[0].as_str(), row[3].as_str())).collect();
    assert_eq!(logins, [("ada", "refused"), ("ada", "done")]);
    let password =
        clinic.database().query_row("SELECT password FROM people", [], |row| row.get::<_, String>(0)).unwrap();
    assert!(password.starts_with("$argon2id$v=19$m=65536,t=3,p=4$"), "{password}");
}

async fn answer(visitor: &mut Visitor, name: &str) -> (StatusCode, String, Duration) {
    let token = visitor.get("/login").await.token();
    #[allow(clippy::disallowed_methods, reason = "what is measured is how long it takes")]
    let begin = Instant::now();
    let page = visitor.post("/login", &[("token", &token), ("name", name), ("password", "not the password")]).await;
    (page.status, page.text.replace(&format!("value=\"{name}\""), "NAME").replace(&token, "TOKEN"), begin.elapsed())
}

#[tokio::test]
async fn an_unknown_name_a_disabled_person_and_a_wrong_password_get_the_same_answer_after_the_same_work() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    for name in [PERSON, "eve"] {
        add(&clinic, name);
    }
    clinic.command(["person", "add"], &["without"]);
    clinic.command(["person", "disable"], &["eve", "--reason", "has left"]);
    let mut visitor = Visitor::new(&clinic, &server);
    let mut shortest: Vec<(Duration, String)> = Vec::new();
    let expected = answer(&mut visitor, PERSON).await;
    for name in [PERSON, "nobody", "eve", "without"] {
        let mut times = Vec::new();
        for _ in 0..3 {
            let (status, text, took) = answer(&mut visitor, name).await;
            assert_eq!((status, &text), (expected.0, &expected.1), "{name}");
            times.push(took);
        }
        shortest.push((times.into_iter().min().unwrap(), name.to_owned()));
    }
    let (known, others) = shortest.split_first().unwrap();
    for (took, name) in others {
        // Without the hash it would be a hundredth.
        assert!(*took * 10 > known.0, "{name} took {took:?}, a wrong password {:?}", known.0);
    }
    // Even with the right password.
    assert_eq!(visitor.knock("eve", PASSWORD).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn after_five_failures_an_account_rests_for_that_address_and_a_link_still_lets_its_owner_in() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    for name in [PERSON, "grace"] {
        add(&clinic, name);
    }
    let mut visitor = Visitor::new(&clinic, &server);
    for _ in 0..5 {
        assert_eq!(visitor.knock(PERSON, "wrong wrong wrong").await.status, StatusCode::FORBIDDEN);
    }
    for _ in 0..2 {
        let rested = visitor.knock(PERSON, PASSWORD).await;
        assert_eq!(rested.status, StatusCode::TOO_MANY_REQUESTS);
        let seconds: u32 = rested.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=900).contains(&seconds), "{seconds}");
    }
    assert_eq!(visitor.knock("grace", PASSWORD).await.location(), "/", "others are not concerned");
    assert!(inside(&clinic, &server).await.is_in().await);
    let rows = trail(&clinic);
    assert_eq!(rows.iter().filter(|row| row[1] == "login limited").count(), 1, "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row[3] == "refused" && row[1] == "login").count(), 5, "{rows:?}");
}

#[tokio::test]
async fn attempts_at_the_same_time_count_too() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    add(&clinic, PERSON);
    let mut visitor = Visitor::new(&clinic, &server);
    let token = visitor.get("/login").await.token();
    let fields = [("token", token.as_str()), ("name", PERSON), ("password", "wrong wrong wrong")];
    let attempts: Vec<_> = (0..12).map(|_| tokio::spawn(visitor.form("/login", &fields).send())).collect();
    let mut tried = 0;
    for attempt in attempts {
        let status = attempt.await.unwrap().unwrap().status();
        tried += usize::from(status == StatusCode::FORBIDDEN);
    }
    assert_eq!(tried, 5);
}

#[tokio::test]
async fn a_link_is_used_up_by_its_button_once_and_not_by_looking() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    clinic.command(["person", "add"], &[PERSON]);
    let path = link(&clinic, PERSON);
    let secret = path.strip_prefix("/link/").unwrap();
    assert!(secret.len() >= 43, "256 bits: {secret}");
    // A preview, and another one.
    for _ in 0..2 {
        Visitor::new(&clinic, &server).get(&path).await.shows(&["used up when you press the button"]);
    }
    let mut visitor = Visitor::new(&clinic, &server);
    assert_eq!(visitor.submit(&path, "/link", &[("link", secret)]).await.location(), "/");
    assert!(visitor.is_in().await);

    let mut second = Visitor::new(&clinic, &server);
    assert_eq!(second.get(&path).await.status, StatusCode::NOT_FOUND);
    let again = second.submit("/login", "/link", &[("link", secret)]).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(second.session().is_none());
    let rows = trail(&clinic);
    assert!(rows.iter().any(|row| row[1] == "login" && row[3] == "refused" && row[4].contains("link")), "{rows:?}");
    // Nor is it anywhere to be read.
    for file in std::fs::read_dir(clinic.dir()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for hidden in [secret, visitor.session().unwrap()] {
            assert!(!bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes()));
        }
    }
}

#[tokio::test]
async fn a_link_that_is_old_made_up_or_of_a_disabled_person_lets_nobody_in() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    clinic.command(["person", "add"], &[PERSON]);
    let mut visitor = Visitor::new(&clinic, &server);
    let old = link(&clinic, PERSON);
    clinic.database().execute("UPDATE login_links SET expires_at = '2020-01-01T00:00:00.000000Z'", []).unwrap();
    let disabled = link(&clinic, PERSON);
    clinic.command(["person", "disable"], &[PERSON]);
    clinic.command(["person", "enable"], &[PERSON]);
    let made_up = format!("/link/{}", "A".repeat(43));
    for path in [old.as_str(), &disabled, &made_up, "/link/x", "/link/%00", "/link/..%2f..%2fca-key.pem"] {
        assert_eq!(visitor.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        let secret = path.strip_prefix("/link/").unwrap();
        assert_eq!(
            visitor.submit("/login", "/link", &[("link", secret)]).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    assert!(visitor.session().is_none());
}

#[tokio::test]
async fn after_the_login_only_a_path_of_this_server_is_followed() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    add(&clinic, PERSON);
    let mut visitor = Visitor::new(&clinic, &server);
    let asked = visitor.get("/evidence?kind=heal").await;
    assert_eq!(asked.location(), "/login?next=%2Fevidence%3Fkind%3Dheal");
    for (next, followed) in [
        ("/evidence?kind=heal", "/evidence?kind=heal"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\r\nset-cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ] {
        let mut visitor = Visitor::new(&clinic, &server);
        let fields = [("name", PERSON), ("password", PASSWORD), ("next", next)];
        assert_eq!(visitor.submit("/login", "/login", &fields).await.location(), followed, "{next:?}");
    }
}
