//! The one person of the lab, who comes into Central Command's pages by a link.

use crate::clinic::Clinic;
use crate::process::succeed;
use anyhow::Context;
use serde::Deserialize;

/// Who looks at Central Command's pages.
pub const PERSON: &str = "lab";

#[derive(Debug, Deserialize)]
struct Link {
    url: String,
}

/// Adds the person.
///
/// # Errors
/// When Central Command was not founded, or the person is there already.
pub async fn add(clinic: &Clinic) -> anyhow::Result<()> {
    succeed("msp-central", &["person", "add", "--dir", &clinic.central_dir(), PERSON]).await?;
    Ok(())
}

/// The address of a link that lets the person in, once.
///
/// # Errors
/// When Central Command never ran here, or the person was not added.
pub async fn login_link(clinic: &Clinic) -> anyhow::Result<String> {
    let printed = succeed("msp-central", &["login-link", "--dir", &clinic.central_dir(), "--json", PERSON]).await?;
    let link: Link = serde_json::from_slice(&printed).context("reading the login link")?;
    Ok(link.url)
}
