//! The statistics of a watch: when counts before and after an improvement are an alarm, and when replays confirm it.
//!
//! Owns the formulas, their thresholds and (as a test, by exact dynamic programming) the computation of how often the alarm is
//! false. Deliberately does not choose which runs count, replay anything or decide to revert: an alarm is cheap evidence that
//! asks for a paired replay, and only the replay is a verdict. Everything here is a pure function of its arguments, without
//! panics, and so gives the same answer after a restart or a second delivery.

pub mod concurrent;

use crate::model::{Counts, Fingerprint};

/// Evidence that raises an alarm: the counts are this many times likelier under "two rates" than under "one rate".
///
/// Keeps the healthy improvements that alarm within 2,000 runs under 1 %, although one looks after every run. Computed in the
/// tests: at most 0.76 % on the grid of the design, under 1 % at the worst rates in between (about 0.92, baseline of 2,000).
/// A factor of 50 reaches 1.06 % there.
pub const ALARM_BAYES_FACTOR: f64 = 55.0;

/// Evidence asked for where no replay can confirm the alarm.
pub const UNREPLAYABLE_BAYES_FACTOR: f64 = 1000.0;

/// Most recent runs of the previous version that may serve as the baseline: false alarms are verified up to here (and grow with
/// the baseline), and older runs are stale. The caller cuts; nothing here sees the order of runs.
pub const BASELINE_RUNS_MAX: u64 = 2000;

/// Combined p-value of the paired replays at or below which a regression is confirmed.
pub const CONFIRM_P: f64 = 0.001;

/// Different inputs that must fail before an alarm: one bad input, however often it is sent, is not a regression yet.
pub const DISTINCT_INPUTS_MIN: u64 = 2;

/// ½·ln 2π.
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// From here on the seven terms of `stirling_correction` are exact to the last digit (the first one left out is 3e-17).
const STIRLING_FROM: f64 = 10.0;

/// Lanczos' g and coefficients for g = 7, n = 9 (P. Godfrey, "A note on the computation of the convergent Lanczos complex gamma
/// approximation", 2001): relative error of Γ about 1e-15.
const LANCZOS_G: f64 = 7.0;
const LANCZOS_FIRST: f64 = 0.999_999_999_999_809_9;
const LANCZOS: [f64; 8] = [
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

/// 97.5 % quantile of the standard normal distribution: a two-sided 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// Natural logarithm of Γ(x) for x > 0; infinite at 0, not a number below.
///
/// Lanczos' approximation below 10 (with lnΓ(x) = lnΓ(x+1) − ln x under ½), Stirling's series above: (x−½)·ln x − x + ½·ln 2π +
/// correction (Abramowitz & Stegun 6.1.40). The error is below 1e-12 relative, except next to the zeros at 1 and 2, where it is
/// below 1e-14 absolute.
pub fn ln_gamma(x: f64) -> f64 {
    if x < 0.0 {
        f64::NAN
    } else if x < 0.5 {
        lanczos(x + 1.0) - x.ln()
    } else if x < STIRLING_FROM {
        lanczos(x)
    } else {
        (x - 0.5) * x.ln() - x + LN_SQRT_2PI + stirling_correction(x)
    }
}

/// lnΓ(x) for x ≥ ½: ½·ln 2π + (x−½)·ln t − t + ln(c₀ + Σ cᵢ/(x−1+i)) with t = x + g − ½.
fn lanczos(x: f64) -> f64 {
    let series: f64 = LANCZOS.iter().zip(0u8..).map(|(c, i)| c / (x + f64::from(i))).sum();
    let t = x + LANCZOS_G - 0.5;
    LN_SQRT_2PI + (x - 0.5) * t.ln() - t + (LANCZOS_FIRST + series).ln()
}

/// lnΓ(x) less the leading terms of Stirling's series, for x ≥ 10: 1/12x − 1/360x³ + 1/1260x⁵ − … (Abramowitz & Stegun 6.1.41).
fn stirling_correction(x: f64) -> f64 {
    const TERMS: [f64; 7] =
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0];
    let square = 1.0 / (x * x);
    TERMS.iter().rev().fold(0.0, |sum, term| sum * square + term) / x
}

