//! A burst: more failures within hours than the runs before let expect, of several kinds or seen by several callers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Figures, trials};
use crate::model::{Counts, Signal};
use crate::stats;
use crate::world::store::FailureSummary;

pub(super) fn signal(figures: &Figures<'_>) -> Option<Signal> {
    if !figures.config.bursts {
        return None;
    }
    let mut callers: BTreeMap<&str, (Counts, Counts)> = BTreeMap::new();
    let mut seeing: BTreeSet<&str> = BTreeSet::new();
    for hour in figures.hours {
        let (before, recent) = callers.entry(&hour.caller).or_default();
        let is_recent = hour.hour >= figures.recent;
        let (sum, more) = (if is_recent { recent } else { before }, trials(hour));
        (sum.runs, sum.failures) = (sum.runs + more.runs, sum.failures + more.failures);
        if is_recent && more.failures > 0 {
            seeing.insert(&hour.caller);
        }
    }
    let kinds = figures.failures.iter().filter(|failure| failure.recent > 0).count();
    if kinds.max(seeing.len()) < 2 {
        return None;
    }
    let burst = stats::burst(&callers.values().copied().collect::<Vec<_>>())?;
    let recent = |of: fn(&Counts) -> u64| callers.values().map(|(_, recent)| of(recent)).sum();
    Some(Signal::Burst {
        failures: recent(|counts| counts.failures),
        runs: recent(|counts| counts.runs),
        hours: figures.config.recent_hours,
        expected: burst.expected,
        p: burst.p,
    })
}

pub(super) fn concerns(figures: &Figures<'_>, _: &Signal, failure: &FailureSummary) -> bool {
    failure.recent > 0 && figures.is_repeated(failure)
}
