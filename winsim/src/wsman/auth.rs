//! The one account that the simulated server has, and Basic authentication ([RFC 7617]) against it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The account that may log on.
#[derive(Clone)]
pub struct Account {
    /// Its name, without a domain.
    pub user: String,
    /// Its password, never empty.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Account {
    /// Whether an `Authorization` header carries this account. The name may stand after `.\` or the computer's own name.
    pub(super) fn accepts(&self, header: &str, computer: &str) -> bool {
        let Some((scheme, token)) = header.split_once(' ') else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Some(decoded) = STANDARD.decode(token.trim()).ok().and_then(|b| String::from_utf8(b).ok()) else {
            return false;
        };
        let Some((name, password)) = decoded.split_once(':') else {
            return false;
        };
        let user = match name.split_once('\\') {
            Some((domain, user)) if is_local(domain, computer) => user,
            Some(_) => return false,
            None => name,
        };
        user.eq_ignore_ascii_case(&self.user) && same_secret(password, &self.password)
    }
}

/// Whether a domain that a client writes is the computer itself.
pub(super) fn is_local(domain: &str, computer: &str) -> bool {
    domain == "." || domain.eq_ignore_ascii_case(computer)
}

/// Compares without telling by its time where two passwords first differ.
fn same_secret(given: &str, right: &str) -> bool {
    let difference =
        given.bytes().zip(right.bytes()).fold(given.len() ^ right.len(), |acc, (a, b)| acc | usize::from(a ^ b));
    difference == 0
}
