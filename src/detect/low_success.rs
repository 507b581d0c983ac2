//! Low success rate: enough runs, too few successes, told from bad luck by the configured rule.

use std::collections::{BTreeMap, BTreeSet};

use super::Figures;
use crate::config::{DetectConfig, LowSuccess};
use crate::model::{Counts, Signal};
use crate::stats;
use crate::world::store::{FailureSummary, VersionSummary};

/// Whether a rule needs the counts of all tools to say something of one.
pub(super) fn is_over_all(rule: LowSuccess) -> bool {
    matches!(rule, LowSuccess::Bh | LowSuccess::EBh)
}

/// Which tools have a low success rate: of the current versions, where they are known, else of the version that ran last.
pub(super) fn low<'s>(
    config: &DetectConfig,
    by_tool: &BTreeMap<&'s str, Vec<&VersionSummary>>,
    current: &BTreeMap<&'s str, &VersionSummary>,
) -> BTreeSet<&'s str> {
    let newest = |own: &[&VersionSummary]| own.iter().max_by_key(|summary| summary.last).map(|summary| summary.counts);
    let family: Vec<(&str, Counts)> = by_tool
        .iter()
        .filter_map(|(tool, own)| Some((*tool, current.get(tool).map(|summary| summary.counts).or_else(|| newest(own))?)))
        .filter(|(_, counts)| counts.runs >= config.minimum_executions)
        .collect();
    let is_low = named(config, &family.iter().map(|(_, counts)| *counts).collect::<Vec<_>>());
    family.iter().zip(is_low).filter(|(_, is_low)| *is_low).map(|((tool, _), _)| *tool).collect()
}

/// Which of these counts are too low.
fn named(config: &DetectConfig, family: &[Counts]) -> Vec<bool> {
    let (threshold, q) = (config.threshold, config.false_discoveries);
    let each = |of: &dyn Fn(Counts) -> f64| family.iter().map(|counts| of(*counts)).collect::<Vec<f64>>();
    match config.rule {
        LowSuccess::Rate => family.iter().map(|counts| counts.success_rate() < threshold).collect(),
        LowSuccess::Wilson => family.iter().map(|counts| stats::wilson(counts.successes(), counts.runs).1 < threshold).collect(),
        LowSuccess::Bh => stats::benjamini_hochberg(&each(&|counts| stats::low_rate_p(counts, threshold)), q),
        LowSuccess::EBh => stats::e_benjamini_hochberg(&each(&|counts| stats::low_rate_log_e(counts, threshold)), q),
    }
}

pub(super) fn signal(figures: &Figures<'_>) -> Option<Signal> {
    let (rate, threshold) = (figures.counts.success_rate(), figures.config.threshold);
    figures.is_low.then_some(Signal::LowSuccess { rate, threshold })
}

/// Every kind of failure that is more than a single sighting.
pub(super) fn concerns(figures: &Figures<'_>, _: &Signal, failure: &FailureSummary) -> bool {
    figures.is_repeated(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_needs_as_much_as_it_says() {
        let all = |rule, counts: &[(u64, u64)]| {
            let config = DetectConfig { rule, ..DetectConfig::default() };
            named(&config, &counts.iter().map(|(runs, failures)| Counts { runs: *runs, failures: *failures }).collect::<Vec<_>>())
        };
        let tools = [(10, 4), (20, 14), (400, 130), (1000, 10), (10, 0)];
        assert_eq!(all(LowSuccess::Rate, &tools), [true, true, true, false, false]);
        assert_eq!(all(LowSuccess::Wilson, &tools), [false, true, false, false, false]);
        assert_eq!(all(LowSuccess::Bh, &tools), [false, true, false, false, false]);
        assert_eq!(all(LowSuccess::EBh, &tools), [false, true, false, false, false]);
        // Among many tools the same counts are less surprising.
        let mut many = vec![(20, 11)];
        assert!(all(LowSuccess::Bh, &many)[0]);
        many.extend(std::iter::repeat_n((20, 4), 60));
        assert!(!all(LowSuccess::Bh, &many)[0]);
    }
}
