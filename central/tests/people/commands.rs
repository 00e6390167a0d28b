//! `person` and `login-link`, and the trail that nobody can change.

use super::{PERSON, add, trail};
use crate::clinic::Clinic;
use serde_json::Value;

#[test]
fn people_are_added_listed_and_shut_out_by_name() {
    let clinic = Clinic::new();
    let said = clinic.command(["person", "add"], &["Ada", "--by", "root", "--reason", "the first"]);
    assert!(said.contains("login-link"), "{said}");
    assert!(clinic.command_refused(["person", "add"], &["ADA"]).contains("already"));
    for bad in ["", " ", "a b", "a/b", "<script>", &"x".repeat(65)] {
        assert!(clinic.command_refused(["person", "add"], &[bad]).contains("cannot name a person"), "{bad:?}");
    }
    let said = clinic.command_refused(["person", "disable"], &["adda"]);
    assert!(said.contains("did you mean \"ada\""), "{said}");
    for (password, why) in [("short", "at least 12"), ("ada is the password", "name of its owner"), ("", "at least 12")]
    {
        let file = clinic.file("password", password);
        let said = clinic.command_refused(["person", "set-password"], &[PERSON, "--password-file", &file]);
        assert!(said.contains(why), "{said}");
    }
    add(&clinic, "grace");
    let listed = clinic.command(["person", "list"], &["--json"]);
    assert!(!listed.contains("argon2"), "{listed}");
    let people: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!((&people[0]["name"], &people[0]["has_password"]), (&"ada".into(), &false.into()));
    assert_eq!((&people[1]["name"], &people[1]["has_password"]), (&"grace".into(), &true.into()));
    let rows = trail(&clinic);
    assert_eq!(rows[0], ["root", "add person", "ada", "done", "the first"].map(str::to_owned));
}

#[test]
fn a_link_is_made_for_somebody_who_may_come_in_and_for_a_door_that_is_known() {
    let clinic = Clinic::new();
    let ask = |further: &[&str]| clinic.run(&[&["login-link", "--dir", clinic.dir_text()], further].concat());
    let failed = |further: &[&str]| {
        let output = ask(further);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    clinic.command(["person", "add"], &[PERSON]);
    assert!(failed(&[PERSON]).contains("no server has run here yet"));
    assert!(failed(&["bob", "--url", "https://x.example"]).contains("nobody is called"));
    let url = ["--url", "https://x.example/"];
    let printed = String::from_utf8(ask(&[&[PERSON], &url[..]].concat()).stdout).unwrap();
    assert!(printed.starts_with("https://x.example/link/"), "{printed}");
    clinic.command(["person", "disable"], &[PERSON]);
    assert!(failed(&[&[PERSON], &url[..]].concat()).contains("is disabled"));
}

#[test]
fn the_audit_trail_can_be_added_to_and_nothing_else() {
    let clinic = Clinic::new();
    clinic.command(["person", "add"], &[PERSON]);
    let db = clinic.database();
    for sql in [
        "UPDATE audit SET who = 'nobody'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit (id, at, who, address, action, subject, outcome, reason)
         VALUES (1, 'x', 'x', 'x', 'x', 'x', 'done', 'x')",
        "INSERT INTO audit (id, at, who, address, action, subject, outcome, reason)
         VALUES (1, 'x', 'x', 'x', 'x', 'x', 'done', 'x') ON CONFLICT (id) DO UPDATE SET who = 'x'",
    ] {
        let error = db.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    assert_eq!(trail(&clinic).len(), 1);
    assert_eq!(trail(&clinic)[0][2], PERSON);
}
