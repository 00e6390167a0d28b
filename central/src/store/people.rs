//! People: who may log in, by password or by a one-time link. Every change leaves its row in the audit trail.

use super::audit::{self, Action, Actor, Entry};
use super::{Store, StoreError, during, text};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

/// A person as listed; never the password's hash.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct PersonRow {
    pub(crate) name: String,
    pub(crate) created_at: String,
    pub(crate) disabled_at: Option<String>,
    pub(crate) has_password: bool,
    pub(crate) last_login: Option<String>,
    /// Sessions that were not ended; some may have run out.
    pub(crate) sessions: i64,
}

/// What a login is judged by.
#[derive(Debug, FromRow)]
pub(crate) struct Credentials {
    /// The argon2id hash in PHC form.
    pub(crate) password: Option<String>,
    pub(crate) disabled: bool,
}

async fn end_access(tx: &mut Transaction<'_, Sqlite>, name: &str, except: &str) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM sessions WHERE person = $1 AND token_hash <> $2",
        "DELETE FROM login_links WHERE person = $1 AND used_at IS NULL AND token_hash <> $2",
    ] {
        let done = sqlx::query(statement).bind(name).bind(except).execute(&mut **tx).await;
        done.map_err(during("ending a person's sessions"))?;
    }
    Ok(())
}

impl Store {
    /// Adds a person, who can come in by link only until a password is set; false when the name is taken.
    pub(crate) async fn add_person(&self, name: &str, actor: &Actor, reason: &str) -> Result<bool, StoreError> {
        let doing = "adding a person";
        let mut tx = self.write(doing).await?;
        let done = sqlx::query("INSERT INTO people (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(text(actor.at))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        audit::record(&mut tx, &Entry { actor, action: Action::AddPerson, subject: name, done: true, reason }).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(true)
    }

    /// Disables a person, whose sessions and links end at once, or lets them in again. False when there is no
    /// such person.
    pub(crate) async fn set_disabled(
        &self,
        name: &str,
        disabled: bool,
        actor: &Actor,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let doing = "disabling or enabling a person";
        let mut tx = self.write(doing).await?;
        let since = disabled.then(|| text(actor.at));
        let done = sqlx::query("UPDATE people SET disabled_at = $2 WHERE name = $1")
            .bind(name)
            .bind(since)
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        if disabled {
            end_access(&mut tx, name, "").await?;
        }
        let action = if disabled { Action::DisablePerson } else { Action::EnablePerson };
        audit::record(&mut tx, &Entry { actor, action, subject: name, done: true, reason }).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(true)
    }

    /// Sets a person's password by its hash. Every session but `keep` (a session's hash, or empty) and every link
    /// ends. False when there is no such person.
    pub(crate) async fn set_password(
        &self,
        name: &str,
        hash: &str,
        keep: &str,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let doing = "setting a password";
        let mut tx = self.write(doing).await?;
        let done = sqlx::query("UPDATE people SET password = $2, password_set_at = $3 WHERE name = $1")
            .bind(name)
            .bind(hash)
            .bind(text(actor.at))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        end_access(&mut tx, name, keep).await?;
        let reason = "other sessions ended";
        audit::record(&mut tx, &Entry { actor, action: Action::SetPassword, subject: name, done: true, reason })
            .await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(true)
    }

    /// Ends every session of a person but `keep`, and every link.
    pub(crate) async fn end_other_sessions(&self, name: &str, keep: &str, actor: &Actor) -> Result<(), StoreError> {
        let doing = "ending a person's sessions";
        let mut tx = self.write(doing).await?;
        end_access(&mut tx, name, keep).await?;
        audit::record(&mut tx, &Entry { actor, action: Action::EndSessions, subject: name, done: true, reason: "" })
            .await?;
        tx.commit().await.map_err(during(doing))
    }

    /// What a login under this name is judged by.
    pub(crate) async fn person(&self, name: &str) -> Result<Option<Credentials>, StoreError> {
        sqlx::query_as("SELECT password, disabled_at IS NOT NULL AS disabled FROM people WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await
            .map_err(during("looking up a person"))
    }

    /// Everybody.
    pub(crate) async fn people(&self) -> Result<Vec<PersonRow>, StoreError> {
        sqlx::query_as(
            "SELECT name, created_at, disabled_at, password IS NOT NULL AS has_password,
                    (SELECT MAX(at) FROM audit WHERE who = name AND action = 'login' AND outcome = 'done') AS last_login,
                    (SELECT COUNT(*) FROM sessions WHERE person = name) AS sessions
             FROM people ORDER BY disabled_at IS NOT NULL, name",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing the people"))
    }

    /// Stores a link by its hash. False when there is no such person, or a disabled one.
    pub(crate) async fn add_link(
        &self,
        name: &str,
        hash: &str,
        expires: Timestamp,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let doing = "storing a login link";
        let mut tx = self.write(doing).await?;
        // Used and stale ones say nothing any more.
        sqlx::query("DELETE FROM login_links WHERE expires_at < $1")
            .bind(text(actor.at))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        let done = sqlx::query(
            "INSERT INTO login_links (token_hash, person, made_at, expires_at)
             SELECT $2, name, $3, $4 FROM people WHERE name = $1 AND disabled_at IS NULL",
        )
        .bind(name)
        .bind(hash)
        .bind(text(actor.at))
        .bind(text(expires))
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let reason = format!("good until {expires:.0}");
        audit::record(&mut tx, &Entry { actor, action: Action::LoginLink, subject: name, done: true, reason: &reason })
            .await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(true)
    }

    /// Whether a link would let its owner in now. Looking does not use it up.
    pub(crate) async fn link_holds(&self, hash: &str, now: Timestamp) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM login_links l JOIN people p ON p.name = l.person
             WHERE l.token_hash = $1 AND l.used_at IS NULL AND l.expires_at > $2 AND p.disabled_at IS NULL",
        )
        .bind(hash)
        .bind(text(now))
        .fetch_optional(&self.readers)
        .await
        .map_err(during("looking at a login link"))?;
        Ok(found.is_some())
    }

    /// Uses a link up; its person when it held, once.
    pub(crate) async fn use_link(&self, hash: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        let doing = "using a login link";
        let mut tx = self.write(doing).await?;
        let person = sqlx::query_scalar(
            "UPDATE login_links SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2
                 AND person IN (SELECT name FROM people WHERE disabled_at IS NULL)
             RETURNING person",
        )
        .bind(hash)
        .bind(text(now))
        .fetch_optional(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(person)
    }

    /// Notes where people find the pages.
    pub(crate) async fn set_people_door(&self, url: &str, now: Timestamp) -> Result<(), StoreError> {
        let doing = "noting where people find the pages";
        let mut tx = self.write(doing).await?;
        sqlx::query(
            "INSERT INTO people_door (id, url, since) VALUES (1, $1, $2)
             ON CONFLICT (id) DO UPDATE SET url = excluded.url, since = excluded.since",
        )
        .bind(url)
        .bind(text(now))
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))
    }

    /// Where people find the pages, as the last server said.
    pub(crate) async fn people_door(&self) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT url FROM people_door WHERE id = 1")
            .fetch_optional(&self.readers)
            .await
            .map_err(during("looking up where people find the pages"))
    }
}