/// Natural logarithm of the Beta function, ln Γ(a) + ln Γ(b) − ln Γ(a+b), for a, b > 0.
///
/// For large arguments the leading terms of Stirling's series are subtracted on paper, so that huge counts do not cancel: only
/// the corrections and logarithms of ratios remain (the cases of SLATEC's DLBETA by W. Fullerton, also in R's `lbeta`).
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a <= b { (a, b) } else { (b, a) };
    let sum = small + large;
    if large < STIRLING_FROM {
        return ln_gamma(small) + ln_gamma(large) - ln_gamma(sum);
    }
    let correction = stirling_correction(large) - stirling_correction(sum);
    let rest = (-small / sum).ln_1p();
    if small < STIRLING_FROM {
        return ln_gamma(small) + correction + small - small * sum.ln() + (large - 0.5) * rest;
    }
    let correction = stirling_correction(small) + correction;
    (small - 0.5) * (small / sum).ln() + large * rest - 0.5 * large.ln() + LN_SQRT_2PI + correction
}

/// Natural logarithm of the Bayes factor for "two rates" against "one rate", each with Jeffreys' prior Beta(½, ½).
///
/// With s successes and f failures before (0) and after (1), and lB = [`ln_beta`]:
/// lB(s1+½, f1+½) + lB(s0+½, f0+½) − lB(½, ½) − lB(s0+s1+½, f0+f1+½). It is 0 while either side has no runs, knows no direction
/// (better counts as different too), and depends on the counts only. Source: the two-sample beta-binomial factor, as in Lindon &
/// Malek, "Anytime-valid inference for multinomial count data" (arXiv 2011.03567).
pub fn log_bayes_factor(before: Counts, after: Counts) -> f64 {
    if before.runs == 0 || after.runs == 0 {
        return 0.0;
    }
    let (s0, f0) = (before.successes() as f64, before.failures as f64);
    let (s1, f1) = (after.successes() as f64, after.failures as f64);
    let apart = ln_beta(s1 + 0.5, f1 + 0.5) + ln_beta(s0 + 0.5, f0 + 0.5);
    apart - ln_beta(0.5, 0.5) - ln_beta(s0 + s1 + 0.5, f0 + f1 + 0.5)
}

/// Whether the version after looks worse: the factor reaches [`ALARM_BAYES_FACTOR`], the share of failures rose, and at least
/// [`DISTINCT_INPUTS_MIN`] different inputs failed.
///
/// One may look after every run; only a failure can change the answer to yes. `before` holds at most [`BASELINE_RUNS_MAX`] runs.
/// For independent runs, each failure on another input, a healthy version alarms within 2,000 runs with the probability told at
/// [`ALARM_BAYES_FACTOR`]. Source: exact dynamic programming, repeated in the tests; a property of the rates computed there, not
/// a theorem. Collapsed counts may hold one failure on two inputs, which this computation does not cover.
pub fn alarms(before: Counts, after: Counts, distinct_failing_inputs: u64) -> bool {
    // f1/n1 > f0/n0 without dividing; 128 bits hold every product.
    let after_worse = u128::from(after.failures) * u128::from(before.runs) > u128::from(before.failures) * u128::from(after.runs);
    after_worse && distinct_failing_inputs >= DISTINCT_INPUTS_MIN && log_bayes_factor(before, after) >= ALARM_BAYES_FACTOR.ln()
}

/// Counts of one version's runs in order of time, where consecutive failures with one fingerprint are one trial; `None` is a run
/// that did not fail.
///
/// An outage makes failures that are not independent; counted one by one they alarmed for 33 to 43 % of healthy versions in the
/// simulation of the design, as episodes for under 1 %.
pub fn collapse_episodes<'a>(runs: impl Iterator<Item = Option<&'a Fingerprint>>) -> Counts {
    let mut counts = Counts::default();
    let mut previous: Option<&Fingerprint> = None;
    for failure in runs {
        if failure.is_none() || failure != previous {
            counts.runs += 1;
            counts.failures += u64::from(failure.is_some());
        }
        previous = failure;
    }
    counts
}

