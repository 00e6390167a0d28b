//! The maintenance window: when a plan that disturbs people may be carried out.
//!
//! The days are those on which it begins; one that ends on the clock before it began ends on the next day. A time of
//! the clock that daylight saving time leaves out counts as much later as the clock was set, one that comes twice
//! counts the first time: what RFC 5545 says of appointments. So a window in the hour that is left out is kept an
//! hour later by the clock, and one that nothing remains of is not kept that day. A heal that was begun inside may end outside.

use crate::config::window::Window;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use msp_rules::Runbook;

/// The furthest that a next opening is looked for, in days: a week, and twice more for days on which nothing
/// remains of the window.
const HORIZON: i32 = 22;

impl Window {
    /// The window that begins on this day, from when until when; `None` when none does or nothing remains of it.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = if self.end > self.start { day } else { day.tomorrow().ok()? };
        let at = |date: Date, time| self.zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok();
        let (opens, closes) = (at(day, self.start)?, at(last, self.end)?);
        (opens < closes).then_some((opens, closes))
    }

    /// The windows that begin from two days before `now` (the clock of a zone may leave out a day) to so many days
    /// after it.
    fn around(&self, now: Timestamp, ahead: i32) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = self.zone.to_datetime(now).date();
        (-2..=ahead).filter_map(move |days| self.on(today.checked_add(days.days()).ok()?))
    }

    /// When it closes, if it is open at `now`.
    pub fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        self.around(now, 1).find(|(opens, closes)| *opens <= now && now < *closes).map(|(_, closes)| closes)
    }

    /// When it opens next, later than `now`.
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        self.around(now, HORIZON).map(|(opens, _)| opens).filter(|opens| *opens > now).min()
    }

    /// A time by the clock of the window's zone, for people: `Sun 2026-11-22 02:00 EST (America/New_York)`.
    pub fn local(&self, at: Timestamp) -> String {
        let local = at.to_zoned(self.zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string();
        match self.zone.iana_name() {
            Some(name) if !local.ends_with(name) => format!("{local} ({name})"),
            _ => local,
        }
    }
}

/// Against a disruptive plan while the window is closed; `None` keeps no window.
pub fn objection(window: Option<&Window>, runbook: &Runbook, now: Timestamp) -> Option<String> {
    let window = window.filter(|window| window.closes(now).is_none())?;
    let next = window.next_opening(now).map_or_else(|| "never".to_owned(), |at| window.local(at));
    Some(format!("{} disturbs people and waits for the maintenance window, which opens {next}", runbook.id))
}

#[cfg(test)]
mod tests;
