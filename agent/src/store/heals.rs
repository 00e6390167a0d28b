//! What the guard counts: the executions that were begun on a machine, as opposed to refusals and escalations.
//!
//! Everything is computed from the executions that are stored anyway, so that limits survive a restart. What
//! lies in the future was written by a clock that was ahead and does not count.

use super::evidence::time;
use super::statuses::Key;
use super::{Doing, StoreError};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

/// A heal that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub host_id: String,
    pub at: Timestamp,
}

/// How a heal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The word of [`msp_contracts::outcome::Detail`].
    pub detail: String,
    pub at: Timestamp,
}

/// A bound for a range over stored times: their text sorts by the second, and within a second it does not, because
/// fractions are written as short as they are. `seconds` widens the range to whole seconds.
fn bound(at: Timestamp, seconds: i64) -> String {
    let whole = at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(at);
    let text = whole.to_string();
    text.split(['.', 'Z']).next().unwrap_or_default().to_owned()
}

/// The heals begun later than `from` and not later than `to`, on every machine.
pub fn begun(db: &Connection, from: Timestamp, to: Timestamp) -> Result<Vec<Begun>, StoreError> {
    let doing = "counting heals";
    let mut statement = db
        .prepare_cached(
            "SELECT host_id, started_at FROM executions WHERE plan <> 'null' AND started_at >= ?1 AND started_at < ?2",
        )
        .doing(doing)?;
    let rows = statement
        .query_map([bound(from, 0), bound(to, 1)], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .doing(doing)?;
    let read = |(host_id, at): (String, String)| Ok(Begun { host_id, at: time(&at)? });
    let heals: Vec<_> = rows.into_iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(heals.into_iter().filter(|heal| from < heal.at && heal.at <= to).collect())
}

/// When this part of this check of this machine was healed, later than `from` and not later than `to`; oldest first.
pub fn fixed(db: &Connection, key: &Key, from: Timestamp, to: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
    let doing = "counting what was healed";
    let mut statement = db
        .prepare_cached(
            "SELECT completed_at FROM incidents i JOIN executions e USING (incident_id)
             WHERE i.host_id = ?1 AND check_type = ?2 AND subject = ?3
               AND detail = 'fixed' AND completed_at >= ?4 AND completed_at < ?5",
        )
        .doing(doing)?;
    let rows = statement
        .query_map(params![key.host_id, key.check_type, key.subject, bound(from, 0), bound(to, 1)], |row| row.get(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>)
        .doing(doing)?;
    let mut times: Vec<_> = rows.iter().map(|text| time(text)).collect::<Result<_, _>>()?;
    times.retain(|at| from < *at && *at <= to);
    times.sort();
    Ok(times)
}

/// How the last `most` heals of a machine ended that had ended at `now`, newest first.
pub fn ended(db: &Connection, host_id: &str, most: u32, now: Timestamp) -> Result<Vec<Ended>, StoreError> {
    let doing = "reading how heals ended";
    let mut statement = db
        .prepare_cached(
            "SELECT detail, completed_at FROM executions
             WHERE host_id = ?1 AND plan <> 'null' AND completed_at < ?2 ORDER BY rowid DESC LIMIT ?3",
        )
        .doing(doing)?;
    let rows = statement
        .query_map(params![host_id, bound(now, 1), most], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .doing(doing)?;
    rows.into_iter().map(|(detail, at)| Ok(Ended { detail, at: time(&at)? })).collect()
}

/// Whether a heal of this machine is under way, of whatever check.
pub fn any_running(db: &Connection, host_id: &str) -> Result<bool, StoreError> {
    db.query_row(
        "SELECT EXISTS (SELECT 1 FROM executions WHERE host_id = ?1 AND completed_at IS NULL)",
        [host_id],
        |row| row.get(0),
    )
    .doing("reading open intents")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_sorts_before_every_time_of_its_second() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (time, within) in
            [("12:00:00Z", true), ("12:00:00.5Z", true), ("12:00:00.123456789Z", true), ("11:59:59.999Z", false)]
        {
            let stored = at(&format!("2026-11-21T{time}")).to_string();
            assert_eq!(stored >= bound(at("2026-11-21T12:00:00.7Z"), 0), within, "{stored}");
            assert!(stored < bound(at("2026-11-21T12:00:00Z"), 1), "{stored}");
        }
    }

    #[test]
    fn what_is_counted_with_every_plan_is_found_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let db = crate::store::open_or_begin(&folder.path().join("agent.db")).unwrap();
        for (query, index) in [
            (
                "SELECT host_id FROM executions WHERE plan <> 'null' AND started_at >= 'a' AND started_at < 'b'",
                "heals_by_start",
            ),
            (
                "SELECT detail FROM executions WHERE host_id = 'h' AND plan <> 'null' AND completed_at < 'b' ORDER BY rowid DESC LIMIT 3",
                "heals_of_host",
            ),
            (
                "SELECT completed_at FROM incidents i JOIN executions e USING (incident_id) WHERE i.host_id = 'h' AND check_type = 'c' AND subject = 's'",
                "incidents_of_part",
            ),
        ] {
            let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let steps: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
            let said = steps.join("; ");
            assert!(said.contains(index) && !said.contains("TEMP B-TREE"), "{said}");
        }
    }
}
