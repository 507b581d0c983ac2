//! Intervals of a rate.

use super::special::{ln_at_most, ln_beta};
use crate::model::Counts;

/// 97.5 % quantile of the standard normal distribution: a two-sided 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// 95 % confidence interval of a rate; (0, 1) without runs.
///
/// (p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). Source: E. B. Wilson, "Probable inference, the law of succession, and
/// statistical inference", JASA 22 (1927). Meant for a glance, not for looking after every run.
pub fn wilson(successes: u64, runs: u64) -> (f64, f64) {
    if runs == 0 {
        return (0.0, 1.0);
    }
    let n = runs as f64;
    let rate = successes.min(runs) as f64 / n;
    let square = Z_95 * Z_95;
    let centre = rate + square / (2.0 * n);
    let half = Z_95 * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt();
    let scale = 1.0 + square / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// Steps of Newton's method at most; it needs about six.
const STEPS_MAX: usize = 60;

/// The largest rate that is compatible with so many events: they and fewer have the probability `alpha` at it. 1 without runs.
///
/// The one-sided exact bound: u with P(X ≤ events; runs, u) = α. Source: C. J. Clopper, E. S. Pearson, "The use of confidence or
/// fiducial limits illustrated in the case of the binomial", Biometrika 26 (1934). The true rate lies above with at most `alpha`.
pub fn clopper_pearson_upper(events: u64, runs: u64, alpha: f64) -> f64 {
    if events >= runs {
        return 1.0;
    }
    let (k, n) = (events as f64, runs as f64);
    let (least, scale) = (k / n, ln_beta(k + 1.0, n - k));
    let mut rate = least;
    for _ in 0..STEPS_MAX {
        // The logarithm of the tail is concave in the rate, so Newton's steps come from above after the first one.
        let tail = ln_at_most(events, runs, rate);
        let density = if events == 0 { 0.0 } else { k * rate.ln() } + (n - k - 1.0) * (-rate).ln_1p() - scale;
        let next = (rate + (tail - alpha.ln()) / (density - tail).exp()).clamp(least, 0.5 * (rate + 1.0));
        let apart = (next - rate).abs();
        rate = next;
        if apart <= 1e-12 * rate {
            break;
        }
    }
    rate
}

/// The smallest rate that is compatible with so many events, by the same reasoning from the other side; 0 without runs.
pub fn clopper_pearson_lower(events: u64, runs: u64, alpha: f64) -> f64 {
    1.0 - clopper_pearson_upper(runs.saturating_sub(events), runs, alpha)
}

/// A share of failures that new counts may be held against: the upper bound that is exceeded in one of 200 cases, and from 1,000 runs
/// with 30 failures on, which tell the odds to about a fifth, Jeffreys' estimate (f + ½) / (n + 1).
///
/// A small baseline that is taken at its word makes 15 to 29 % of healthy tools look worse (simulation of the design).
pub fn cautious_failure_rate(baseline: Counts) -> f64 {
    const CERTAIN: Counts = Counts { runs: 1000, failures: 30 };
    const EXCEEDED: f64 = 0.005;
    let Counts { runs, failures } = baseline;
    match runs >= CERTAIN.runs && failures >= CERTAIN.failures {
        true => (failures.min(runs) as f64 + 0.5) / (runs as f64 + 1.0),
        false => clopper_pearson_upper(failures, runs, EXCEEDED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_has_known_values() {
        let close = |(low, high): (f64, f64), wanted: (f64, f64)| {
            assert!((low - wanted.0).abs() < 5e-5 && (high - wanted.1).abs() < 5e-5, "{low} {high}");
        };
        close(wilson(0, 10), (0.0, 0.2775));
        close(wilson(10, 10), (0.7225, 1.0));
        close(wilson(5, 10), (0.2366, 0.7634));
        close(wilson(81, 263), (0.2553, 0.3662));
        close(wilson(12, 10), (0.7225, 1.0));
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn exact_bounds_have_known_values() {
        let close = |got: f64, wanted: f64| assert!((got - wanted).abs() < 1e-8 * wanted, "{got} {wanted}");
        // Without events the bound is 1 − α^(1/n), about 3/n for 95 % (the rule of three).
        for n in [1, 50, 300, 1_000_000_000] {
            close(clopper_pearson_upper(0, n, 0.05), -(0.05f64.ln() / n as f64).exp_m1());
        }
        assert_eq!((clopper_pearson_upper(0, 0, 0.05), clopper_pearson_lower(0, 0, 0.05)), (1.0, 0.0));
        assert_eq!((clopper_pearson_upper(7, 7, 0.05), clopper_pearson_lower(0, 7, 0.05)), (1.0, 0.0));
        // The interval of 10 in 20 at 95 %, from tables.
        assert!((clopper_pearson_upper(10, 20, 0.025) - 0.7280).abs() < 5e-5);
        assert!((clopper_pearson_lower(10, 20, 0.025) - 0.2720).abs() < 5e-5);
    }

    #[test]
    fn exact_bounds_are_exceeded_as_rarely_as_they_say() {
        for (n, rate) in [(20u64, 0.05), (50, 0.3), (200, 0.01)] {
            let probability =
                |k: u64| (ln_at_most(k, n, rate).exp() - if k == 0 { 0.0 } else { ln_at_most(k - 1, n, rate).exp() }).max(0.0);
            let missed: f64 = (0..=n).filter(|k| clopper_pearson_upper(*k, n, 0.05) < rate).map(probability).sum();
            assert!(missed <= 0.05 + 1e-12, "{missed} of {n} at {rate}");
        }
    }

    #[test]
    fn a_small_baseline_is_not_taken_at_its_word() {
        let rate = |runs, failures| cautious_failure_rate(Counts { runs, failures });
        assert!(rate(0, 0) == 1.0 && rate(20, 0) > 0.2 && rate(200, 10) > 0.09);
        assert!((rate(1000, 50) - 50.5 / 1001.0).abs() < 1e-12);
    }
}
