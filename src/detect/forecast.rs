//! Forecast: the success rate falls, and will soon be below the threshold. Looked into before anybody complains.

use super::{Figures, begin_of};
use crate::model::{Counts, Signal};
use crate::stats;
use crate::world::store::FailureSummary;

pub(super) fn signal(figures: &Figures<'_>) -> Option<Signal> {
    let (hours, threshold) = (figures.config.forecast_hours, figures.config.threshold);
    if hours == 0 || figures.counts.runs < figures.config.minimum_executions {
        return None;
    }
    let at = |hour: i64| begin_of(hour).duration_since(figures.now).as_secs_f64() / 3600.0;
    let points: Vec<(f64, Counts)> = figures.trials().into_iter().map(|(hour, counts)| (at(hour), counts)).collect();
    let found = stats::forecast(&points, threshold, hours as f64)?;
    Some(Signal::Forecast { now: found.now, then: found.then, threshold, hours, probability: found.probability })
}

pub(super) fn concerns(figures: &Figures<'_>, _: &Signal, failure: &FailureSummary) -> bool {
    failure.recent > 0 && figures.is_repeated(failure)
}
