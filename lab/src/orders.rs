//! The round's orders: one that the agent carries out, and one that it refuses although Central Command signed it.

use crate::clinic::{Clinic, SITE};
use crate::process::{output, succeed};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The lab's appliance.
const APPLIANCE: &str = "appliance-1";
/// How long an order may take from issue to end, and how often the agent is asked.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// What became of one order.
#[derive(Debug, Serialize)]
pub struct Ordered {
    /// `ORD-` and twelve hexadecimal digits.
    pub order_id: String,
    /// What it asked for.
    pub class: String,
    /// How it ended at the agent: `done`, `refused`, ...
    pub state: String,
    /// Why it was not carried out.
    pub reason: Option<String>,
    /// The bundle that proves it.
    pub evidence_id: Option<String>,
    /// Whether Central Command knows how it ended.
    pub reported: bool,
}

/// One order as `msp-agent orders list --json` lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    order_id: String,
    state: String,
    class: Option<String>,
    reason: Option<String>,
}

/// Central Command signs `what`; waits until it is over at the agent and Central Command was told.
///
/// # Errors
/// When the order cannot be signed, or is not over in time.
pub async fn give(clinic: &Clinic, what: &[&str]) -> anyhow::Result<Ordered> {
    let dir = clinic.central_dir();
    let issue = ["order", "issue", "--dir", &dir, SITE, APPLIANCE];
    let terms = ["--by", "lab", "--json"];
    let printed = succeed("msp-central", &[&issue[..], what, &terms[..]].concat()).await?;
    let issued: Value = serde_json::from_slice(&printed).context("reading the order")?;
    let id = issued["order_id"].as_str().context("an order without an id")?.to_owned();
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        tokio::time::sleep(LOOK).await;
        let Some(listed) = listed(clinic, &id).await? else { continue };
        let reported = reported(&dir, &id).await?;
        if matches!(listed.state.as_str(), "accepted" | "begun") || !reported {
            continue;
        }
        return Ok(Ordered {
            order_id: listed.order_id,
            class: listed.class.unwrap_or_default(),
            state: listed.state,
            reason: listed.reason,
            evidence_id: evidence(clinic, &id).await?,
            reported,
        });
    }
    bail!("order {id} was not over within {PATIENCE:?}")
}

async fn listed(clinic: &Clinic, id: &str) -> anyhow::Result<Option<Listed>> {
    #[derive(Deserialize)]
    struct Document {
        orders: Vec<Listed>,
    }
    let printed = succeed("msp-agent", &["orders", "list", "--json", "--config", &clinic.config()]).await?;
    let document: Document = serde_json::from_slice(&printed).context("reading the agent's orders")?;
    Ok(document.orders.into_iter().find(|one| one.order_id == id))
}

/// Whether Central Command knows how the order ended.
async fn reported(dir: &str, id: &str) -> anyhow::Result<bool> {
    let printed = succeed("msp-central", &["order", "show", "--dir", dir, id, "--json"]).await?;
    let order: Value = serde_json::from_slice(&printed).context("reading Central Command's order")?;
    Ok(matches!(order["state"].as_str(), Some("completed" | "refused")))
}

/// The bundle about this order.
async fn evidence(clinic: &Clinic, id: &str) -> anyhow::Result<Option<String>> {
    let config = clinic.config();
    let printed = succeed("msp-agent", &["evidence", "list", "--json", "--config", &config]).await?;
    let listed: Value = serde_json::from_slice(&printed).context("reading the agent's evidence")?;
    let bundles = listed["evidence"].as_array().context("the agent lists no evidence")?;
    for bundle in bundles.iter().filter(|one| one["kind"] == "order") {
        let bundle_id = bundle["bundle_id"].as_str().context("a bundle without an id")?;
        let (_, shown) = output("msp-agent", &["evidence", "show", bundle_id, "--config", &config]).await?;
        let shown: Value = serde_json::from_slice(&shown).context("reading a bundle")?;
        if shown["plan"]["parameters"]["order_id"] == id {
            return Ok(Some(bundle_id.to_owned()));
        }
    }
    Ok(None)
}
