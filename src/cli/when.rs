//! Times as people write them on the command line: RFC 3339, a date, or how long ago.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use super::Failure;
use crate::config::Span;

/// The moment that `text` means, seen from `now`.
///
/// # Errors
/// When it means none.
pub(super) fn when(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let text = text.trim();
    let ago = |span: Span| SignedDuration::try_from(span.0).ok().and_then(|ago| now.checked_sub(ago).ok());
    let midnight = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let found = text.parse().ok().or_else(|| text.parse().ok().and_then(midnight)).or_else(|| Span::parse(text).and_then(ago));
    found.ok_or_else(|| {
        Failure::mistake(
            format!("`{text}` is no time"),
            "write `2026-01-31`, `2026-01-31T18:00:00Z`, or how long ago: `90d`, `2h`, `30m`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_a_date_or_how_long_ago() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().expect("valid");
        for (text, wanted) in [
            ("2026-01-31T18:00:00+02:00", "2026-01-31T16:00:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            (" 2h ", "2026-03-01T10:00:00Z"),
            ("28d", "2026-02-01T12:00:00Z"),
        ] {
            assert_eq!(when(text, now).expect(text).to_string(), wanted);
        }
        for text in ["", "yesterday", "2h ago", "2026-02-30", "-3d", "99999999999d"] {
            assert!(when(text, now).is_err(), "{text}");
        }
    }
}
