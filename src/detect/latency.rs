//! Latency: this version takes longer than the one before.
//!
//! No failure is behind it, so nothing can be run again and nothing is repaired: the opportunity tells a person, and ends.

use std::time::Duration;

use super::Figures;
use crate::model::{Signal, Sketch};
use crate::stats;

/// Stands where the class of a failure stands. No exception is named so.
pub(super) const CLASS: &str = "takes longer";

/// The signal, and its figures in a sentence.
///
/// Durations of failures and successes are not told apart in rollups, and a repair makes runs go on that broke off early. So the
/// shortest runs before are left out, as many as failed, and the longest ones now: what remains is slower whatever failed.
pub(super) fn signal(figures: &Figures<'_>) -> Option<(Signal, String)> {
    let before = figures.before.as_ref().filter(|_| figures.config.latency)?;
    let mut now = Sketch::default();
    figures.hours.iter().for_each(|hour| now.merge(&hour.durations));
    let (old, new) = (before.durations.without_shortest(before.counts.failures), now.without_longest(figures.counts.failures));
    let slower = stats::slower(&old, &new)?;
    let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    let signal = Signal::Slower {
        quantile: slower.quantile,
        before: milliseconds(slower.before),
        after: milliseconds(slower.after),
        log_bayes_factor: slower.log_bayes_factor,
        since: before.since.clone(),
    };
    let told = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1e3);
    let which = if slower.quantile == 0.5 { "half".to_string() } else { format!("{:.0} %", 100.0 * (1.0 - slower.quantile)) };
    let message = format!("{which} of the runs take longer than {}, before it was {}", told(slower.after), told(slower.before));
    Some((signal, message))
}
