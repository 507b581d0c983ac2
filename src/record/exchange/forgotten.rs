//! What was forgotten, as writers tell each other: identities, and ranges of time of a tool. Never a pattern: it could be the secret.
//!
//! One JSON object a line. Text in, values out; removing is done elsewhere.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::segment::{Head, Name};
use crate::model::{ExecutionId, check_tool_name};
use crate::world::store::{Forgotten, ForgottenRange};

/// Bytes of the file. A larger one is not read.
pub const BYTES_MAX: u64 = 8 << 20;
/// Lines that are written and read; the newest stay.
const LINES_MAX: usize = 100_000;
/// How far a writer's clock may be ahead.
pub const AHEAD: SignedDuration = SignedDuration::from_hours(24);

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    One {
        id: ExecutionId,
    },
    Range {
        #[serde(skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
        since: i64,
        until: i64,
    },
}

/// The file of what was forgotten, without what ended before `oldest`: nobody keeps that any more.
pub fn write(forgotten: &Forgotten, oldest: Timestamp) -> String {
    let mut text = String::new();
    let mut add = |line: &Line| {
        if let Ok(line) = serde_json::to_string(line) {
            text.push_str(&line);
            text.push('\n');
        }
    };
    let oldest = oldest.as_millisecond();
    let ranges = forgotten.ranges.iter().filter(|range| range.until > oldest);
    for ForgottenRange { tool, since, until } in ranges.take(LINES_MAX / 2) {
        add(&Line::Range { tool: tool.clone(), since: *since, until: *until });
    }
    let newest = forgotten.ids.iter().rev().filter(|id| id.ended().as_millisecond() >= oldest);
    newest.take(LINES_MAX / 2).for_each(|id| add(&Line::One { id: id.clone() }));
    text
}

/// Reads what another writer forgot. A range that has not ended yet is left out: nobody may refuse what is yet to come.
///
/// # Errors
/// When a line is not of the form.
pub fn read(text: &str, now: Timestamp) -> Result<Forgotten, String> {
    let mut forgotten = Forgotten::default();
    for (number, line) in text.lines().enumerate().take(LINES_MAX) {
        let wrong = || format!("line {} is not of the form", number + 1);
        match serde_json::from_str(line).map_err(|_| wrong())? {
            Line::One { id } if id.bytes().is_some_and(|bytes| ExecutionId::from_bytes(bytes) == id) => {
                forgotten.ids.insert(id);
            }
            Line::Range { tool, since, until } if tool.as_ref().is_none_or(|tool| check_tool_name(tool).is_ok()) => {
                if since < until && until <= now.as_millisecond() {
                    forgotten.ranges.insert(ForgottenRange { tool, since, until });
                }
            }
            _ => return Err(wrong()),
        }
    }
    Ok(forgotten)
}

impl Forgotten {
    /// What `known` does not have.
    pub fn without(&self, known: &Forgotten) -> Forgotten {
        Forgotten {
            ids: self.ids.difference(&known.ids).filter(|id| !known.covers_time(id)).cloned().collect(),
            ranges: self
                .ranges
                .iter()
                .filter(|range| !known.ranges.iter().any(|known| known.holds_all_of(range)))
                .cloned()
                .collect(),
        }
    }

    /// Whether a range of all tools has it anyway.
    fn covers_time(&self, id: &ExecutionId) -> bool {
        self.ranges.iter().any(|range| range.tool.is_none() && range.has(id))
    }

    /// Adds another's.
    pub fn add(&mut self, other: Forgotten) {
        let new = other.without(self);
        self.ids.extend(new.ids);
        self.ranges.extend(new.ranges);
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.ranges.is_empty()
    }

    /// Whether a segment may hold any of it, by its name.
    pub fn may_be_in(&self, name: &Name) -> bool {
        let ranges = || self.ranges.iter().any(|range| range.since <= name.last && range.until > name.first);
        let first = crate::world::store::row::first_id(name.first);
        let from = ExecutionId::from_bytes(first);
        ranges() || self.ids.range(from..).next().is_some_and(|id| id.ended().as_millisecond() <= name.last)
    }

    /// Whether a line is to go.
    pub fn holds(&self, head: &Head) -> bool {
        self.ids.contains(&head.id)
            || self.ranges.iter().any(|range| range.tool.as_ref().is_none_or(|tool| *tool == head.tool) && range.has(&head.id))
    }
}

impl ForgottenRange {
    fn has(&self, id: &ExecutionId) -> bool {
        (self.since..self.until).contains(&id.ended().as_millisecond())
    }

    fn holds_all_of(&self, other: &ForgottenRange) -> bool {
        (self.tool.is_none() || self.tool == other.tool) && self.since <= other.since && self.until >= other.until
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).expect("valid")
    }

    fn id(milliseconds: i64) -> ExecutionId {
        ExecutionId::derived(at(milliseconds), &[b"x"])
    }

    fn range(tool: Option<&str>, since: i64, until: i64) -> ForgottenRange {
        ForgottenRange { tool: tool.map(str::to_string), since, until }
    }

    fn sample() -> Forgotten {
        Forgotten { ids: [id(5_000), id(9_000)].into(), ranges: [range(Some("t"), 1_000, 2_000), range(None, 0, 10)].into() }
    }

    #[test]
    fn what_is_written_is_read_back_without_what_nobody_keeps() {
        assert_eq!(read(&write(&sample(), at(0)), at(10_000)), Ok(sample()));
        let newer = Forgotten { ids: [id(9_000)].into(), ranges: BTreeSet::new() };
        assert_eq!(read(&write(&sample(), at(6_000)), at(10_000)), Ok(newer));
    }

    #[test]
    fn nobody_can_refuse_the_future_and_what_is_not_of_the_form_is_an_error() {
        let endless = r#"{"since":0,"until":9223372036854775807}"#;
        assert!(read(endless, at(70)).expect("reads").is_empty());
        for bad in [r#"{"id":"x"}"#, r#"{"tool":"../x","since":0,"until":1}"#, r#"{"pattern":"x"}"#, "{", r#"{"since":0}"#] {
            assert!(read(bad, at(70)).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_news_is_left_and_only_segments_that_may_hold_it_are_touched() {
        let known = Forgotten { ids: [id(5_000)].into(), ranges: [range(None, 0, 3_000)].into() };
        assert_eq!(sample().without(&known), Forgotten { ids: [id(9_000)].into(), ranges: BTreeSet::new() });
        let name = |first, last| Name { first, last, runs: 1, bytes: 1, digits: String::new() };
        let may = |first, last| sample().may_be_in(&name(first, last));
        assert!(may(5_000, 5_000) && may(1_999, 2_500) && may(4_000, 10_000) && may(3, 4));
        assert!(!may(2_000, 4_999) && !may(9_001, 20_000) && !may(11, 999));
        let head = |tool: &str, at| Head { id: id(at), tool: tool.into(), marked: false };
        assert!(sample().holds(&head("t", 1_500)) && sample().holds(&head("u", 9_000)) && !sample().holds(&head("u", 1_500)));
    }
}
