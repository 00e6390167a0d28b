//! What an appliance would refuse, found before it is signed.
//!
//! A runbook must be one that the agents ship, with parameters that its schema lists; a machine must be in the
//! site's inventory, under its exact address or name, and be looked after by the appliance that is asked; keys
//! must be keys, and among them the one that this server signs with.

use super::lint_error::LintError;
use super::{DISRUPTIVE_WITHIN, IssueError, NewOrder, Times};
use crate::clock;
use crate::fleet::Appliance;
use crate::signing::Signer;
use crate::store::{CannotOrder, Store};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::keys;
use msp_contracts::order::OrderAction;
use msp_rules::{APPLIANCE, Catalogue, Disruption, did_you_mean};
use std::collections::{BTreeMap, HashSet};

/// The runbook that the order to switch has for itself.
const SWITCH: &str = "RB-HOST-SWITCH-001";
/// The longest reason, in characters.
const MAX_REASON: usize = 500;
/// The longest name of a person, in characters.
const MAX_NAME: usize = 100;
/// The longest time in which an order may be accepted.
const MAX_EXPIRES_IN: SignedDuration = SignedDuration::from_hours(24);
/// The longest time in which an order may be carried out.
const MAX_EXECUTE_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Checks that the appliance is registered.
pub(super) async fn who(store: &Store, who: &Appliance) -> Result<(), IssueError> {
    if store.knows(who).await? { Ok(()) } else { Err(CannotOrder::UnknownAppliance { who: who.clone() }.into()) }
}

/// Checks what people wrote.
pub(super) fn words(issued_by: &str, reason: &str) -> Result<(), LintError> {
    text("the reason", reason, MAX_REASON)?;
    text("the name of who asks", issued_by, MAX_NAME)
}

fn text(what: &'static str, text: &str, longest: usize) -> Result<(), LintError> {
    let fits = !text.trim().is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(LintError::Text { what, longest }) }
}

/// Checks an order, and answers its times.
pub(super) async fn order(
    store: &Store,
    signer: &Signer,
    who: &Appliance,
    new: &NewOrder,
    now: Timestamp,
) -> Result<Times, IssueError> {
    words(&new.issued_by, &new.reason)?;
    let mut times = Times::usual(new, now);
    match &new.action {
        OrderAction::RunRunbook { runbook_id, host_id, parameters } => {
            let (platform, disruption) = runbook(runbook_id, parameters)?;
            if platform == APPLIANCE {
                itself(who, runbook_id, host_id)?;
            } else {
                target(store, who, host_id, false).await?;
            }
            if disruption > Disruption::None && new.execute_by.is_none() {
                times.execute_by = clock::after(now, DISRUPTIVE_WITHIN).max(times.expires);
            }
        }
        OrderAction::SwitchGeneration { .. } if new.execute_by.is_none() => {
            times.execute_by = clock::after(now, DISRUPTIVE_WITHIN).max(times.expires);
        }
        OrderAction::RunCheck { host_id: Some(host_id), .. } => target(store, who, host_id, true).await?,
        OrderAction::RotateKeys { server_public_keys } => trusted(signer, server_public_keys)?,
        OrderAction::KillSwitch { engaged } => kill_switch(store, who, *engaged).await?,
        OrderAction::RunCheck { host_id: None, .. }
        | OrderAction::SwitchGeneration { .. }
        | OrderAction::SyncNow {}
        | OrderAction::SetDryRun { .. }
        | OrderAction::Revoke { .. } => {}
    }
    within(new, times, now)?;
    Ok(times)
}

fn within(new: &NewOrder, times: Times, now: Timestamp) -> Result<(), LintError> {
    let allowed = SignedDuration::from_secs(1)..=MAX_EXPIRES_IN;
    if let Some(found) = new.expires_in.filter(|span| !allowed.contains(span)) {
        return Err(LintError::ExpiresIn { found });
    }
    let latest = clock::after(now, MAX_EXECUTE_WITHIN);
    if times.execute_by < times.expires || times.execute_by > latest {
        return Err(LintError::ExecuteBy { found: times.execute_by, after: times.expires });
    }
    Ok(())
}

fn hint<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(typed, known).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

fn runbook(id: &str, parameters: &BTreeMap<String, String>) -> Result<(String, Disruption), LintError> {
    let catalogue = Catalogue::builtin().map_err(|source| LintError::Data { source })?;
    let runbook = catalogue.admit(id, parameters)?;
    Ok((runbook.platform.clone(), runbook.disruptive))
}

/// Checks that a runbook of the appliance is asked for on the appliance itself.
fn itself(who: &Appliance, runbook: &str, host: &str) -> Result<(), LintError> {
    if runbook == SWITCH {
        return Err(LintError::OwnClass { runbook: runbook.to_owned() });
    }
    if host == who.appliance {
        return Ok(());
    }
    let (runbook, host, appliance) = (runbook.to_owned(), host.to_owned(), who.appliance.clone());
    Err(LintError::NotTheAppliance { runbook, host, appliance })
}

/// Checks that a machine is one that the appliance looks after; with `itself`, it may be the appliance.
async fn target(store: &Store, who: &Appliance, host: &str, itself: bool) -> Result<(), IssueError> {
    if itself && host == who.appliance {
        return Ok(());
    }
    let targets = store.owned_targets(&who.site).await?;
    let named = |name: &str, address: Option<&str>| name == host || address == Some(host);
    let Some(row) = targets.iter().find(|row| named(&row.target.hostname, row.target.ip_address.as_deref())) else {
        let hint = hint(host, targets.iter().map(|row| row.target.hostname.as_str()));
        return Err(LintError::UnknownTarget { host: host.to_owned(), site: who.site.clone(), hint }.into());
    };
    match row.owner.as_deref() {
        Some(owner) if owner != who.appliance => {
            let (host, asked) = (host.to_owned(), who.appliance.clone());
            Err(LintError::OtherOwner { host, owner: owner.to_owned(), asked }.into())
        }
        _ => Ok(()),
    }
}

fn trusted(signer: &Signer, listed: &[String]) -> Result<(), LintError> {
    let mut seen = HashSet::new();
    for key in listed {
        let bad = |reason: String| LintError::Key { key: key.chars().take(80).collect(), reason };
        let parsed = keys::public_from_hex(key).map_err(|error| bad(error.to_string()))?;
        if parsed.is_weak() {
            return Err(bad("it is weak: everybody can sign for it".to_owned()));
        }
        if !seen.insert(keys::public_to_hex(&parsed)) {
            return Err(bad("it stands twice".to_owned()));
        }
    }
    let own = keys::public_to_hex(&signer.public());
    if seen.contains(&own) { Ok(()) } else { Err(LintError::OwnKeyMissing { own }) }
}

async fn kill_switch(store: &Store, who: &Appliance, engaged: bool) -> Result<(), IssueError> {
    let wanted = store.kill_switch_of(who).await?.is_some();
    if wanted == engaged {
        return Ok(());
    }
    let (state, instead) = if wanted { ("engaged", "release") } else { ("not engaged", "engage") };
    Err(LintError::KillSwitch { who: who.clone(), state, instead }.into())
}
