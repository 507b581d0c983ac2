//! Drift: this version begins to fail more than it did, without anybody having changed it.

use super::{Figures, begin_of};
use crate::model::Signal;
use crate::stats::Drift;
use crate::world::store::FailureSummary;

pub(super) fn signal(figures: &Figures<'_>) -> Option<Signal> {
    if !figures.config.drift {
        return None;
    }
    let hours = figures.trials();
    let mut drift = Drift::default();
    hours.iter().for_each(|(_, counts)| drift.add(*counts));
    if !drift.is_certain() {
        return None;
    }
    let (first, _) = hours.get(hours.len().checked_sub(drift.blocks())?)?;
    let (before, after) = drift.counts();
    Some(Signal::Drift { before, after, since: begin_of(*first), log_evidence: drift.evidence() })
}

/// What failed since it began.
pub(super) fn concerns(figures: &Figures<'_>, signal: &Signal, failure: &FailureSummary) -> bool {
    matches!(signal, Signal::Drift { since, .. } if failure.last >= *since) && figures.is_repeated(failure)
}
