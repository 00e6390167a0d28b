//! `order show`: one order with everything that is known of it.

use super::super::{Dir, Refused, print_json, table};
use crate::clock;
use crate::directory::{self, Readers};
use msp_contracts::ids::OrderId;
use msp_contracts::order::OrderAction;
use std::io::Write;
use std::path::Path;

pub(super) async fn run(
    dir: &Dir,
    id: &OrderId,
    json: bool,
    file: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let store = dir.store().await?;
    let row = store.order(id, clock::now()).await?;
    store.close().await;
    let row = row.ok_or_else(|| {
        let dir = dir.dir.display();
        Refused(format!("no order {id}: `msp-central order list --dir {dir}` shows those that were issued"))
    })?;
    if let Some(file) = file {
        directory::write_new(file, &row.envelope, Readers::All)?;
    }
    if json {
        return print_json(out, &row);
    }
    let order = &row.order;
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "not".to_owned());
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<14}{}", table::printable(value));
    line("Order", order.order_id.as_str())?;
    line("State", row.state.as_str())?;
    line("Appliance", &format!("{}/{}", order.stamp.site_id, order.stamp.appliance))?;
    line("What", &summary(&order.action))?;
    line("By", &order.issued_by)?;
    line("Reason", &order.reason)?;
    line("Sequence", &order.stamp.sequence.to_string())?;
    line("Made for", &format!("state {}", order.chain))?;
    line("Issued", &order.stamp.issued.to_string())?;
    line("Expires", &order.stamp.expires.to_string())?;
    line("Execute by", &order.execute_by.to_string())?;
    line("Acknowledged", &time(&row.acknowledged_at))?;
    line("Completed", &time(&row.completed_at))?;
    line("Revoked", &time(&row.revoked_at))?;
    if let Some(completion) = &row.completion {
        line("Done", if completion.success { "yes" } else { "no" })?;
        line("Result", &completion.result.to_string())?;
        line("Error", completion.error_message.as_deref().unwrap_or("none"))?;
    }
    Ok(())
}

/// What an order asks for, in a line.
pub(super) fn summary(action: &OrderAction) -> String {
    let class = action.class();
    let any = |text: &Option<String>, all: &str| text.clone().unwrap_or_else(|| all.to_owned());
    match action {
        OrderAction::RunRunbook { runbook_id, host_id, parameters } => {
            let parameters: String = parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{class} {runbook_id} on {host_id}{parameters}")
        }
        OrderAction::RunCheck { host_id, check_type } => {
            format!("{class} {} on {}", any(check_type, "every check"), any(host_id, "every machine"))
        }
        OrderAction::SyncNow {} => class.to_owned(),
        OrderAction::SetDryRun { dry_run: on } | OrderAction::KillSwitch { engaged: on } => {
            format!("{class} {}", if *on { "on" } else { "off" })
        }
        OrderAction::RotateKeys { server_public_keys } => format!("{class} to {}", server_public_keys.join(", ")),
        OrderAction::SwitchGeneration { store_path } => format!("{class} to {store_path}"),
        OrderAction::Revoke { order_id } => format!("{class} {order_id}"),
    }
}