/// One-sided exact p-value that the new version fails more, from `runs_each` runs of one input on both versions.
///
/// Given F failures in 2k runs, those of the new version are hypergeometric if the versions do not differ:
/// p = Σ_{i ≥ new} C(F, i)·C(2k−F, k−i) / C(2k, k) (Fisher's exact test, which for 0/1 outcomes is the exact permutation test).
/// 4 of 4 against 0 of 4 is 1/70. Failures above `runs_each` count as `runs_each`; without runs p is 1.
pub fn permutation_p(runs_each: u32, old_failures: u32, new_failures: u32) -> f64 {
    let (each, old, new) = (u64::from(runs_each), u64::from(old_failures.min(runs_each)), u64::from(new_failures.min(runs_each)));
    if new > old {
        hypergeometric_tail(each, old + new, new)
    } else {
        // The groups are equally large, so X and F − X have one distribution: P(X ≥ new) = P(X ≤ old).
        1.0 - hypergeometric_tail(each, old + new, old + 1)
    }
}

/// P(X ≥ from) for X failures among `each` of 2·`each` runs with `failures` failures; `from` lies above the mean, `failures` / 2.
fn hypergeometric_tail(each: u64, failures: u64, from: u64) -> f64 {
    let last = each.min(failures);
    if from > last {
        return 0.0;
    }
    let passes = 2 * each - failures;
    let mut term = (ln_choose(failures, from) + ln_choose(passes, each - from) - ln_choose(2 * each, each)).exp();
    let mut tail = term;
    // Above the mean the terms fall, ever faster: what no longer changes the sum ends it.
    for i in from..last {
        term *= (failures - i) as f64 / (i + 1) as f64;
        term *= (each - i) as f64 / (passes + i + 1 - each) as f64;
        tail += term;
        if term < tail * f64::EPSILON {
            break;
        }
    }
    tail.min(1.0)
}

/// ln C(n, k) for k ≤ n, as −ln(n+1) − ln B(k+1, n−k+1).
fn ln_choose(n: u64, k: u64) -> f64 {
    -(n as f64 + 1.0).ln() - ln_beta(k as f64 + 1.0, (n - k) as f64 + 1.0)
}

