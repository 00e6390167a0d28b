//! The maintenance window as the configuration says it: from, to, on which days, in which zone.
//!
//! What it means (midnight, daylight saving time) is told where plans are judged; here the keys are read, and what
//! makes no sense is named with its cure.

use super::schema::Config;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use std::fmt;

/// Kept when the configuration says nothing else.
const DEFAULT: &str = "02:00-04:00";

/// When disruptive plans may be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub start: Time,
    /// Not later than `start` on the clock: the next day.
    pub end: Time,
    /// The days on which it begins, at least one.
    pub days: Vec<Weekday>,
    pub zone: TimeZone,
}

/// The key that is wrong, and in what.
pub type Wrong = (&'static str, String);

impl Window {
    /// The window to keep; `None` when the configuration says that none is kept.
    ///
    /// # Errors
    /// The first key that makes no sense, also when the window is switched off.
    pub fn of(config: &Config) -> Result<Option<Self>, Wrong> {
        let (key, start, end) =
            match (&config.maintenance_window, config.maintenance_window_start, config.maintenance_window_end) {
                (None, None, None) => short(DEFAULT).map(|(start, end)| ("maintenance_window", start, end)),
                (None, Some(start), Some(end)) => Ok(("maintenance_window_end", start, end)),
                (Some(text), None, None) => short(text).map(|(start, end)| ("maintenance_window", start, end)),
                (None, Some(_), None) => {
                    Err(("maintenance_window_start", "write maintenance_window_end too".to_owned()))
                }
                (None, None, Some(_)) => {
                    Err(("maintenance_window_end", "write maintenance_window_start too".to_owned()))
                }
                (Some(_), _, _) => Err((
                    "maintenance_window",
                    "the window is written twice: keep maintenance_window, or _start and _end".to_owned(),
                )),
            }?;
        if start == end {
            return Err((
                key,
                "a window that ends when it begins is none: for any time write maintenance_window_enabled: false"
                    .to_owned(),
            ));
        }
        let zone = zone(config.maintenance_window_timezone.as_deref())?;
        let all = Weekday::Monday.cycle_forward().take(7);
        let days = all.filter(|day| {
            config.maintenance_window_days.is_empty()
                || config.maintenance_window_days.iter().any(|kept| kept.civil() == *day)
        });
        let window = Self { start, end, days: days.collect(), zone };
        Ok(config.maintenance_window_enabled.unwrap_or(true).then_some(window))
    }
}

/// Reads `HH:MM-HH:MM`.
fn short(text: &str) -> Result<(Time, Time), Wrong> {
    let part = |text: &str| text.trim().parse::<Time>().ok();
    text.split_once('-')
        .and_then(|(start, end)| Some((part(start)?, part(end)?)))
        .ok_or_else(|| ("maintenance_window", format!("{text:?} is no window: write HH:MM-HH:MM, midnight is 00:00")))
}

/// The zone of this name, or the machine's own.
fn zone(name: Option<&str>) -> Result<TimeZone, Wrong> {
    let Some(name) = name else { return Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)) };
    TimeZone::get(name).map_err(|_| {
        let known: Vec<_> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        let hint = msp_rules::did_you_mean(name, known.iter().map(String::as_str)).map_or_else(
            || "write one like America/New_York or UTC".to_owned(),
            |near| format!("did you mean {near:?}?"),
        );
        ("maintenance_window_timezone", format!("{name:?} is no time zone of the IANA database ({hint})"))
    })
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = match self.days.len() {
            7 => "every day".to_owned(),
            _ => self
                .days
                .iter()
                .map(|day| format!("{day:?}").chars().take(3).collect())
                .collect::<Vec<String>>()
                .join(", "),
        };
        let zone = self.zone.iana_name().unwrap_or("the machine's own zone");
        let time = |time: &Time| time.strftime("%H:%M").to_string();
        write!(f, "{} to {}, {days}, {zone}", time(&self.start), time(&self.end))
    }
}
