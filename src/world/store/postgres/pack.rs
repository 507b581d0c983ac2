//! The rollups of a day as bytes: what a part of a rollup holds, hour by hour and caller by caller. Nothing but the form.
//!
//! A number is little-endian base 128. First the form's version, then for each rollup: hour of the day, caller, flags, figures, ends,
//! sketch with its length, and the failing inputs with their number.

use std::collections::BTreeMap;

use crate::model::{Failing, Rollup, Sketch};
use crate::world::store::row::Bits;

/// The rollups of one series, by hour and class of caller.
pub(super) type Hours = BTreeMap<(i32, i32), Rollup>;

const VERSION: u8 = 1;
/// Hours of a day.
pub(super) const DAY: i32 = 24;

const SETTLED: u64 = 1;
const ENDS: u64 = 2;
/// The last run is the first one.
const ONE: u64 = 4;
const FIRST_FAILED: u64 = 8;
const LAST_FAILED: u64 = 16;

/// Rollups of one day.
pub(super) fn pack(hours: &Hours) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 48 * hours.len());
    bytes.push(VERSION);
    for ((hour, caller), rollup) in hours {
        let ends = rollup.ends;
        let flag = |is: bool, flag: u64| if is { flag } else { 0 };
        let flags = flag(rollup.settled, SETTLED)
            | flag(ends.is_some(), ENDS)
            | flag(ends.is_some_and(|(first, last)| first == last), ONE)
            | flag(ends.is_some_and(|(first, _)| first.1.is_some()), FIRST_FAILED)
            | flag(ends.is_some_and(|(_, last)| last.1.is_some()), LAST_FAILED);
        put(&mut bytes, hour.rem_euclid(DAY).unsigned_abs().into());
        put(&mut bytes, caller.unsigned_abs().into());
        let figures = [flags, rollup.runs, rollup.failures, rollup.errors, rollup.episodes];
        figures.into_iter().for_each(|figure| put(&mut bytes, figure));
        put(&mut bytes, rollup.log_sum.cast_unsigned());
        put(&mut bytes, rollup.log_squares.cast_unsigned());
        let (first, last) = ends.unzip();
        for (id, fingerprint) in first.into_iter().chain(last.filter(|_| flags & ONE == 0)) {
            bytes.extend_from_slice(&id);
            fingerprint.into_iter().for_each(|fingerprint| put(&mut bytes, fingerprint.cast_unsigned()));
        }
        let sketch = rollup.sketch.encode();
        put(&mut bytes, sketch.len() as u64);
        bytes.extend_from_slice(&sketch);
        put(&mut bytes, rollup.failing.len() as u64);
        for ((fingerprint, input), failing) in &rollup.failing {
            put(&mut bytes, fingerprint.cast_unsigned());
            bytes.push(input.is_some().into());
            bytes.extend_from_slice(input.as_ref().map_or(&[], |input| &input[..]));
            put(&mut bytes, failing.failures);
            bytes.extend_from_slice(&failing.newest);
        }
    }
    bytes
}

/// The rollups of a day; `None` when the bytes are none.
pub(super) fn unpack(day: i32, bytes: &[u8]) -> Option<Hours> {
    let (version, mut bytes) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut hours = Hours::new();
    while !bytes.is_empty() {
        let hour = day.checked_mul(DAY)?.checked_add(i32::try_from(take(&mut bytes)?).ok()?)?;
        let caller = i32::try_from(take(&mut bytes)?).ok()?;
        let flags = take(&mut bytes)?;
        let mut rollup = Rollup { settled: flags & SETTLED != 0, ..Rollup::default() };
        for figure in [&mut rollup.runs, &mut rollup.failures, &mut rollup.errors, &mut rollup.episodes] {
            *figure = take(&mut bytes)?;
        }
        rollup.log_sum = take(&mut bytes)?.cast_signed();
        rollup.log_squares = take(&mut bytes)?.cast_signed();
        if flags & ENDS != 0 {
            let first = end(&mut bytes, flags & FIRST_FAILED != 0)?;
            let last = if flags & ONE != 0 { first } else { end(&mut bytes, flags & LAST_FAILED != 0)? };
            rollup.ends = Some((first, last));
        }
        let length = usize::try_from(take(&mut bytes)?).ok()?;
        rollup.sketch = Sketch::decode(bytes.split_off(..length)?)?;
        for _ in 0..take(&mut bytes)? {
            let fingerprint = take(&mut bytes)?.cast_signed();
            let input = if *bytes.split_off_first()? == 0 { None } else { Some(id(&mut bytes)?) };
            let failing = Failing { failures: take(&mut bytes)?, newest: id(&mut bytes)? };
            rollup.failing.insert((fingerprint, input), failing);
        }
        hours.insert((hour, caller), rollup);
    }
    Some(hours)
}

fn end(bytes: &mut &[u8], failed: bool) -> Option<(Bits, Option<i64>)> {
    let id = id(bytes)?;
    let fingerprint = if failed { Some(take(bytes)?.cast_signed()) } else { None };
    Some((id, fingerprint))
}

fn id(bytes: &mut &[u8]) -> Option<Bits> {
    let (id, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*id)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let first = bytes.split_off_first()?;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Outcome, RollupRun};

    proptest! {
        #[test]
        fn rollups_survive_their_bytes(runs in prop::collection::vec((any::<[u8; 16]>(), 0..DAY, 0i32..3, 0u8..3, any::<u32>()), 0..40)) {
            let mut hours = Hours::new();
            for (id, hour, caller, outcome, number) in runs {
                let outcome = [Outcome::Success, Outcome::Failure, Outcome::Error][usize::from(outcome)];
                let fingerprint = (outcome == Outcome::Failure).then_some(i64::from(number % 3));
                let run = RollupRun { id, duration: Duration::from_micros(number.into()), outcome, fingerprint, input: (number % 5 > 0).then_some([number as u8; 16]) };
                hours.entry((7 * DAY + hour, caller)).or_default().add(&run);
            }
            prop_assert_eq!(unpack(7, &pack(&hours)), Some(hours));
        }

        #[test]
        fn no_bytes_make_it_panic(day in any::<i32>(), mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = unpack(day, &bytes);
            bytes.insert(0, VERSION);
            let _ = unpack(day, &bytes);
        }
    }
}
