//! Spans of time as they are typed: a number with s, m, h or d.

use jiff::SignedDuration;

/// The longest span that is taken: what TLS clients accept of a certificate at most.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * crate::pki::LEAF_DAYS);

/// Reads `90d`, `12h`, `30m` or `45s`.
pub(super) fn parse(text: &str) -> Result<SignedDuration, String> {
    let wrong = || "write a number with s, m, h or d, for example 90d or 30m, at most 825d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let span = i64::from(number).checked_mul(seconds).map(SignedDuration::from_secs).ok_or_else(wrong)?;
    if span.is_positive() && span <= LONGEST { Ok(span) } else { Err(wrong()) }
}

/// The span in the largest unit that tells it exactly.
pub(super) fn words(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    let units = [(24 * 3600, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds % size == 0).unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
