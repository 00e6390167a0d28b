//! The people's pages in a real browser, over a real clinic: a person comes in by the one-time link, reads how a drift
//! was healed, verifies the proof, engages the kill switch, and sees it live on another page.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine;
use msp_lab::Progress;
use msp_lab::clinic::Clinic;
use msp_lab::drift::Drift;
use msp_suite::agent::{healed, wait};
use msp_suite::browser::{Browser, Look, Page, installed};
use msp_suite::skip;
use serde_json::Value;
use std::path::PathBuf;

const DESK: Look = Look { width: 1400, height: 900, dark: false };
const NIGHT: Look = Look { width: 1400, height: 900, dark: true };
const PHONE: Look = Look { width: 390, height: 844, dark: false };
const SMALL: Look = Look { width: 360, height: 640, dark: true };

const AXE: &str = include_str!("../vendor/axe-core/axe.min.js");

/// A clinic with one healed drift, its evidence at Central Command, and a browser.
async fn open(name: &str) -> Option<(Clinic, Browser, tempfile::TempDir)> {
    let Some(program) = installed() else {
        skip(name, "chromium is not installed (Debian: apt-get install chromium)");
        return None;
    };
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "the servers were looked at", |known| known.outbox.pending == 0 && !known.incidents.is_empty())
        .await
        .unwrap();
    let server = clinic.member.as_ref().unwrap();
    let ip = server.winrm.ip().to_string();
    server.inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    let done = |known: &msp_lab::watch::Known| healed(known, &ip, "firewall", None) && known.outbox.pending == 0;
    wait(&mut clinic, "the firewall is healed, and Central Command knows", done).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let browser = Browser::start(program, folder.path()).unwrap();
    Some((clinic, browser, folder))
}

/// Comes in by a new link.
async fn come_in(clinic: &Clinic, browser: &Browser) -> Page {
    let page = browser.open(&clinic.login_link().await.unwrap().url).await.unwrap();
    page.look(DESK).await.unwrap();
    page.click("button").await.unwrap();
    page.wait("the fleet is shown", "document.title.startsWith('Fleet')").await.unwrap();
    page
}

/// Saves a picture into the folder that `MSP_TEST_PICTURES` names; without it does nothing.
async fn picture(page: &Page, name: &str) {
    let Some(folder) = std::env::var_os("MSP_TEST_PICTURES") else { return };
    let bytes = base64::engine::general_purpose::STANDARD.decode(page.picture().await.unwrap()).unwrap();
    std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
}

