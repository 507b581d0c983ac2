//! Points in time as people write them on the command line.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::config::Span;

/// What `--since` and `--until` take, for their help.
pub(super) const FORMS: &str =
    "a date or time (2026-03-01, 2026-03-01T09:30Z; UTC if it does not say), or how long ago: 90m, 2h, 7d";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    At(Timestamp),
    Ago(Span),
}

impl Moment {
    /// Reads one, for clap.
    pub(super) fn parse(text: &str) -> Result<Moment, String> {
        let text = text.trim();
        let utc = |date: DateTime| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).ok();
        let at = text.parse::<Timestamp>().ok();
        let at = at.or_else(|| text.parse::<DateTime>().ok().and_then(utc));
        let at = at.or_else(|| text.parse::<Date>().ok().and_then(|date| utc(date.to_datetime(jiff::civil::Time::midnight()))));
        match (at, Span::parse(text)) {
            (Some(at), _) => Ok(Moment::At(at)),
            (None, Some(span)) => Ok(Moment::Ago(span)),
            (None, None) => Err(format!("write {FORMS}")),
        }
    }

    /// The point in time, seen from `now`.
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Moment::At(at) => at,
            Moment::Ago(span) => now.saturating_sub(span.0).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_lengths_of_time_are_read() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().expect("a time");
        for (text, wanted) in [
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("2026-03-01T09:30", "2026-03-01T09:30:00Z"),
            ("2026-03-01 09:30:01", "2026-03-01T09:30:01Z"),
            ("2026-03-01T09:30:00+02:00", "2026-03-01T07:30:00Z"),
            ("90m", "2026-03-02T10:30:00Z"),
            ("7d", "2026-02-23T12:00:00Z"),
            ("99999999d", "1970-01-01T00:00:00Z"),
        ] {
            let found = Moment::parse(text).map(|moment| moment.from(now).to_string());
            assert_eq!(found.as_deref(), Ok(wanted), "{text}");
        }
        for text in ["", "yesterday", "7 fortnights", "2026-13-01", "-3h", "18446744073709551615d"] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }
}
