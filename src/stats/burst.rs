//! Bursts: more failures within a day than there should be.

use super::intervals::cautious_failure_rate;
use super::special::ln_at_least;
use crate::model::Counts;

/// Probability of as many failures by chance at or below which they are a burst.
pub const BURST_P: f64 = 0.001;

/// Fewer failures are no burst, however rare they were before.
pub const BURST_FAILURES: u64 = 4;

/// Fewer runs before say nothing about how many failures there should be.
pub const BURST_BASELINE_RUNS: u64 = 20;

/// Failures up to here are convolved exactly.
const EXACT_MAX: u64 = 512;

/// More failures than there should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Failures that the runs before let expect at most.
    pub expected: f64,
    /// Probability of as many.
    pub p: f64,
}

/// Whether the recent runs of all callers together failed more than they did before: each caller's runs before, and its recent ones.
///
/// P(X ≥ f) ≤ [`BURST_P`] for the sum X of the callers' binomial counts, each at [`cautious_failure_rate`]; and at least
/// `BURST_FAILURES` failures. A caller without enough runs before is held to what the others did.
pub fn burst(callers: &[(Counts, Counts)]) -> Option<Burst> {
    let sum = |all: &mut dyn Iterator<Item = Counts>| {
        all.fold(Counts::default(), |a, b| Counts { runs: a.runs + b.runs, failures: a.failures + b.failures })
    };
    let before = sum(&mut callers.iter().map(|(before, _)| *before));
    let recent = sum(&mut callers.iter().map(|(_, recent)| *recent));
    if before.runs < BURST_BASELINE_RUNS || recent.failures < BURST_FAILURES {
        return None;
    }
    let rate = |own: Counts| cautious_failure_rate(if own.runs < BURST_BASELINE_RUNS { before } else { own });
    let groups: Vec<(u64, f64)> = callers.iter().map(|(before, recent)| (recent.runs, rate(*before))).collect();
    let p = poisson_binomial_tail(&groups, recent.failures);
    let expected = groups.iter().map(|(runs, rate)| *runs as f64 * rate).sum();
    (p <= BURST_P).then_some(Burst { expected, p })
}

/// P(X ≥ `at_least`) for the sum of independent binomial counts, each of so many trials at a rate: the tail of a Poisson-binomial
/// distribution.
///
/// Exact for one group, and for up to 512 events by convolution where the tail is above 1e-10. Otherwise Chernoff's bound
/// exp(min_t K(t) − t·k) with K(t) = Σ n·ln(1 − p + p·eᵗ), which is never too small. Source of the name and of the convolution:
/// Y. Hong, "On computing the distribution function for the Poisson binomial distribution", CSDA 59 (2013).
pub fn poisson_binomial_tail(groups: &[(u64, f64)], at_least: u64) -> f64 {
    if let [(trials, rate)] = groups {
        return ln_at_least(at_least, *trials, *rate).exp();
    }
    let trials = groups.iter().fold(0u64, |sum, (trials, _)| sum.saturating_add(*trials));
    if at_least == 0 {
        return 1.0;
    }
    if at_least > trials {
        return 0.0;
    }
    if at_least <= EXACT_MAX {
        let exact = 1.0 - convolved(groups, at_least).iter().sum::<f64>();
        if exact > 1e-10 {
            return exact.min(1.0);
        }
    }
    chernoff(groups, at_least as f64)
}

/// Probabilities of 0, 1, … below `end` events.
fn convolved(groups: &[(u64, f64)], end: u64) -> Vec<f64> {
    let mut sum = vec![1.0];
    for (trials, rate) in groups {
        // C(n, i)·p^i·(1−p)^(n−i) one after the other; as logarithms, because the first may underflow.
        let (trials, odds) = (*trials as f64, rate.ln() - (-rate).ln_1p());
        let mut term = trials * (-rate).ln_1p();
        let mut own = Vec::new();
        for i in 0..end {
            let i = i as f64;
            if i > trials || term.is_nan() {
                break;
            }
            own.push(term.exp());
            term += (trials - i).ln() - (i + 1.0).ln() + odds;
        }
        let length = (sum.len() + own.len()).saturating_sub(1).min(end as usize);
        let at = |n: usize| (0..=n.min(sum.len() - 1)).filter_map(|i| Some(sum[i] * own.get(n - i)?)).sum();
        sum = (0..length).map(at).collect();
        if sum.is_empty() {
            return sum;
        }
    }
    sum
}

