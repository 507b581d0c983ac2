//! Regression after a commit: this version fails more than the one before it, by the rule that also watches our own work.

use super::{Before, Figures};
use crate::model::Signal;
use crate::stats;
use crate::world::store::FailureSummary;

pub(super) fn signal(figures: &Figures<'_>) -> Option<Signal> {
    let Before { counts: before, since, .. } = figures.before.as_ref()?;
    let distinct = figures.failures.iter().map(|failure| failure.distinct_inputs).sum();
    stats::alarms(*before, figures.counts, distinct).then(|| Signal::Regression {
        before: *before,
        after: figures.counts,
        log_bayes_factor: stats::log_bayes_factor(*before, figures.counts),
        since: Some(since.clone()),
    })
}

pub(super) fn concerns(figures: &Figures<'_>, _: &Signal, failure: &FailureSummary) -> bool {
    figures.is_repeated(failure)
}
