//! `nft -j list ruleset`, the format of libnftables-json(5).
//!
//! Expressions that only count, log or mark do not look at the packet; everything else that is not a verdict does.
//! iptables-nft's extensions appear as `xt`, with their name since nftables 1.0.2 and as null before.

use super::{Chain, Place, Rule, Ruleset, Verdict};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Why a listing is not one.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("what `nft -j list ruleset` printed is not its JSON ({source})")]
    NotJson {
        #[source]
        source: serde_json::Error,
    },
    #[error("what `nft -j list ruleset` printed has no \"nftables\" list with a \"metainfo\" in it")]
    NotAListing,
    #[error("`nft` listed a {kind} without the fields of one ({source})")]
    Object {
        kind: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct ListedChain {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct ListedRule {
    family: String,
    table: String,
    chain: String,
    expr: Vec<Value>,
}

/// The ruleset in a listing, and the hash of its rules.
pub fn parse(text: &str) -> Result<(Ruleset, String), NftError> {
    let listing: Value = serde_json::from_str(text).map_err(|source| NftError::NotJson { source })?;
    let objects = listing.get("nftables").and_then(Value::as_array).ok_or(NftError::NotAListing)?;
    if !objects.iter().any(|object| object.get("metainfo").is_some()) {
        return Err(NftError::NotAListing);
    }
    let mut ruleset = Ruleset::default();
    let dormant: Vec<(&Value, &Value)> = objects
        .iter()
        .filter_map(|object| object.get("table"))
        .filter(|table| table.get("flags").is_some_and(|flags| flags.to_string().contains("dormant")))
        .filter_map(|table| Some((table.get("family")?, table.get("name")?)))
        .collect();
    for object in objects {
        if let Some(value) = object.get("chain") {
            let listed =
                ListedChain::deserialize(value).map_err(|source| NftError::Object { kind: "chain", source })?;
            // The chains of a dormant table hang on no hook.
            let sleeps = dormant.iter().any(|(family, table)| **family == listed.family && **table == listed.table);
            let place = Place { family: listed.family, table: listed.table, chain: listed.name };
            let chain = ruleset.chains.entry(place).or_default();
            chain.hook = listed.hook.filter(|_| !sleeps);
            chain.policy_drops = listed.policy.as_deref() == Some("drop");
        } else if let Some(value) = object.get("rule") {
            let listed = ListedRule::deserialize(value).map_err(|source| NftError::Object { kind: "rule", source })?;
            let place = Place { family: listed.family, table: listed.table, chain: listed.chain };
            ruleset.chains.entry(place).or_insert_with(Chain::default).rules.push(rule(&listed.expr));
        }
    }
    Ok((ruleset, hash(objects)))
}

fn rule(expressions: &[Value]) -> Rule {
    let mut rule = Rule { conditional: false, verdict: Verdict::Continue };
    for expression in expressions {
        let Some((name, value)) = expression.as_object().and_then(|object| object.iter().next()) else {
            rule.conditional = true;
            continue;
        };
        let target = || value.get("target").and_then(Value::as_str).unwrap_or_default().to_owned();
        match name.as_str() {
            "accept" => rule.verdict = Verdict::Accept,
            "drop" | "reject" => rule.verdict = Verdict::Deny,
            "return" => rule.verdict = Verdict::Return,
            "jump" => rule.verdict = Verdict::Jump(target()),
            "goto" => rule.verdict = Verdict::Goto(target()),
            "queue" => rule.verdict = Verdict::Unclear("a queue to a program".to_owned()),
            "counter" | "log" | "notrack" | "mangle" | "set" | "map" | "continue" => {}
            "xt" => extension(&mut rule, value),
            _ => rule.conditional = true,
        }
    }
    rule
}

fn extension(rule: &mut Rule, value: &Value) {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    match (text("type"), text("name")) {
        (Some("target"), Some("REJECT")) => rule.verdict = Verdict::Deny,
        (Some("target"), Some("NFQUEUE" | "QUEUE")) => {
            rule.verdict = Verdict::Unclear("a queue to a program".to_owned());
        }
        (Some("target"), Some(_)) | (Some("match"), Some("comment")) => {}
        (Some(_), _) => rule.conditional = true,
        (None, _) => rule.verdict = Verdict::Unclear("an iptables extension that this nft does not name".to_owned()),
    }
}

/// SHA-256 of the listing without what changes by itself: counters, handles, the tool's own version.
fn hash(objects: &[Value]) -> String {
    let mut stable: Vec<Value> = objects.iter().filter(|object| object.get("metainfo").is_none()).cloned().collect();
    stable.iter_mut().for_each(forget_volatile);
    let digest = Sha256::digest(Value::from(stable).to_string());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn forget_volatile(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("handle");
            if let Some(counter) = fields.get_mut("counter") {
                *counter = Value::Null;
            }
            fields.values_mut().for_each(forget_volatile);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_volatile),
        _ => {}
    }
}
