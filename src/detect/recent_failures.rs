//! Several failures of one kind within hours.
//!
//! A count without a rate is a weak signal: a healthy tool with many runs raises it too (54 to 74 of 100 days at 95 % and 100 runs
//! a day). It therefore only orders the queue, with low priority; what follows is an investigation, never a revert. What a rate says
//! is beside it, in `burst.rs`.

use super::Figures;
use crate::model::Signal;
use crate::world::store::FailureSummary;

pub(super) fn signal(figures: &Figures<'_>) -> Option<Signal> {
    let most = figures.failures.iter().map(|failure| failure.recent).max()?;
    (most >= figures.config.recent_failures)
        .then_some(Signal::RecentFailures { failures: most, hours: figures.config.recent_hours })
}

pub(super) fn concerns(figures: &Figures<'_>, _: &Signal, failure: &FailureSummary) -> bool {
    failure.recent >= figures.config.recent_failures
}
