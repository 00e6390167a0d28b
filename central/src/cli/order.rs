//! `order`: what is asked of one appliance, signed, and what became of it.
//!
//! The command writes to the same database as a running server, which serves the order from then on.

mod show;

use super::{Dir, Refused, asker, person, print_json, table};
use crate::clock;
use crate::directory::{self, Readers};
use crate::fleet::Appliance;
use crate::orders::{self, NewOrder};
use crate::signing::Signer;
use crate::store::{Action, Entry, OrderFilter, OrderRow, OrderState};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::ids::OrderId;
use msp_contracts::order::OrderAction;
use msp_contracts::store_path::StorePath;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

const EXAMPLE: &str = "\
Example: the firewall of DC01 is to be looked at and mended now.
  msp-central order issue --dir /var/lib/msp-central clinic-a apl-1 \\
    run-runbook RB-WIN-FIREWALL-001 --host DC01 --reason 'ticket 4711'
  msp-central order list --dir /var/lib/msp-central --site clinic-a
  msp-central order show --dir /var/lib/msp-central ORD-0123456789ab";

const ISSUE_EXAMPLE: &str = "\
Examples:
  msp-central order issue --dir /var/lib/msp-central clinic-a apl-1 \\
    run-runbook RB-WIN-SVC-001 --host 192.168.10.5 --parameter service=DNS \\
    --reason 'ticket 4711' --execute-by 36h
  msp-central order issue --dir /var/lib/msp-central clinic-a apl-1 \\
    run-check --check firewall --reason 'after the update'
  msp-central order issue --dir /var/lib/msp-central clinic-a apl-1 \\
    revoke ORD-0123456789ab --reason 'no longer needed'

An order is accepted until it expires (15 minutes, unless --expires-in says otherwise; an agent allows no \
more than its order_ttl). Once accepted, one that disturbs people waits for the maintenance window until \
--execute-by (24 hours). The order is signed only if the appliance could carry it out: runbook and \
parameters as the agents know them, a server that it looks after.";

