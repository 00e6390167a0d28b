//! The people's pages: who gets in, what is shown, and what can be done, over TLS as a browser would.

mod actions;
mod coming_in;
mod commands;
mod door;
mod forms;
mod pages;
mod proof;
mod sessions;

use crate::clinic::{Clinic, Server};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub const PERSON: &str = "ada";
pub const PASSWORD: &str = "analytical engines 1843";

/// A browser, as far as cookies, forms and redirects go; it shows nothing and runs nothing.
pub struct Visitor {
    client: Client,
    base: String,
    pub cookies: BTreeMap<String, String>,
}

/// A page as it arrived.
pub struct Page {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Page {
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.headers["location"].to_str().unwrap()
    }

    /// The token of the page's forms.
    pub fn token(&self) -> String {
        let (_, rest) =
            self.text.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no form: {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }

    /// Whether every one of these is in the text.
    pub fn shows(&self, expected: &[&str]) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        for one in expected {
            assert!(self.text.contains(one), "{one}: {}", self.text);
        }
    }
}

pub fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect()
    };
    fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

impl Visitor {
    pub fn new(clinic: &Clinic, server: &Server) -> Self {
        let ca = Certificate::from_pem(&std::fs::read(clinic.dir().join("ca.pem")).unwrap()).unwrap();
        let builder = Client::builder().tls_certs_only([ca]).timeout(Duration::from_secs(60));
        let client = builder.redirect(redirect::Policy::none()).build().unwrap();
        Self { client, base: server.page(""), cookies: BTreeMap::new() }
    }

    /// Without TLS.
    pub fn plain(server: &Server) -> Self {
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { client, base: format!("http://{}", server.people), cookies: BTreeMap::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.request(method, format!("{}{path}", self.base));
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    pub async fn keep(&mut self, response: Response) -> Page {
        for cookie in response.headers().get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let (value, attributes) = rest.split_once(';').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Page { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&mut self, path: &str) -> Page {
        let response = self.request(Method::GET, path).send().await.unwrap();
        self.keep(response).await
    }

    /// A form as a page of this server sends it; the token is among the fields.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let request = self.request(Method::POST, path).header("sec-fetch-site", "same-origin");
        request.header("content-type", "application/x-www-form-urlencoded").body(encoded(fields))
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let response = self.form(path, fields).send().await.unwrap();
        self.keep(response).await
    }

    /// Loads a page and sends a form with its token.
    pub async fn submit(&mut self, from: &str, to: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.get(from).await.token();
        self.post(to, &[&[("token", token.as_str())], fields].concat()).await
    }

    /// Tries to log in by password.
    pub async fn knock(&mut self, name: &str, password: &str) -> Page {
        self.submit("/login", "/login", &[("name", name), ("password", password)]).await
    }

    pub fn session(&self) -> Option<&str> {
        self.cookies.get("__Host-session").map(String::as_str)
    }

    pub async fn is_in(&mut self) -> bool {
        self.get("/audit").await.status == StatusCode::OK
    }
}

/// Adds a person with a password.
pub fn add(clinic: &Clinic, name: &str) {
    clinic.command(["person", "add"], &[name]);
    let file = clinic.file("password", &format!("{PASSWORD}\n"));
    clinic.command(["person", "set-password"], &[name, "--password-file", &file]);
}

/// The path of a new link.
pub fn link(clinic: &Clinic, name: &str) -> String {
    let printed = clinic.ok(&["login-link", "--dir", clinic.dir_text(), name, "--json"]);
    let link: Value = serde_json::from_str(&printed).unwrap();
    let url = link["url"].as_str().unwrap();
    url[url.find("/link/").unwrap()..].to_owned()
}

/// Somebody who came in by a link.
pub async fn inside(clinic: &Clinic, server: &Server) -> Visitor {
    let known: Value = serde_json::from_str(&clinic.command(["person", "list"], &["--json"])).unwrap();
    if !known.as_array().unwrap().iter().any(|row| row["name"] == PERSON) {
        clinic.command(["person", "add"], &[PERSON]);
    }
    let (mut visitor, path) = (Visitor::new(clinic, server), link(clinic, PERSON));
    let secret = path.strip_prefix("/link/").unwrap().to_owned();
    let came = visitor.submit(&path, "/link", &[("link", &secret)]).await;
    assert_eq!(came.location(), "/");
    visitor
}

/// The audit trail, the oldest first: who, what, outcome, why.
pub fn trail(clinic: &Clinic) -> Vec<[String; 5]> {
    let db = clinic.database();
    let mut rows = db.prepare("SELECT who, action, subject, outcome, reason FROM audit ORDER BY id").unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]);
    rows.query_map([], read).unwrap().map(Result::unwrap).collect()
}
