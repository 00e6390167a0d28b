//! How an appliance joins the fleet, and how it stays: a certificate by a one-time token, later ones under mutual TLS.
//!
//! Two doors, one desk. The enrolment's door takes tokens and demands no client certificate; the agents' door renews.
//! Who is certified comes from the token or from the present certificate, never from the request's own words.

mod rate;
mod refused;

pub(crate) use rate::Rate;

use crate::pki::{Authority, ClientIdentity, Request};
use crate::store::{Enrolled, Keys, Store};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{EnrollReply, EnrollRequest};
use msp_contracts::keys;
use msp_contracts::token::EnrollToken;
pub(crate) use refused::Refused;

/// Makes certificates.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Absent while the authority's private key is kept elsewhere: nothing is certified then.
    pub(crate) authority: Option<Authority>,
    /// How long a certificate lives.
    pub(crate) life: SignedDuration,
    /// Where the agents' door is, as appliances reach it.
    pub(crate) agents_url: String,
    /// The keys that sign what is sent to agents: 64 hexadecimal characters each.
    pub(crate) server_keys: Vec<String>,
}

impl Desk {
    /// Enrols the holder of a token.
    ///
    /// # Errors
    /// When the token is not good for it, or the request is not sound: see [`Refused`].
    pub(crate) async fn enroll(
        &self,
        store: &Store,
        asked: &EnrollRequest,
        now: Timestamp,
    ) -> Result<EnrollReply, Refused> {
        let authority = self.authority.as_ref().ok_or(Refused::Offline)?;
        let token = asked.token.as_deref().ok_or(Refused::NoToken)?;
        let token: EnrollToken = token.parse().map_err(|source| Refused::Token { source })?;
        if !token.is_of(authority.der()) {
            return Err(Refused::OtherFleet);
        }
        let (request, keys) = read(asked)?;
        let certify = |who: &_| authority.certify(who, &request, self.life, now);
        let enrolled = store.enroll(&token.secret_sha256(), &asked.appliance, &keys, now, certify).await?;
        tracing::info!(site = enrolled.who.site, appliance = enrolled.who.appliance, "an appliance was enrolled");
        Ok(self.reply(authority, enrolled))
    }

    /// Renews the certificate of a caller, under mutual TLS.
    ///
    /// # Errors
    /// When anything but the certificate's key would change: see [`Refused`].
    pub(crate) async fn renew(
        &self,
        store: &Store,
        caller: &ClientIdentity,
        asked: &EnrollRequest,
        now: Timestamp,
    ) -> Result<EnrollReply, Refused> {
        let authority = self.authority.as_ref().ok_or(Refused::Offline)?;
        if asked.token.is_some() {
            return Err(Refused::TokenAtRenewal);
        }
        if asked.appliance != caller.who.appliance {
            let (named, certified) = (asked.appliance.clone(), caller.who.appliance.clone());
            return Err(Refused::OtherAppliance { named, certified });
        }
        let (request, keys) = read(asked)?;
        let certify = |who: &_| authority.certify(who, &request, self.life, now);
        let enrolled = store.renew(caller, &keys, now, certify).await?;
        tracing::info!(site = enrolled.who.site, appliance = enrolled.who.appliance, "a certificate was renewed");
        Ok(self.reply(authority, enrolled))
    }

    fn reply(&self, authority: &Authority, enrolled: Enrolled) -> EnrollReply {
        EnrollReply {
            schema_version: SCHEMA_VERSION,
            site_id: enrolled.who.site,
            appliance: enrolled.who.appliance,
            certificate: enrolled.certificate,
            ca_certificate: authority.certificate().to_owned(),
            mcp_url: self.agents_url.clone(),
            mcp_public_keys: self.server_keys.clone(),
            renew_after: enrolled.renew_after,
        }
    }
}

/// The proved key of the request, and the keys that are pinned with it.
fn read(asked: &EnrollRequest) -> Result<(Request, Keys), Refused> {
    let field = "agent_public_key";
    let evidence = keys::public_from_hex(&asked.agent_public_key)
        .map_err(|source| Refused::Field { field, reason: source.to_string() })?;
    if evidence.is_weak() {
        return Err(Refused::Field { field, reason: "it is a weak key: make a new one".to_owned() });
    }
    let encryption = match asked.agent_encryption_key.as_str() {
        "" if asked.token.is_none() => None,
        text => Some(recipient(text).map_err(|reason| Refused::Field { field: "agent_encryption_key", reason })?),
    };
    let request = Request::read(&asked.csr).map_err(|source| Refused::Request { source })?;
    let keys = Keys {
        tls_sha256: request.key_sha256(),
        evidence: keys::public_to_hex(&evidence),
        encryption: encryption.map(|recipient| recipient.to_string()),
    };
    Ok((request, keys))
}

/// Reads a key that credentials are encrypted to, or says in words why it is none.
pub(crate) fn recipient(text: &str) -> Result<age::x25519::Recipient, String> {
    text.parse().map_err(|reason| format!("no X25519 recipient of age (age1...): {reason}"))
}