/// `order ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLE)]
pub(super) enum Command {
    /// Sign an order; the appliance fetches it at its next check-in
    #[command(after_help = ISSUE_EXAMPLE)]
    Issue {
        #[command(flatten)]
        dir: Dir,
        /// The site's id
        #[arg(value_name = "SITE")]
        site: String,
        /// The appliance's id
        #[arg(value_name = "APPLIANCE")]
        appliance: String,
        #[command(subcommand)]
        what: What,
    },
    /// List the orders, the latest first
    #[command(after_help = "Example:\n  msp-central order list --dir /var/lib/msp-central --state pending")]
    List {
        #[command(flatten)]
        dir: Dir,
        /// Of this site only
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// Of this appliance only
        #[arg(long, value_name = "APPLIANCE", requires = "site")]
        appliance: Option<String>,
        /// In this state only
        #[arg(long, value_name = "STATE")]
        state: Option<OrderState>,
        /// Show at most this many, the latest
        #[arg(long, value_name = "N", default_value_t = u32::MAX, hide_default_value = true)]
        limit: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one order, with what became of it
    #[command(after_help = "Example:\n  msp-central order show --dir /var/lib/msp-central ORD-0123456789ab")]
    Show {
        #[command(flatten)]
        dir: Dir,
        /// The order's id
        #[arg(value_name = "ID", value_parser = order_id)]
        id: OrderId,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Write the signed envelope to a new file
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Run a runbook on one server, or one of the appliance's own on the appliance, if its check sees drift there
    RunRunbook {
        /// The runbook's id
        #[arg(value_name = "RUNBOOK")]
        runbook: String,
        /// The server: its address, or its name, as `msp-central targets list` shows it; or the appliance's id
        #[arg(long, value_name = "HOST")]
        host: String,
        /// A parameter of the runbook; may be given several times
        #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE", value_parser = parameter)]
        parameters: Vec<(String, String)>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Make checks now instead of at their next turn
    RunCheck {
        /// The server, or the appliance's own id; every machine when left out
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        /// The check; every check when left out
        #[arg(long, value_name = "CHECK")]
        check: Option<String>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Check in and fetch the rules now
    SyncNow {
        #[command(flatten)]
        terms: Terms,
    },
    /// Only say what would be done (on), or do it again (off)
    SetDryRun {
        /// on or off
        #[arg(value_name = "on|off", value_parser = on_or_off, action = clap::ArgAction::Set)]
        dry_run: bool,
        #[command(flatten)]
        terms: Terms,
    },
    /// The kill switch as a signed order, for an appliance that is sent it as a file; see also `msp-central kill-switch`
    KillSwitch {
        /// on (engaged) or off (released), as `msp-central kill-switch` has set it
        #[arg(value_name = "on|off", value_parser = on_or_off, action = clap::ArgAction::Set)]
        engaged: bool,
        #[command(flatten)]
        terms: Terms,
    },
    /// The public keys to trust from now on, instead of those before
    RotateKeys {
        /// 64 hexadecimal characters each; one must be this server's own (signing.pub)
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Switch the appliance to another system of NixOS; back by itself unless the agent confirms it
    SwitchGeneration {
        /// The system's path in the store, signed by a key that the appliance's nix trusts
        #[arg(value_name = "STORE_PATH", value_parser = store_path)]
        store_path: StorePath,
        #[command(flatten)]
        terms: Terms,
    },
    /// Take back an order that was not begun
    Revoke {
        /// The order's id
        #[arg(value_name = "ID", value_parser = order_id)]
        order: OrderId,
        #[command(flatten)]
        terms: Terms,
    },
}

/// In whose name, why and until when.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// Why; it goes into evidence
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    by: asker::By,
    /// How long it may be accepted, for example 15m
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires_in: Option<SignedDuration>,
    /// Until when it may be carried out: a span from now such as 36h, or a time with its zone
    #[arg(long, value_name = "SPAN|TIME")]
    execute_by: Option<Deadline>,
    /// Also write the signed envelope to a new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the order as JSON
    #[arg(long)]
    json: bool,
}

/// A time, or a span from now.
#[derive(Debug, Clone, Copy)]
enum Deadline {
    At(Timestamp),
    In(SignedDuration),
}

impl FromStr for Deadline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.parse().map(Self::At);
        time.or_else(|_| span(text).map(Self::In))
            .map_err(|_| format!("{text:?} is neither a span (36h) nor a time with its zone (2026-01-02T03:00:00Z)"))
    }
}

fn span(text: &str) -> Result<SignedDuration, String> {
    text.parse().map_err(|_| format!("{text:?} is no span of time: write 90s, 15m or 36h"))
}

fn order_id(text: &str) -> Result<OrderId, String> {
    OrderId::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn store_path(text: &str) -> Result<StorePath, String> {
    StorePath::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

impl What {
    fn split(self) -> Result<(OrderAction, Terms), Refused> {
        Ok(match self {
            Self::RunRunbook { runbook, host, parameters, terms } => {
                let mut map = std::collections::BTreeMap::new();
                for (name, value) in parameters {
                    if map.insert(name.clone(), value).is_some() {
                        return Err(Refused(format!("parameter {name} was given twice: give it once")));
                    }
                }
                (OrderAction::RunRunbook { runbook_id: runbook, host_id: host, parameters: map }, terms)
            }
            Self::RunCheck { host, check, terms } => {
                (OrderAction::RunCheck { host_id: host, check_type: check }, terms)
            }
            Self::SyncNow { terms } => (OrderAction::SyncNow {}, terms),
            Self::SetDryRun { dry_run, terms } => (OrderAction::SetDryRun { dry_run }, terms),
            Self::KillSwitch { engaged, terms } => (OrderAction::KillSwitch { engaged }, terms),
            Self::RotateKeys { keys, terms } => (OrderAction::RotateKeys { server_public_keys: keys }, terms),
            Self::SwitchGeneration { store_path, terms } => (OrderAction::SwitchGeneration { store_path }, terms),
            Self::Revoke { order, terms } => (OrderAction::Revoke { order_id: order }, terms),
        })
    }
}

pub(super) async fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Issue { dir, site, appliance, what } => {
            let who = Appliance::new(&site, &appliance).map_err(|error| Refused(error.to_string()))?;
            let (action, terms) = what.split()?;
            issue(&dir, &who, action, &terms, out).await
        }
        Command::List { dir, site, appliance, state, limit, json } => {
            let store = dir.store().await?;
            if let Some(site) = &site {
                super::Site { site: site.clone() }.registered(&store).await?;
            }
            let filter = OrderFilter { site: site.as_deref(), appliance: appliance.as_deref(), state };
            let rows = store.orders(filter, limit, clock::now()).await?;
            store.close().await;
            list(&rows, json, out)
        }
        Command::Show { dir, id, json, out: file } => show::run(&dir, &id, json, file.as_deref(), out).await,
    }
}

async fn issue(
    dir: &Dir,
    who: &Appliance,
    action: OrderAction,
    terms: &Terms,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let now = clock::now();
    let execute_by = terms.execute_by.map(|deadline| match deadline {
        Deadline::At(time) => time,
        Deadline::In(span) => clock::after(now, span),
    });
    let store = dir.store().await?;
    super::Site { site: who.site.clone() }.registered(&store).await?;
    let signer = Signer::load(&dir.directory())?;
    let new =
        NewOrder { expires_in: terms.expires_in, execute_by, ..NewOrder::new(action, terms.by.name(), &terms.reason) };
    let row = orders::issue(&store, &signer, who, new, now).await?;
    let (actor, subject) = (person::actor(&terms.by), who.to_string());
    let action = if row.order.action.class() == "revoke" { Action::RevokeOrder } else { Action::IssueOrder };
    let reason = format!("{}, {}: {}", row.order.order_id, row.order.action.class(), terms.reason);
    store.audit(&Entry { actor: &actor, action, subject: &subject, done: true, reason: &reason }).await?;
    store.close().await;
    if let Some(file) = &terms.out {
        directory::write_new(file, &row.envelope, Readers::All)?;
    }
    if terms.json {
        return print_json(out, &row);
    }
    let order = &row.order;
    writeln!(out, "Issued {} ({}) to {who}, sequence {}.", order.order_id, order.action.class(), order.stamp.sequence)?;
    writeln!(out, "It is accepted until {}, and carried out by {}.", order.stamp.expires, order.execute_by)?;
    if let Some(file) = &terms.out {
        writeln!(out, "Its signed envelope is in {}.", file.display())?;
    }
    Ok(())
}

fn list(rows: &[OrderRow], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        return print_json(out, &rows);
    }
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let order = &row.order;
            vec![
                row.state.to_string(),
                order.order_id.to_string(),
                format!("{}/{}", order.stamp.site_id, order.stamp.appliance),
                show::summary(&order.action),
                order.issued_by.clone(),
                order.reason.clone(),
                format!("{:.0}", order.stamp.issued),
            ]
        })
        .collect();
    let heads = ["State", "Order", "Appliance", "What", "By", "Reason", "Issued"];
    table::print(out, &heads, &rows, "No order was issued.")
}
