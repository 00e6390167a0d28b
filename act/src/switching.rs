//! Requests about generations of NixOS: an order's signature and place in time, judged by root's own keys, before the
//! switch is recorded for its unit.

use crate::policy::SwitchPolicy;
use jiff::Timestamp;
use msp_agent_switch::places::Places;
use msp_agent_switch::profile;
use msp_agent_switch::record::{self, Asked, Record, State};
use msp_agent_switch::sequence::Turn;
use msp_agent_switch::{declared, now};
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::keys::{self, VerifyingKey};
use msp_contracts::order::{Order, OrderAction};
use msp_contracts::signed::CLOCK_TOLERANCE;
use msp_contracts::store_path::StorePath;
use std::path::Path;

fn trouble(error: &std::io::Error) -> String {
    format!("the records of switches: {error}")
}

fn trusted(policy: &SwitchPolicy) -> Result<Vec<VerifyingKey>, String> {
    let keys = policy.server_public_keys.iter();
    keys.map(|key| keys::public_from_hex(key).map_err(|error| format!("server_public_keys: {error}"))).collect()
}

/// The order, if it is one for this machine, to switch, to be carried out now and not older than the last one.
fn judged(
    policy: &SwitchPolicy,
    envelope: &str,
    highest: Option<u64>,
    now: Timestamp,
) -> Result<(Order, StorePath), String> {
    let envelope = Envelope::from_bytes(envelope.as_bytes()).map_err(|error| format!("this is no order: {error}"))?;
    let order =
        Order::verify(&envelope, &trusted(policy)?).map_err(|error| format!("the order is not signed: {error}"))?;
    let OrderAction::SwitchGeneration { store_path } = &order.action else {
        return Err(format!("order {} is not one to switch, but {}", order.order_id, order.action.class()));
    };
    let stamp = &order.stamp;
    if (stamp.site_id.as_str(), stamp.appliance.as_str()) != (policy.site_id.as_str(), policy.host_id.as_str()) {
        return Err(format!("order {} is for {} of {}", order.order_id, stamp.appliance, stamp.site_id));
    }
    if stamp.issued > now + CLOCK_TOLERANCE {
        return Err(format!("order {} is from the future ({})", order.order_id, stamp.issued));
    }
    if now >= order.execute_by {
        return Err(format!("order {} was to be carried out by {}", order.order_id, order.execute_by));
    }
    if let Some(highest) = highest.filter(|highest| stamp.sequence.0 <= *highest) {
        return Err(format!(
            "order {} is old: its sequence is {}, the last one taken was {highest}",
            order.order_id, stamp.sequence
        ));
    }
    let store_path = store_path.clone();
    Ok((order, store_path))
}

/// Why nothing is recorded, in words.
pub(crate) enum Denied {
    /// Nobody who asks knowingly asks for this.
    Refused(String),
    /// It could not be done just now: no news of anybody.
    NotNow(String),
}

impl From<String> for Denied {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

/// Records the switch that an order asks for, and answers its name.
///
/// # Errors
/// Why the order is not taken.
pub(crate) fn by_order(
    policy: &SwitchPolicy,
    places: &Places,
    envelope: &str,
    contact: bool,
) -> Result<String, Denied> {
    let turn = Turn::take(places).map_err(|error| Denied::NotNow(trouble(&error)))?;
    let highest = turn.highest().map_err(|error| trouble(&error))?;
    let (order, to) = judged(policy, envelope, highest, now())?;
    nothing_goes_on(places)?;
    let sequence = order.stamp.sequence.0;
    let id = order.order_id.to_string();
    let asked = Asked::Order { order_id: id.clone(), issued_by: order.issued_by, why: order.reason };
    put(places, &id, asked, to, contact)?;
    // Before it is used, which is to start its unit: what comes after a power cut must not use it a second time.
    turn.taken(sequence).map_err(|error| Denied::NotNow(trouble(&error)))?;
    Ok(id)
}

/// Records the switch back to the declared generation, and answers its name.
///
/// # Errors
/// In words, why there is none to go back to.
pub(crate) fn to_declared(places: &Places, request: &str, contact: bool) -> Result<String, Denied> {
    let _turn = Turn::take(places).map_err(|error| Denied::NotNow(trouble(&error)))?;
    nothing_goes_on(places)?;
    let declared = declared::read(places).map_err(|error| error.to_string())?;
    let none = || "no generation is declared: see `msp-agent generations accept`".to_owned();
    let to = declared.ok_or_else(none)?.store_path;
    let runs = |link: &Path| profile::leads_to(places, link).is_ok_and(|path| path == to);
    if runs(&places.current()) && runs(&places.profile()) {
        return Err(Denied::NotNow(format!("{to} runs already")));
    }
    let id = format!("back-{request}");
    if record::get(places, &id).map_err(|error| trouble(&error))?.is_some() {
        return Err(Denied::Refused(format!("switch {id} was asked for before")));
    }
    put(places, &id, Asked::Drift {}, to, contact)?;
    Ok(id)
}

/// The service manager did not take it: the next one must not wait for it.
pub(crate) fn not_begun(places: &Places, id: &str, reason: &str) {
    // Where its answer was lost, the unit may have begun.
    if let Ok(Some(record)) = record::get(places, id)
        && record.state == State::Asked
    {
        let over = Record { state: State::Failed, reason: Some(reason.to_owned()), ended_at: Some(now()), ..record };
        // Where even this cannot be written, the next restart of the machine ends it.
        drop(record::put(places, &over));
    }
}

/// Leaves the agent's word where the switch looks for it.
///
/// # Errors
/// In words, when no such switch waits for it.
pub(crate) fn confirm(places: &Places, id: &str) -> Result<(), String> {
    let found = record::get(places, id).map_err(|error| trouble(&error))?;
    if found.is_none_or(|record| record.state != State::Awaiting) {
        return Err(format!("no switch {id:?} waits for a confirmation"));
    }
    std::fs::write(places.confirmation(id), "").map_err(|error| trouble(&error))
}

fn nothing_goes_on(places: &Places) -> Result<(), Denied> {
    match record::open(places).map_err(|error| Denied::NotNow(trouble(&error)))? {
        None => Ok(()),
        Some(open) => {
            Err(Denied::NotNow(format!("switch {} goes on ({}): one at a time", open.id, open.state.as_str())))
        }
    }
}

fn put(places: &Places, id: &str, asked: Asked, to: StorePath, contact: bool) -> Result<(), Denied> {
    let record = Record { contact, ..Record::new(places, id, asked, to) };
    record::put(places, &record).map_err(|error| Denied::NotNow(trouble(&error)))
}