/// The smallest of the bounds exp(K(t) − t·k), t ≥ 0; 1 when k is not above the mean.
fn chernoff(groups: &[(u64, f64)], k: f64) -> f64 {
    let tilted = |t: f64, p: f64| if p <= 0.0 { 0.0 } else { p / (p + (1.0 - p) * (-t).exp()) };
    let mean = |t: f64| groups.iter().map(|(n, p)| *n as f64 * tilted(t, *p)).sum::<f64>();
    if mean(0.0) >= k {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 700.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        match mean(middle) < k {
            true => low = middle,
            false => high = middle,
        }
    }
    // ln(1 − p + p·eᵗ) as t·p-free as it can be: for small p the first form keeps its digits.
    let cumulant = |p: f64| if high < 30.0 { (p * high.exp_m1()).ln_1p() } else { high + (p + (1.0 - p) * (-high).exp()).ln() };
    let sum: f64 = groups.iter().filter(|(_, p)| *p > 0.0).map(|(n, p)| *n as f64 * cumulant(*p)).sum();
    (sum - high * k).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(runs: u64, failures: u64) -> Counts {
        Counts { runs, failures }
    }

    #[test]
    fn the_tail_of_unequal_trials_is_the_sum_over_all_outcomes() {
        let rates = [0.1, 0.25, 0.5, 0.7, 0.02, 0.9];
        for at_least in 0..=7u32 {
            let of = |outcome: u32| {
                rates.iter().enumerate().map(|(i, p)| if outcome >> i & 1 == 1 { *p } else { 1.0 - p }).product::<f64>()
            };
            let exact: f64 = (0..64u32).filter(|outcome| outcome.count_ones() >= at_least).map(of).sum();
            let got = poisson_binomial_tail(&rates.map(|rate| (1, rate)), at_least.into());
            assert!((got - exact).abs() < 1e-12, "{got} {exact}");
        }
    }

    #[test]
    fn several_groups_of_one_rate_are_one_group() {
        for (at_least, n) in [(12u64, 100u64), (40, 100), (400, 6_000), (90, 1_000_000)] {
            let rate = 60.0 / n as f64;
            let (one, three) = (
                poisson_binomial_tail(&[(n, rate)], at_least),
                poisson_binomial_tail(&[(n / 2, rate), (0, 0.5), (n - n / 2, rate)], at_least),
            );
            match one > 1e-9 {
                true => assert!((three / one - 1.0).abs() < 1e-5, "{one} {three}"),
                // The bound is above, but not far.
                false => assert!(three >= one && three <= one * 1e3, "{one:e} {three:e}"),
            }
        }
    }

    #[test]
    fn the_bound_for_many_events_is_above_the_tail_and_near_it() {
        for (n, rate, at_least) in [(1_000_000_000u64, 0.01, 10_012_000u64), (100_000, 0.3, 30_600), (2_000, 0.5, 1_100)] {
            let (exact, bound) = (
                poisson_binomial_tail(&[(n, rate)], at_least),
                poisson_binomial_tail(&[(n / 4, rate), (n - n / 4, rate)], at_least),
            );
            assert!(bound >= exact * 0.999 && bound <= 40.0 * exact, "{exact:e} {bound:e}");
        }
        assert_eq!(poisson_binomial_tail(&[(10, 0.5), (10, 0.5)], 21), 0.0);
        assert_eq!(poisson_binomial_tail(&[(4000, 0.5), (4000, 0.5)], 3000), 1.0);
        assert_eq!(poisson_binomial_tail(&[], 0), 1.0);
    }

    #[test]
    fn more_than_three_failures_a_day_are_a_burst_only_where_they_are_rare() {
        // A tool that fails in one of twenty runs, with 100 runs a day: five failures are what there should be.
        assert_eq!(burst(&[(counts(2000, 100), counts(100, 5))]), None);
        assert_eq!(burst(&[(counts(2000, 100), counts(100, 10))]), None);
        let found = burst(&[(counts(2000, 100), counts(100, 16))]).expect("three times as many as there should be");
        assert!(found.p < BURST_P && (found.expected - 5.0).abs() < 0.1);
        // The same four failures are rare where nothing failed in 2,000 runs, and nothing is known without a past.
        assert!(burst(&[(counts(2000, 0), counts(100, 4))]).is_some());
        assert_eq!(burst(&[(counts(2000, 0), counts(100, 3))]), None);
        assert_eq!(burst(&[(counts(10, 0), counts(100, 50))]), None);
        assert_eq!(burst(&[]), None);
    }

    #[test]
    fn a_caller_whose_runs_fail_more_does_not_make_a_burst_by_calling_more() {
        let steady = (counts(3000, 30), counts(100, 1));
        assert_eq!(burst(&[steady, (counts(500, 250), counts(40, 20))]), None);
        assert!(burst(&[steady, (counts(500, 5), counts(40, 20))]).is_some());
    }

    /// Exactly: chance of a false burst on one day, over the failures of the baseline and of the day.
    #[test]
    fn a_healthy_tool_has_a_burst_on_less_than_one_of_five_hundred_days() {
        for (n0, n1, rate) in [(100u64, 20u64, 0.05), (100, 100, 0.05), (2000, 100, 0.05), (2000, 500, 0.01)] {
            let of = |n: u64, k: u64| (ln_at_least(k, n, rate).exp() - ln_at_least(k + 1, n, rate).exp()).max(0.0);
            let mut wrong = 0.0;
            for f0 in (0..=n0).filter(|f0| of(n0, *f0) > 1e-7) {
                let first = (BURST_FAILURES..=n1).find(|f1| burst(&[(counts(n0, f0), counts(n1, *f1))]).is_some());
                wrong += of(n0, f0) * first.map_or(0.0, |f1| ln_at_least(f1, n1, rate).exp());
            }
            assert!(wrong < 0.002, "{wrong}: {n1} runs a day, {n0} before, at {rate}");
        }
    }
}
