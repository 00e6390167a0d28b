//! The window against a clock that is read minute by minute.

use super::*;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;

const MINUTES_OF_A_DAY: i64 = 24 * 60;

/// Zones whose clocks do odd things: half an hour, two hours, at midnight, in the fasting month, a whole day left out.
const ZONES: [&str; 14] = [
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "Europe/London",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Pacific/Apia",
    "UTC",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(start: &str, end: &str, zone: &str) -> Window {
    Window {
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
        days: Weekday::Monday.cycle_forward().take(7).collect(),
        zone: TimeZone::get(zone).unwrap(),
    }
}

/// What the wall clock of a zone reads at each minute of a span, in minutes since 1970-01-01 00:00 by that clock.
struct WallClock {
    first: i64,
    reads: Vec<i64>,
}

impl WallClock {
    fn watch(zone: &TimeZone, first: i64, minutes: i64) -> Self {
        let offset =
            |minute: i64| i64::from(zone.to_offset(Timestamp::from_second(minute * 60).unwrap()).seconds() / 60);
        let mut reads = Vec::new();
        for hour in (first..first + minutes).step_by(60) {
            // No clock is set twice within an hour.
            let same = offset(hour) == offset(hour + 59);
            let all = offset(hour);
            reads.extend((hour..hour + 60).map(|minute| minute + if same { all } else { offset(minute) }));
        }
        Self { first, reads }
    }

    /// The minute at which the clock reads this for the first time; when it never does, as much later than the last
    /// reading before it as it would have been without the jump.
    fn when(&self, reading: i64) -> Option<i64> {
        if let Some(index) = self.reads.iter().position(|read| *read == reading) {
            return Some(self.first + i64::try_from(index).unwrap());
        }
        let index = self.reads.windows(2).position(|two| two[0] < reading && reading < two[1])?;
        Some(self.first + i64::try_from(index).unwrap() + reading - self.reads[index])
    }

    /// Every window there is in this span: from which minute until which.
    fn windows(&self, start: i64, end: i64, days: &[bool; 7]) -> Vec<(i64, i64)> {
        let (from, to) = (self.reads[0] / MINUTES_OF_A_DAY, self.reads.last().unwrap() / MINUTES_OF_A_DAY);
        // 1970-01-01 was a Thursday.
        let begins = (from..=to).filter(|day| days[usize::try_from((day + 3).rem_euclid(7)).unwrap()]);
        let last = |day: i64| if end > start { day } else { day + 1 };
        begins
            .filter_map(|day| {
                Some((self.when(day * MINUTES_OF_A_DAY + start)?, self.when(last(day) * MINUTES_OF_A_DAY + end)?))
            })
            .filter(|(opens, closes)| opens < closes)
            .collect()
    }
}

fn time(minute: i64) -> Time {
    Time::new(i8::try_from(minute / 60).unwrap(), i8::try_from(minute % 60).unwrap(), 0, 0).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_window_is_open_exactly_in_the_minutes_in_which_the_wall_clock_says_so(
        zone in proptest::sample::select(&ZONES[..]),
        // Half of the starts and ends lie where clocks are set.
        start in prop_oneof![0..MINUTES_OF_A_DAY, 0..4 * 60i64],
        length in prop_oneof![1..MINUTES_OF_A_DAY, 1..4 * 60i64],
        days in any::<[bool; 7]>().prop_filter("at least one day", |days| days.contains(&true)),
        since in 631_152_000i64..2_145_916_800, // 1990 to 2037
        before in 0..30 * 60i64,
    ) {
        let end = (start + length) % MINUTES_OF_A_DAY;
        let zone = TimeZone::get(zone).unwrap();
        let seconds = Timestamp::from_second(since).unwrap();
        let set = zone.following(seconds).next().map_or(seconds, |change| change.timestamp());
        let from = set.as_second() / 60 - before;
        let clock = WallClock::watch(&zone, (from - 4 * MINUTES_OF_A_DAY) / 60 * 60, 30 * MINUTES_OF_A_DAY);
        let windows = clock.windows(start, end, &days);
        let all = Weekday::Monday.cycle_forward().take(7);
        let kept = all.zip(days).filter(|(_, kept)| *kept).map(|(day, _)| day).collect();
        let window = Window { start: time(start), end: time(end), days: kept, zone };

        for minute in from..from + 36 * 60 {
            let now = Timestamp::from_second(minute * 60).unwrap();
            let open = windows.iter().find(|(opens, closes)| *opens <= minute && minute < *closes);
            let closes = window.closes(now).map(|at| at.as_second() / 60);
            prop_assert_eq!(closes, open.map(|(_, closes)| *closes), "at {}", now);
            if minute % 37 == 0 {
                let next = windows.iter().map(|(opens, _)| *opens).filter(|opens| *opens > minute).min();
                let opens = window.next_opening(now);
                prop_assert_eq!(opens.map(|at| at.as_second() / 60), next, "after {}", now);
                prop_assert!(opens.is_none_or(|opens| opens > now && window.closes(opens).is_some()));
            }
        }
    }
}

#[test]
fn a_window_through_midnight_belongs_to_the_day_on_which_it_begins() {
    let mut friday = window("22:00", "02:00", "UTC");
    friday.days = vec![Weekday::Friday];
    for (now, open) in [
        ("2026-11-20T21:59:59Z", false),
        ("2026-11-20T22:00:00Z", true),
        ("2026-11-21T01:59:59Z", true),
        ("2026-11-21T02:00:00Z", false),
        ("2026-11-21T22:30:00Z", false),
        ("2026-11-20T01:00:00Z", false),
    ] {
        assert_eq!(friday.closes(at(now)).is_some(), open, "{now}");
    }
    assert_eq!(friday.next_opening(at("2026-11-20T22:00:00Z")), Some(at("2026-11-27T22:00:00Z")));
}

#[test]
fn daylight_saving_time_moves_no_window_to_another_hour_of_the_day() {
    let new_york = window("02:00", "04:00", "America/New_York");
    // 2027-03-14: 02:00 to 03:00 is left out. 2026-11-01: 01:00 to 02:00 comes twice.
    assert_eq!(new_york.next_opening(at("2027-03-14T05:00:00Z")), Some(at("2027-03-14T07:00:00Z")));
    assert_eq!(
        new_york.closes(at("2027-03-14T07:30:00Z")),
        Some(at("2027-03-14T08:00:00Z")),
        "one hour of two is left"
    );
    assert_eq!(new_york.closes(at("2026-11-01T06:30:00Z")), None, "the second 01:30");
    assert_eq!(new_york.closes(at("2026-11-01T07:00:00Z")), Some(at("2026-11-01T09:00:00Z")));
    let twice = window("01:00", "02:00", "America/New_York");
    assert_eq!(twice.closes(at("2026-11-01T05:00:00Z")), Some(at("2026-11-01T07:00:00Z")), "both hours");
    let left_out = window("02:00", "03:00", "America/New_York");
    assert_eq!(
        left_out.next_opening(at("2027-03-14T05:00:00Z")),
        Some(at("2027-03-15T06:00:00Z")),
        "nothing of it remains that day"
    );
}

#[test]
fn a_window_goes_on_through_a_day_that_the_calendar_leaves_out() {
    // Samoa had no 2011-12-30: the night of the 29th ended on the 31st, an hour after midnight all the same.
    let apia = window("23:00", "01:00", "Pacific/Apia");
    assert_eq!(apia.closes(at("2011-12-30T09:00:00Z")), Some(at("2011-12-30T11:00:00Z")));
    assert_eq!(apia.closes(at("2011-12-30T10:30:00Z")), Some(at("2011-12-30T11:00:00Z")));
    assert_eq!(apia.closes(at("2011-12-30T11:00:00Z")), None);
}

#[test]
fn an_objection_names_the_next_opening_by_the_local_clock_and_none_is_made_inside() {
    let catalogue = msp_rules::Catalogue::builtin().unwrap();
    let firewall = catalogue.get("RB-WIN-FIREWALL-001").unwrap();
    let new_york = window("02:00", "04:00", "America/New_York");
    let said = objection(Some(&new_york), firewall, at("2026-11-21T12:00:00Z")).unwrap();
    assert!(said.ends_with("which opens Sun 2026-11-22 02:00 EST (America/New_York)"), "{said}");
    assert_eq!(objection(Some(&new_york), firewall, at("2026-11-21T07:30:00Z")), None);
    assert_eq!(objection(None, firewall, at("2026-11-21T12:00:00Z")), None);
}
