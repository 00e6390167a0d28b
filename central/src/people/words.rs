//! How things are said: times, spans, machines, hashes, tables. Everything that an agent reported passes through
//! maud's escaping here, as text.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use msp_contracts::finding::Severity;
use msp_contracts::outcome::Detail;

/// From this silence on something is wrong: an appliance checks in every minute.
pub(super) const SILENT: SignedDuration = SignedDuration::from_mins(5);

/// What kind of news something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Idle,
    Good,
    Waiting,
    Bad,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Good => "good",
            Self::Waiting => "waiting",
            Self::Bad => "bad",
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Column {
    fn head(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Text(head) => (head, None),
            Self::Number(head) => (head, Some("number")),
        }
    }
}

/// A table whose first column names the row. On a narrow screen each cell says its column.
pub(super) fn table(caption: &str, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.scroll {
            table {
                caption { (caption) }
                thead { tr { @for column in columns {
                    @let (head, class) = column.head();
                    th scope="col" class=[class] { (head) }
                } } }
                tbody { @for row in rows { tr { @for (place, (cell, column)) in row.iter().zip(columns).enumerate() {
                    @let (head, class) = column.head();
                    @if place == 0 { th scope="row" data-label=(head) class=[class] { div { (cell) } } }
                    @else { td data-label=(head) class=[class] { div { (cell) } } }
                } } } }
            }
        }
    }
}

/// What stands where there is nothing to list: what would be here, and how it gets there.
pub(super) fn nothing(title: &str, text: &Markup) -> Markup {
    html! { div.nothing { p { strong { (title) } } p { (text) } } }
}

fn plain(time: Timestamp) -> String {
    format!("{time:.0}").replace('T', " ").replace('Z', " UTC")
}

/// A time for people: to the second, in UTC.
pub(super) fn time(text: &str) -> Markup {
    let shown = text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), plain);
    html! { time datetime=(text) { (shown) } }
}

/// A moment among others close to it: to the millisecond, and how long after the first.
pub(super) fn moment(time: Timestamp, first: Timestamp) -> Markup {
    let exact = format!("{time:.3}");
    let clock = exact.get(11..23).unwrap_or(&exact);
    let after = time.duration_since(first);
    html! {
        time datetime=(time) title=(plain(time)) { (clock) }
        @if after.is_positive() { " " span.after { "+" (took(after)) } }
    }
}

/// How long ago something was; the exact time is its title.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> Markup {
    let age = now.duration_since(time);
    let shown = if age.as_secs() < 1 { "just now".to_owned() } else { format!("{} ago", span(age)) };
    html! { time.ago datetime=(time) title=(plain(time)) { (shown) } }
}

/// How long ago a stored time was.
pub(super) fn ago_text(text: &str, now: Timestamp) -> Markup {
    match text.parse() {
        Ok(time) => ago(time, now),
        Err(_) => html! { (text) },
    }
}

/// Whether a last contact at `last` is too long ago.
pub(super) fn is_silent(last: Timestamp, now: Timestamp) -> bool {
    now.duration_since(last) > SILENT
}

/// A span of time in its largest unit; below one second in milliseconds.
pub(super) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    match seconds {
        ..=0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long a step took: to the tenth of a second, or to the millisecond where that says more.
pub(super) fn took(took: SignedDuration) -> String {
    if took.as_secs() == 0 { span(took) } else { format!("{:.1} s", took.as_secs_f64()) }
}

/// A machine, by name and address when it has both.
pub(super) fn machine(name: &str, host_id: &str) -> Markup {
    html! {
        @if name.is_empty() || name == host_id { span.whole { (host_id) } }
        @else { span.whole { (name) } " " span.faint.mono.whole { (host_id) } }
    }
}

/// A number of things.
pub(super) fn count(number: i64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The beginning of a hash, key or other long id; the whole is its title.
pub(super) fn short(text: &str) -> Markup {
    html! { code title=(text) { (text.get(..12).unwrap_or(text)) "…" } }
}

/// Something that only makes sense to a machine.
pub(super) fn mono(text: &str) -> Markup {
    html! { code { (text) } }
}

/// A severity, with as many bars as it is bad: colour is not all that tells them apart.
pub(super) fn severity(severity: Severity) -> Markup {
    let (kind, bars) = match severity {
        Severity::Critical => ("critical", 4),
        Severity::High => ("high", 3),
        Severity::Medium => ("medium", 2),
        Severity::Low => ("low", 1),
    };
    html! { span class={ "severity " (kind) } {
        svg.bars viewBox="0 0 16 12" aria-hidden="true" focusable="false" {
            @for bar in 0..4_u8 {
                rect class=[(bar >= bars).then_some("off")] x=(bar * 4) y=(9 - bar * 3) width="3" height=(3 + bar * 3) {}
            }
        }
        (severity.as_str())
    } }
}

/// A check as people call it.
pub(super) fn check_name(check: &str) -> String {
    let (check, part) = check.split_once('/').unwrap_or((check, ""));
    let name = match check {
        "agent_state" => "Agent state",
        "antivirus" => "Antivirus",
        "backup" => "Backup",
        "central_command" => "Central Command",
        "clock" => "Clock",
        "disk" => "Disk space",
        "directory" => "Active Directory",
        "encryption" => "Encryption at rest",
        "executor" => "Root executor",
        "sensor_listener" => "Sensor listener",
        "firewall" => "Firewall",
        "generation" => "System generation",
        "integrity" => "Integrity",
        "logging" => "Logging",
        "patching" => "Patching",
        "services" => "Services",
        "time_sync" => "Time",
        "roll_up" => "Roll-up",
        other => other,
    };
    if part.is_empty() { name.to_owned() } else { format!("{name}: {part}") }
}

/// How a plan ended, in words, and what kind of news that is.
pub(super) fn outcome(detail: Detail) -> (Kind, &'static str) {
    match detail {
        Detail::Fixed => (Kind::Good, "fixed"),
        Detail::NoChange => (Kind::Good, "was right already"),
        Detail::Failed => (Kind::Bad, "failed"),
        Detail::RolledBack => (Kind::Bad, "rolled back"),
        Detail::RebootRequired => (Kind::Waiting, "waits for a restart"),
        Detail::Pending => (Kind::Waiting, "under way"),
        Detail::Unsupported => (Kind::Waiting, "not possible here"),
        Detail::Deferred => (Kind::Waiting, "deferred"),
        Detail::Escalated => (Kind::Waiting, "a person was asked"),
        Detail::DryRun => (Kind::Idle, "dry run"),
    }
}

/// A path with its query; empty values are left out.
pub(super) fn link(path: &str, query: &[(&str, &str)]) -> String {
    let given: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).collect();
    match serde_urlencoded::to_string(&given) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}
