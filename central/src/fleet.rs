//! Who belongs to the fleet: the names of sites and appliances.
//!
//! A site or appliance id is 1 to 64 characters of `[A-Za-z0-9._-]`. The pair stands in an appliance's
//! certificate as the URI `urn:msp:<site>:<appliance>`, and that certificate is the only place from
//! which the server learns who is calling.

use serde::Serialize;
use std::fmt;

/// An id that cannot name a site or an appliance.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot name {what}: an id is 1 to 64 characters out of A-Z a-z 0-9 . _ - (and not just dots)")]
pub(crate) struct IdError {
    /// What it was to name, with its article.
    what: &'static str,
    /// What was given, shortened.
    text: String,
}

fn check(what: &'static str, text: &str) -> Result<(), IdError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // "." and ".." would be swallowed by URL normalisation.
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != ".." {
        return Ok(());
    }
    Err(IdError { what, text: text.chars().take(80).collect() })
}

/// Checks that `text` can name a site.
pub(crate) fn check_site(text: &str) -> Result<(), IdError> {
    check("a site", text)
}

/// One appliance of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Appliance {
    /// The site's id.
    pub(crate) site: String,
    /// The appliance's id, unique within the site; the owner of its evidence chains.
    pub(crate) appliance: String,
}

impl Appliance {
    pub(crate) fn new(site: &str, appliance: &str) -> Result<Self, IdError> {
        check_site(site)?;
        check("an appliance", appliance)?;
        Ok(Self { site: site.to_owned(), appliance: appliance.to_owned() })
    }

    /// The URI that stands in the appliance's certificate.
    pub(crate) fn urn(&self) -> String {
        format!("urn:msp:{}:{}", self.site, self.appliance)
    }

    /// Reads the URI back; `None` when it is no URI of an appliance.
    pub(crate) fn from_urn(urn: &str) -> Option<Self> {
        let (site, appliance) = urn.strip_prefix("urn:msp:")?.split_once(':')?;
        Self::new(site, appliance).ok()
    }
}

impl fmt::Display for Appliance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.appliance)
    }
}
