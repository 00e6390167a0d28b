//! The audit trail: who did what, when, from where and why. Rows are added, and the table refuses anything else.
//!
//! An action's row is written in the transaction of the action, so that neither can be there alone.

use super::{Store, StoreError, during, text};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

/// How many characters of a text that somebody typed are kept.
const LONGEST: usize = 300;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Login,
    /// Further attempts are refused unread for a while.
    LoginLimited,
    LoginLink,
    Logout,
    EndSessions,
    AddPerson,
    DisablePerson,
    EnablePerson,
    SetPassword,
    IssueOrder,
    RevokeOrder,
    EngageKillSwitch,
    ReleaseKillSwitch,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginLimited => "login limited",
            Self::LoginLink => "login link",
            Self::Logout => "logout",
            Self::EndSessions => "end sessions",
            Self::AddPerson => "add person",
            Self::DisablePerson => "disable person",
            Self::EnablePerson => "enable person",
            Self::SetPassword => "set password",
            Self::IssueOrder => "issue order",
            Self::RevokeOrder => "revoke order",
            Self::EngageKillSwitch => "engage kill switch",
            Self::ReleaseKillSwitch => "release kill switch",
        }
    }
}

/// Who acts, from where and when.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// The person; on the command line, the account of the operating system it runs under.
    pub(crate) name: String,
    /// The network address, or `command line`.
    pub(crate) address: String,
    pub(crate) at: Timestamp,
}

/// One row to be.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) actor: &'a Actor,
    pub(crate) action: Action,
    /// Whom or what it was done to.
    pub(crate) subject: &'a str,
    /// Whether it was done; else it was refused.
    pub(crate) done: bool,
    /// Why, in the person's words or ours.
    pub(crate) reason: &'a str,
}

/// A row as it is listed.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct AuditRow {
    pub(crate) id: i64,
    pub(crate) at: String,
    pub(crate) who: String,
    pub(crate) address: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) outcome: String,
    pub(crate) reason: String,
}

/// Without control characters, and not longer than what is kept.
fn clean(typed: &str) -> String {
    typed.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Adds a row, valid once the transaction is committed.
pub(super) async fn record(tx: &mut Transaction<'_, Sqlite>, entry: &Entry<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (at, who, address, action, subject, outcome, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(text(entry.actor.at))
    .bind(clean(&entry.actor.name))
    .bind(clean(&entry.actor.address))
    .bind(entry.action.as_str())
    .bind(clean(entry.subject))
    .bind(if entry.done { "done" } else { "refused" })
    .bind(clean(entry.reason))
    .execute(&mut **tx)
    .await
    .map_err(during("adding to the audit trail"))?;
    Ok(())
}

impl Store {
    /// Adds a row about something that changed nothing else in the store.
    pub(crate) async fn audit(&self, entry: &Entry<'_>) -> Result<(), StoreError> {
        let doing = "adding to the audit trail";
        let mut tx = self.write(doing).await?;
        record(&mut tx, entry).await?;
        tx.commit().await.map_err(during(doing))
    }

    /// At most `limit` rows with an id below `before`, the newest first; of one person when named.
    pub(crate) async fn audit_rows(
        &self,
        who: Option<&str>,
        before: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        sqlx::query_as(
            "SELECT id, at, who, address, action, subject, outcome, reason FROM audit
             WHERE who = COALESCE($1, who) AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(who)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during("reading the audit trail"))
    }

    /// Whether this person has logged in from this address since.
    pub(crate) async fn came_from(&self, name: &str, address: &str, since: Timestamp) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM audit WHERE who = $1 AND address = $2 AND action = 'login' AND outcome = 'done'
             AND at >= $3 LIMIT 1",
        )
        .bind(name)
        .bind(address)
        .bind(text(since))
        .fetch_optional(&self.readers)
        .await
        .map_err(during("looking for earlier logins"))?;
        Ok(found.is_some())
    }
}