/// P-value of the product c of m independent p-values: c·Σ_{i<m} (−ln c)^i / i!. One for no p-value at all.
///
/// Source: R. A. Fisher, "Statistical Methods for Research Workers" (1932) §21.1: −2·ln c is χ² with 2m degrees of freedom; the
/// sum is its closed form. Exact for continuous p-values, conservative for discrete ones. Values outside 0..=1 are moved to the
/// nearer end; what is not a number counts as 1, no evidence.
pub fn combine_fisher(ps: &[f64]) -> f64 {
    let evidence: f64 = ps.iter().filter(|p| !p.is_nan()).map(|p| -p.clamp(0.0, 1.0).ln()).sum();
    if evidence <= 0.0 {
        return 1.0;
    }
    if evidence.is_infinite() {
        return 0.0;
    }
    // Term by term as logarithms: c alone underflows where the sum does not.
    let mut ln_term = -evidence;
    let mut combined = 0.0;
    for i in 1..=ps.len() {
        combined += ln_term.exp();
        ln_term += evidence.ln() - (i as f64).ln();
    }
    combined.min(1.0)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Exit, Failure};

    /// Runs after the improvement within which the bound on false alarms holds.
    const HORIZON: u64 = 2000;
    /// States and outcomes less likely than this are not followed; their probability is added to the false alarms.
    const NEGLIGIBLE: f64 = 1e-9;

    fn counts(runs: u64, failures: u64) -> Counts {
        Counts { runs, failures }
    }

    fn assert_close(got: f64, wanted: f64, relative: f64) {
        assert!((got - wanted).abs() <= relative * wanted.abs(), "got {got:e}, wanted {wanted:e}");
    }

    /// Fewest failures that alarm after n runs, at index n; above n while nothing does.
    ///
    /// More successes never raise an alarm, so the boundary does not fall and one walk finds all of it.
    fn boundary(before: Counts, horizon: u64) -> Vec<u64> {
        let mut fewest = 0;
        let walk = |n| {
            while fewest <= n && !alarms(before, counts(n, fewest), fewest) {
                fewest += 1;
            }
            fewest
        };
        (0..=horizon).map(walk).collect()
    }

    /// Upper bound of the probability that a version with success rate `p` alarms, looked at after every run.
    ///
    /// `states[i]` is the probability of `low + i` failures without an alarm so far.
    fn alarm_probability(fewest: &[u64], p: f64) -> f64 {
        let (mut low, mut states, mut alarm) = (0u64, vec![1.0], 0.0);
        for &limit in &fewest[1..] {
            let mut carried = 0.0;
            for state in states.iter_mut() {
                let here = *state;
                *state = here * p + carried;
                carried = here * (1.0 - p);
            }
            if carried > NEGLIGIBLE || low + states.len() as u64 >= limit {
                states.push(carried);
            } else {
                alarm += carried;
            }
            while low + states.len() as u64 > limit {
                alarm += states.pop().unwrap_or(0.0);
            }
            let unlikely = states.iter().take_while(|state| **state < NEGLIGIBLE).count();
            alarm += states.drain(..unlikely).sum::<f64>();
            low += unlikely as u64;
        }
        alarm
    }

    /// Failures of a baseline of `n` runs with success rate `p`, each with its probability; and the probability left out.
    ///
    /// Wide distributions are thinned, for speed: `2·radius + 1` neighbours are represented by the middle one. With a quarter of
    /// the standard deviation as radius this moved no result by more than 0.0003.
    fn baselines(n: u64, p: f64, radius: u64) -> (Vec<(u64, f64)>, f64) {
        let ln_probability = |f: u64| ln_choose(n, f) + f as f64 * (1.0 - p).ln() + (n - f) as f64 * p.ln();
        let likely: Vec<(u64, f64)> =
            (0..=n).map(|f| (f, ln_probability(f).exp())).filter(|(_, probability)| *probability >= NEGLIGIBLE).collect();
        let left_out = 1.0 - likely.iter().map(|(_, probability)| probability).sum::<f64>();
        let middle = |group: &[(u64, f64)]| (group[group.len() / 2].0, group.iter().map(|(_, weight)| weight).sum());
        (likely.chunks(2 * radius as usize + 1).map(middle).collect(), left_out.max(0.0))
    }

    fn false_alarm(n0: u64, p0: f64, radius: u64) -> f64 {
        let (outcomes, left_out) = baselines(n0, p0, radius);
        let alarm = |(f0, weight): &(u64, f64)| weight * alarm_probability(&boundary(counts(n0, *f0), HORIZON), p0);
        left_out + outcomes.iter().map(alarm).sum::<f64>()
    }

    #[test]
    fn at_most_one_percent_of_healthy_versions_alarm_although_one_looks_after_every_run() {
        let mut worst = 0.0;
        for n0 in [5, 20, 50, 200, 1000, BASELINE_RUNS_MAX] {
            for p0 in [0.05, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 0.999, 0.9995] {
                let deviation = (n0 as f64 * p0 * (1.0 - p0)).sqrt();
                let rate = false_alarm(n0, p0, (deviation / 4.0) as u64);
                assert!(rate <= 0.01, "{rate} with {n0} runs before at rate {p0}");
                worst = f64::max(worst, rate);
            }
        }
        // Measured without thinning: 0.00756 (at a factor of 55). Far less would mean that the test computes something else.
        assert!((0.0074..0.0077).contains(&worst), "{worst}");
    }

    /// The rule is worst where a baseline is just good enough for two failures in the first two runs to alarm.
    #[test]
    fn between_the_rates_of_the_grid_it_is_still_under_one_percent() {
        let worst = [0.915, 0.921, 0.925].map(|p0| false_alarm(BASELINE_RUNS_MAX, p0, 0)).into_iter().fold(0.0, f64::max);
        assert!((0.0085..0.0100).contains(&worst), "{worst}");
    }

    #[test]
    fn the_boundary_is_the_one_of_the_design() {
        let large = boundary(counts(1000, 50), 2000);
        let wanted = [(5, 3), (10, 4), (20, 6), (50, 10), (100, 16), (200, 26), (500, 52), (1000, 94), (2000, 177)];
        wanted.iter().for_each(|&(n, f)| assert_eq!(large[n], f, "after {n} runs"));
        let small = boundary(counts(50, 0), 200);
        let wanted = [(2, 2), (5, 3), (10, 3), (20, 5), (50, 9), (100, 15), (200, 28)];
        wanted.iter().for_each(|&(n, f)| assert_eq!(small[n], f, "after {n} runs"));
    }

    #[test]
    fn an_alarm_is_exactly_what_reaches_the_boundary() {
        for before in [counts(5, 0), counts(20, 1), counts(50, 0), counts(50, 35), counts(1000, 50), counts(2000, 1)] {
            for (n, fewest) in (0..=120).zip(boundary(before, 120)) {
                (0..=n).for_each(|f| assert_eq!(alarms(before, counts(n, f), f), f >= fewest, "{before:?}: {f} of {n}"));
            }
        }
    }

    #[test]
    fn total_breakage_alarms_within_three_runs() {
        for n0 in 20..=BASELINE_RUNS_MAX {
            let before = counts(n0, (n0 as f64 * 0.05).round() as u64);
            assert!((1..=3).any(|n| alarms(before, counts(n, n), n)), "{before:?}");
        }
    }

    #[test]
    fn without_a_baseline_or_a_second_input_or_a_worse_rate_nothing_alarms() {
        assert!(alarms(counts(1000, 50), counts(50, 40), 2));
        assert!(!alarms(counts(1000, 50), counts(50, 40), 1));
        assert!(!alarms(counts(0, 0), counts(50, 40), 9));
        assert!(!alarms(counts(1000, 50), counts(0, 0), 0));
        assert!(log_bayes_factor(counts(1000, 800), counts(500, 10)) > ALARM_BAYES_FACTOR.ln());
        assert!(!alarms(counts(1000, 800), counts(500, 10), 10));
    }

    #[test]
    fn updating_run_by_run_gives_the_same_factor_as_recomputing() {
        for before in [counts(20, 1), counts(1000, 50), counts(2000, 1999)] {
            let (mut after, mut streamed) = (Counts::default(), 0.0);
            for run in 0..2000u64 {
                let fails = run.wrapping_mul(2_654_435_761) % 1000 < 130;
                let seen = |c: Counts| (if fails { c.failures } else { c.successes() }) as f64;
                let own = (seen(after) + 0.5) / (after.runs as f64 + 1.0);
                let pooled = (seen(before) + seen(after) + 0.5) / ((before.runs + after.runs) as f64 + 1.0);
                streamed += own.ln() - pooled.ln();
                after = counts(after.runs + 1, after.failures + u64::from(fails));
                let recomputed = log_bayes_factor(before, after);
                assert!((streamed - recomputed).abs() < 1e-9, "{streamed} {recomputed} after {after:?}");
            }
        }
    }

    // Values of this and the next two tests: mpmath with 40 digits.
    #[test]
    fn ln_gamma_has_known_values() {
        let known = [
            (0.5, 0.572_364_942_924_700_1),
            (0.75, 0.203_280_951_431_295_37),
            (1.5, -0.120_782_237_635_245_22),
            (2.5, 0.284_682_870_472_919_2),
            (7.5, 7.534_364_236_758_733),
            (9.99, 12.779_315_214_350_193),
            (12.5, 18.734_347_511_936_446),
            (100.5, 361.435_540_467_777_6),
            (1e4, 82_099.717_496_442_38),
            (1e9, 19_723_265_827.503_716),
        ];
        known.iter().for_each(|&(x, wanted)| assert_close(ln_gamma(x), wanted, 1e-13));
        assert!(ln_gamma(1.0).abs() < 1e-14 && ln_gamma(2.0).abs() < 1e-14);
        assert!(ln_gamma(0.0).is_infinite() && ln_gamma(-1.5).is_nan());
    }

    #[test]
    fn ln_beta_has_known_values_and_ignores_the_order() {
        let known = [
            (0.001, 5.0, 6.905_672_657_062_075),
            (0.5, 0.5, 1.144_729_885_849_400_2),
            (1.5, 2.5, -1.627_858_836_390_381),
            (0.5, 1e9, -9.789_267_975_423_505),
            (3.5, 1e9, -71.330_456_831_340_36),
            (20.5, 1e6, -242.386_665_337_404_33),
            (50.5, 950.5, -201.051_142_959_027_14),
            (1e9, 1e9, -1_386_294_370.216_011_4),
        ];
        for (a, b, wanted) in known {
            assert_close(ln_beta(a, b), wanted, 1e-13);
            assert_eq!(ln_beta(a, b), ln_beta(b, a));
        }
    }

    #[test]
    fn the_factor_has_known_values_up_to_huge_counts() {
        assert_close(log_bayes_factor(counts(1000, 50), counts(10, 3)), 1.773_227_782_065_145, 1e-11);
        assert_close(log_bayes_factor(counts(50, 0), counts(2, 2)), 7.189_922_170_745_808, 1e-12);
        assert_close(log_bayes_factor(counts(1_000_000, 1), counts(103, 3)), 22.750_055_152_703_83, 1e-11);
        assert_close(log_bayes_factor(counts(1_000_000_000, 5), counts(1_000_000_000, 50)), 11.118_869_521_315_848, 1e-9);
        assert_close(log_bayes_factor(counts(101_000_000, 1_000_000), counts(101_000_000, 1_000_000)), -9.094_533, 1e-6);
        assert_eq!(log_bayes_factor(counts(1000, 50), counts(0, 0)), 0.0);
        assert!(log_bayes_factor(counts(u64::MAX, u64::MAX), counts(u64::MAX, 0)).is_finite());
    }

    #[test]
    fn consecutive_failures_with_one_fingerprint_are_one_trial() {
        let (a, b) = ("KeyError", "TypeError");
        let fingerprint = |class: &str| Failure::new(&Exit::Code(1), Some(class.into()), "", vec![]).fingerprint;
        let collapsed = |runs: &[Option<&str>]| {
            let runs: Vec<Option<Fingerprint>> = runs.iter().map(|run| run.map(fingerprint)).collect();
            collapse_episodes(runs.iter().map(Option::as_ref))
        };
        assert_eq!(collapsed(&[]), counts(0, 0));
        assert_eq!(collapsed(&[None, None, None]), counts(3, 0));
        assert_eq!(collapsed(&[Some(a), Some(a), Some(a)]), counts(1, 1));
        assert_eq!(collapsed(&[Some(a), Some(a), None, Some(a)]), counts(3, 2));
        assert_eq!(collapsed(&[Some(a), Some(b), Some(b), Some(a)]), counts(3, 3));
    }

    #[test]
    fn the_permutation_test_counts_arrangements() {
        assert_close(permutation_p(3, 0, 3), 1.0 / 20.0, 1e-12);
        assert_close(permutation_p(4, 0, 4), 1.0 / 70.0, 1e-12);
        assert_close(permutation_p(5, 0, 5), 1.0 / 252.0, 1e-12);
        assert_close(permutation_p(4, 1, 4), 5.0 / 70.0, 1e-12);
        assert_close(permutation_p(4, 1, 3), 17.0 / 70.0, 1e-12);
        assert_close(permutation_p(4, 2, 2), 53.0 / 70.0, 1e-12);
        assert_close(permutation_p(4, 3, 1), 69.0 / 70.0, 1e-12);
        for (each, old, new) in [(0, 0, 0), (4, 0, 0), (4, 4, 4), (4, 4, 0), (4, 9, 9)] {
            assert_eq!(permutation_p(each, old, new), 1.0);
        }
        let many = permutation_p(u32::MAX, u32::MAX / 2, u32::MAX / 2);
        assert!((0.5..0.501).contains(&many), "{many}");
    }

    #[test]
    fn two_clean_inputs_of_four_replays_do_not_confirm_but_three_do() {
        let clean = permutation_p(4, 0, 4);
        assert_close(combine_fisher(&[clean; 2]), (1.0 + 4900f64.ln()) / 4900.0, 1e-12);
        assert!(combine_fisher(&[clean; 2]) > CONFIRM_P);
        assert!(combine_fisher(&[clean; 3]) <= CONFIRM_P);
        assert!(combine_fisher(&[permutation_p(5, 0, 5); 2]) <= CONFIRM_P);
    }

    #[test]
    fn combining_p_values_is_total() {
        assert_eq!(combine_fisher(&[]), 1.0);
        assert_eq!(combine_fisher(&[1.0, 1.0, 7.0, f64::NAN]), 1.0);
        assert_eq!(combine_fisher(&[0.0, 1.0]), 0.0);
        assert_close(combine_fisher(&[0.03]), 0.03, 1e-12);
        // 2,000 values whose product underflows: the sum is about ½, since χ² with 2m degrees of freedom has mean 2m.
        let typical = combine_fisher(&[(-1f64).exp(); 2000]);
        assert!((0.49..0.51).contains(&typical), "{typical}");
    }

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
}
