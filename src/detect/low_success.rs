//! Low success rate: enough runs, too few successes.

use super::Figures;
use crate::model::Signal;
use crate::world::store::FailureSummary;

pub(super) fn signal(figures: &Figures<'_>) -> Option<Signal> {
    let (rate, threshold) = (figures.counts.success_rate(), figures.config.threshold);
    (figures.counts.runs >= figures.config.minimum_executions && rate < threshold)
        .then_some(Signal::LowSuccess { rate, threshold })
}

/// Every kind of failure that is more than a single sighting.
pub(super) fn concerns(figures: &Figures<'_>, failure: &FailureSummary) -> bool {
    failure.failures >= figures.config.minimum_failures
}
