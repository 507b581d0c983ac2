//! Many tools at once: which of them are surely bad, with few innocent ones among those that are named.

use super::special::ln_at_most;
use crate::model::Counts;

/// Share of innocent ones among those that are named, at most, in the long run.
pub const FALSE_DISCOVERIES: f64 = 0.1;

/// Which of these p-values to reject so that at most a share `q` of the rejections is wrong in expectation.
///
/// All up to the largest k with p₍ₖ₎ ≤ k·q/m. Source: Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", JRSS B 57
/// (1995): valid for independent p-values (and positively dependent ones). For one look: p-values that are looked at again and
/// again until one is small are none. What is not a number is never rejected.
pub fn benjamini_hochberg(ps: &[f64], q: f64) -> Vec<bool> {
    let m = ps.len() as f64;
    let mut sorted: Vec<f64> = ps.iter().copied().filter(|p| !p.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.iter().enumerate().rev().find(|(at, p)| **p <= (*at as f64 + 1.0) * q / m);
    ps.iter().map(|p| last.is_some_and(|(_, limit)| p <= limit)).collect()
}

/// The same for e-values, given as natural logarithms: all down to the largest k with e₍ₖ₎ ≥ m/(k·q).
///
/// Source: R. Wang, A. Ramdas, "False discovery rate control with e-values", JRSS B 84 (2022): valid whatever the dependence. One may
/// look again and again if each e-value is that of a test martingale *now*; their maxima so far are no e-values (arXiv 2501.19360).
pub fn e_benjamini_hochberg(log_es: &[f64], q: f64) -> Vec<bool> {
    let ps: Vec<f64> = log_es.iter().map(|log| (-log).exp()).collect();
    benjamini_hochberg(&ps, q)
}

/// P-value of "at least a share `threshold` of the runs succeeds": P(X ≤ successes) at the threshold. 1 without runs.
pub fn low_rate_p(counts: Counts, threshold: f64) -> f64 {
    if counts.runs == 0 { 1.0 } else { ln_at_most(counts.successes(), counts.runs, threshold).exp() }
}

/// Natural logarithm of an e-value against "at least a share `threshold` of the runs succeeds"; it may be looked at after every run.
///
/// A mixture over ten factors of the odds of failure: Σ wₖ·(qₖ/(1−L))^f·((1−qₖ)/L)^s, where qₖ has the factor times the odds of
/// 1−L. A supermartingale for every success rate ≥ L: it bets on failures only. Source: the one-sided mixture of the design after
/// Howard & Ramdas, "Sequential estimation of quantiles" (arXiv 1906.09712).
pub fn low_rate_log_e(counts: Counts, threshold: f64) -> f64 {
    const ODDS: [f64; 10] = [1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 14.0, 25.0, 60.0, 200.0];
    let worst = 1.0 - threshold;
    let log = |odds: f64| counts.failures as f64 * odds.ln() - counts.runs as f64 * ((odds - 1.0) * worst).ln_1p();
    let logs = ODDS.map(log);
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + (logs.iter().map(|log| (log - most).exp()).sum::<f64>() / ODDS.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::streams::Dice;
    use crate::stats::wilson;

    fn counts(runs: u64, failures: u64) -> Counts {
        Counts { runs, failures }
    }

    #[test]
    fn the_procedure_rejects_what_its_authors_example_rejects() {
        // Section 3.2 of Benjamini & Hochberg: 15 comparisons, q = 0.05, the first four are rejected.
        let ps =
            [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0];
        assert_eq!(benjamini_hochberg(&ps, 0.05).iter().filter(|rejected| **rejected).count(), 4);
        let mut mixed = ps;
        mixed.reverse();
        assert_eq!(benjamini_hochberg(&mixed, 0.05)[11..], [true; 4]);
        assert_eq!(benjamini_hochberg(&[f64::NAN, 0.001], 0.1), [false, true]);
        // A larger one carries a smaller one with it.
        assert_eq!(benjamini_hochberg(&[0.06, 0.07], 0.1), [true, true]);
        assert!(benjamini_hochberg(&[], 0.1).is_empty());
        assert_eq!(e_benjamini_hochberg(&[f64::ln(41.0), f64::ln(19.0), f64::ln(3.0), 0.0], 0.1), [true, false, false, false]);
        assert_eq!(e_benjamini_hochberg(&[f64::ln(21.0), f64::ln(21.0), f64::ln(3.0), 0.0], 0.1), [true, true, false, false]);
    }

    #[test]
    fn an_e_value_does_not_grow_on_the_average_at_or_above_the_threshold() {
        for (runs, failures) in [(0, 0), (10, 3), (50, 30), (200, 40)] {
            for rate in [0.7, 0.75, 0.9, 1.0] {
                let e = |failures| low_rate_log_e(counts(runs + 1, failures), 0.7).exp();
                let next = rate * e(failures) + (1.0 - rate) * e(failures + 1);
                assert!(next <= low_rate_log_e(counts(runs, failures), 0.7).exp() * (1.0 + 1e-12));
            }
        }
        assert_eq!(low_rate_log_e(counts(0, 0), 0.7), 0.0);
        for threshold in [0.0, 0.7, 1.0] {
            assert!(!low_rate_log_e(counts(1_000_000_000, 900_000_000), threshold).is_nan());
            assert!((0.0..=1.0).contains(&low_rate_p(counts(1_000_000_000, 900_000_000), threshold)));
        }
    }

    /// The table of the design: 500 tools, one in ten bad, about 30 runs each, one look.
    #[test]
    fn over_many_tools_the_raw_rate_is_often_wrong_and_the_others_are_not() {
        let mut dice = Dice::new(5);
        let (mut named, mut wrong) = ([0u32; 4], [0u32; 4]);
        for _ in 0..12 {
            let tools: Vec<(bool, Counts)> = (0..500)
                .map(|at| {
                    let bad = at % 10 == 0;
                    let rate = if bad { 0.3 + 0.35 * dice.unit() } else { 0.7 + 0.29 * dice.unit() };
                    let runs = 10 + dice.below(50);
                    (bad, counts(runs, (0..runs).filter(|_| !dice.chance(rate)).count() as u64))
                })
                .collect();
            let ps: Vec<f64> = tools.iter().map(|(_, counts)| low_rate_p(*counts, 0.7)).collect();
            let es: Vec<f64> = tools.iter().map(|(_, counts)| low_rate_log_e(*counts, 0.7)).collect();
            let (bh, ebh) = (benjamini_hochberg(&ps, FALSE_DISCOVERIES), e_benjamini_hochberg(&es, FALSE_DISCOVERIES));
            for (at, (bad, counts)) in tools.iter().enumerate() {
                let rules = [counts.success_rate() < 0.7, wilson(counts.successes(), counts.runs).1 < 0.7, bh[at], ebh[at]];
                for (rule, says) in rules.into_iter().enumerate() {
                    named[rule] += u32::from(says);
                    wrong[rule] += u32::from(says && !bad);
                }
            }
        }
        let share = |rule: usize| f64::from(wrong[rule]) / f64::from(named[rule]);
        assert!(share(0) > 0.3 && share(1) < 0.1 && share(2) < 0.05 && share(3) < 0.02, "{named:?} {wrong:?}");
        assert!(named[1] > 300 && named[2] > 200 && named[3] > 100, "{named:?}");
    }
}