/// What axe-core finds against WCAG 2.2 A and AA, a line for each kind.
async fn breaches(page: &Page) -> Vec<String> {
    page.evaluate(AXE).await.unwrap();
    let asked = "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(found => \
                 found.violations.map(one => one.id + ': ' + one.help + ': ' + one.nodes.slice(0, 5).map(node => node.html + ' ' + node.failureSummary).join(' | ')))";
    let found = page.evaluate(asked).await.unwrap();
    found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_follows_a_heal_to_its_proof_and_sees_the_kill_switch_live_on_another_page() {
    let Some((mut clinic, browser, _folder)) =
        open("a_person_follows_a_heal_to_its_proof_and_sees_the_kill_switch_live_on_another_page").await
    else {
        return;
    };
    let page = come_in(&clinic, &browser).await;
    page.wait("the page listens for news", "document.getElementById('link').textContent === 'Live'").await.unwrap();
    assert!(page.text().await.unwrap().contains("Firewall on FS01"));

    page.click(".heals a").await.unwrap();
    page.wait("the incident is shown", "document.querySelector('ol.story') !== null").await.unwrap();
    let story = page.text().await.unwrap();
    for told in [
        "firewall profile Public",
        "L1-WIN-FIREWALL-001",
        "RB-WIN-FIREWALL-001",
        "Proved: fixed",
        "This record supports:",
    ] {
        assert!(story.contains(told), "{told}: {story}");
    }
    page.click(".story a.button").await.unwrap();
    page.wait("the verdict is shown", "document.querySelector('.verdict') !== null").await.unwrap();
    let verdict = page.evaluate("document.querySelector('.verdict').innerText").await.unwrap();
    assert!(verdict.as_str().unwrap().contains("It holds."), "{verdict}");

    // Another window of the same person, on another page.
    let other = browser.open(&clinic.people().unwrap()).await.unwrap();
    other.wait("it listens", "document.getElementById('link').textContent === 'Live'").await.unwrap();
    assert_eq!(other.evaluate("document.getElementById('stop').innerText").await.unwrap(), Value::from(""));
    other.evaluate("window.sameDocument = true").await.unwrap();
    page.goto(&format!("{}/kill-switch", clinic.people().unwrap())).await.unwrap();
    page.fill("form[action='/kill-switch/engage'] input[name=reason]", "a rule does harm").await.unwrap();
    page.click("form[action='/kill-switch/engage'] button").await.unwrap();
    page.wait("the switch is engaged", "document.getElementById('stop').innerText.includes('a rule does harm')")
        .await
        .unwrap();
    other
        .wait("the other page says so", "document.getElementById('stop').innerText.includes('a rule does harm')")
        .await
        .unwrap();
    assert_eq!(other.evaluate("window.sameDocument").await.unwrap(), Value::Bool(true), "without being loaded again");
    page.wait("the appliance says that it has stopped", "document.body.innerText.includes('reports itself stopped')")
        .await
        .unwrap();
    picture(&page, "kill-switch").await;
    page.fill("form[action='/kill-switch/release'] input[name=reason]", "rule withdrawn").await.unwrap();
    page.click("form[action='/kill-switch/release'] button").await.unwrap();
    page.wait("it is released", "document.getElementById('stop').innerText === ''").await.unwrap();
    other.wait("also on the other page", "document.getElementById('stop').innerText === ''").await.unwrap();
    page.wait("the appliance works again", "document.body.innerText.includes('reports that it works')").await.unwrap();

    page.goto(&format!("{}/audit", clinic.people().unwrap())).await.unwrap();
    let audit = page.text().await.unwrap();
    for row in ["engage kill switch", "a rule does harm", "release kill switch", "rule withdrawn", "127.0.0.1"] {
        assert!(audit.contains(row), "{row}: {audit}");
    }
    for page in [&page, &other] {
        assert_eq!(page.errors(), Vec::<String>::new());
    }
    browser.close().await.unwrap();
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_readable_by_everybody_on_any_screen_and_breaks_no_rule_of_its_policy() {
    let Some((mut clinic, browser, _folder)) =
        open("every_page_is_readable_by_everybody_on_any_screen_and_breaks_no_rule_of_its_policy").await
    else {
        return;
    };
    let base = clinic.people().unwrap();
    let page = browser.open(&format!("{base}/login")).await.unwrap();
    let mut wrong = Vec::new();
    let mut look_at = async |page: &Page, name: &str| {
        for (look, suffix) in [(DESK, "desk"), (NIGHT, "night"), (PHONE, "phone"), (SMALL, "small")] {
            page.look(look).await.unwrap();
            let wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth").await.unwrap();
            if wide == Value::Bool(true) {
                wrong.push(format!("{name}, {suffix}: wider than the screen"));
            }
            wrong.extend(breaches(page).await.into_iter().map(|breach| format!("{name}, {suffix}: {breach}")));
            picture(page, &format!("{name}-{suffix}")).await;
        }
        wrong.extend(page.errors().into_iter().map(|error| format!("{name}: {error}")));
    };
    look_at(&page, "login").await;
    let page = come_in(&clinic, &browser).await;
    let href = |selector: &str| format!("document.querySelector({selector:?})?.getAttribute('href')");
    let incident = page.evaluate(&href(".heals a")).await.unwrap().as_str().unwrap().to_owned();
    page.goto(&format!("{base}{incident}")).await.unwrap();
    let bundle = page.evaluate(&href(".story a.button")).await.unwrap().as_str().unwrap().to_owned();
    let chain = bundle.rsplit_once('/').unwrap().0.to_owned();
    for (name, path) in [
        ("fleet", "/"),
        ("site", "/sites/clinic-a"),
        ("appliance", "/sites/clinic-a/appliances/appliance-1"),
        ("incidents", "/incidents"),
        ("incident", &incident),
        ("evidence", "/evidence"),
        ("bundle", &bundle),
        ("chain", &format!("{chain}?verify=now")),
        ("orders", "/orders"),
        ("order", "/orders/new"),
        ("rules", "/rules"),
        ("people", "/people"),
        ("account", "/account"),
        ("audit", "/audit"),
        ("kill-switch", "/kill-switch"),
        ("missing", "/nowhere"),
    ] {
        page.look(DESK).await.unwrap();
        page.goto(&format!("{base}{path}")).await.unwrap();
        if name == "order" {
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true").await.unwrap();
        }
        look_at(&page, name).await;
    }
    // A page that is not there is said to be missing: that one error is the browser's own word for it.
    wrong.retain(|one| !(one.starts_with("missing:") && one.contains("404")));
    assert!(wrong.is_empty(), "{} breaches:\n{}", wrong.len(), wrong.join("\n"));
    browser.close().await.unwrap();
    clinic.close().await;
}
