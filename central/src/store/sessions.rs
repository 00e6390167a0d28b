//! Sessions: known by the hash of their token, ended by their owner, by silence or by age.
//!
//! A session counts only while its person is not disabled; that is asked with every request.

use super::audit::{self, Action, Actor, Entry};
use super::{Store, StoreError, during, text};
use jiff::{SignedDuration, Timestamp};
use sqlx::FromRow;

/// After this long without a request a session is over.
pub(crate) const IDLE: SignedDuration = SignedDuration::from_mins(30);
/// However busy, a session ends after this long.
pub(crate) const ABSOLUTE: SignedDuration = SignedDuration::from_hours(12);
/// How exactly a session's last request is known: not every page is worth a write.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A session that holds.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SessionRow {
    pub(crate) person: String,
    pub(crate) began_at: String,
    pub(crate) seen_at: String,
    pub(crate) came_by: String,
    pub(crate) address: String,
}

/// How somebody came in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CameBy {
    Password,
    Link,
}

impl CameBy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Link => "link",
        }
    }
}

fn ago(now: Timestamp, span: SignedDuration) -> String {
    text(now.saturating_sub(span).unwrap_or(Timestamp::MIN))
}

impl Store {
    /// Begins a session for a person who has just proved who they are; `before` (a session's hash) ends.
    pub(crate) async fn begin_session(
        &self,
        hash: &str,
        actor: &Actor,
        came_by: CameBy,
        before: Option<&str>,
    ) -> Result<(), StoreError> {
        let doing = "beginning a session";
        let mut tx = self.write(doing).await?;
        sqlx::query("DELETE FROM sessions WHERE token_hash = $1 OR seen_at < $2 OR began_at < $3")
            .bind(before)
            .bind(ago(actor.at, IDLE))
            .bind(ago(actor.at, ABSOLUTE))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        sqlx::query(
            "INSERT INTO sessions (token_hash, person, began_at, seen_at, came_by, address)
             VALUES ($1, $2, $3, $3, $4, $5)",
        )
        .bind(hash)
        .bind(&actor.name)
        .bind(text(actor.at))
        .bind(came_by.as_str())
        .bind(&actor.address)
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        let reason = format!("by {}", came_by.as_str());
        audit::record(
            &mut tx,
            &Entry { actor, action: Action::Login, subject: &actor.name, done: true, reason: &reason },
        )
        .await?;
        tx.commit().await.map_err(during(doing))
    }

    /// The session with this hash, if it holds. `seen` counts as a request of its person.
    pub(crate) async fn session(
        &self,
        hash: &str,
        now: Timestamp,
        seen: bool,
    ) -> Result<Option<SessionRow>, StoreError> {
        let doing = "looking up a session";
        let found: Option<SessionRow> = sqlx::query_as(
            "SELECT s.person, s.began_at, s.seen_at, s.came_by, s.address FROM sessions s
             JOIN people p ON p.name = s.person
             WHERE s.token_hash = $1 AND s.seen_at >= $2 AND s.began_at >= $3 AND p.disabled_at IS NULL",
        )
        .bind(hash)
        .bind(ago(now, IDLE))
        .bind(ago(now, ABSOLUTE))
        .fetch_optional(&self.readers)
        .await
        .map_err(during(doing))?;
        if let Some(session) = &found
            && seen
            && session.seen_at < ago(now, SEEN_EVERY)
        {
            let mut tx = self.write(doing).await?;
            sqlx::query("UPDATE sessions SET seen_at = $2 WHERE token_hash = $1")
                .bind(hash)
                .bind(text(now))
                .execute(&mut *tx)
                .await
                .map_err(during(doing))?;
            tx.commit().await.map_err(during(doing))?;
        }
        Ok(found)
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, hash: &str, actor: &Actor) -> Result<(), StoreError> {
        let doing = "ending a session";
        let mut tx = self.write(doing).await?;
        sqlx::query("DELETE FROM sessions WHERE token_hash = $1")
            .bind(hash)
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        audit::record(&mut tx, &Entry { actor, action: Action::Logout, subject: &actor.name, done: true, reason: "" })
            .await?;
        tx.commit().await.map_err(during(doing))
    }

    /// The sessions of a person, the latest first.
    pub(crate) async fn sessions_of(&self, name: &str, now: Timestamp) -> Result<Vec<SessionRow>, StoreError> {
        sqlx::query_as(
            "SELECT person, began_at, seen_at, came_by, address FROM sessions
             WHERE person = $1 AND seen_at >= $2 AND began_at >= $3 ORDER BY began_at DESC",
        )
        .bind(name)
        .bind(ago(now, IDLE))
        .bind(ago(now, ABSOLUTE))
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing a person's sessions"))
    }
}
