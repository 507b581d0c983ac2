//! Latency: runs that take longer than those of the version before, typically or at worst.
//!
//! From sketches, so that every figure adds up: the runs of an hour, a day or a version are their buckets' counts.

use std::time::Duration;

use super::alarm::log_bayes_factor;
use crate::model::{Counts, Sketch};

/// Evidence that typical runs take longer.
pub const LATENCY_BAYES_FACTOR: f64 = 50.0;

/// Evidence that more runs are beyond a quantile of the version before; asked of each of the two quantiles.
pub const TAIL_BAYES_FACTOR: f64 = 100.0;

/// What is less is no matter, however certain.
pub const LATENCY_RATIO: f64 = 1.2;

/// Fewer runs of either version say nothing.
pub const LATENCY_RUNS: (u64, u64) = (50, 10);

/// Quantiles of the version before beyond which runs are counted.
const QUANTILES: [f64; 2] = [0.5, 0.9];

/// Prior variance of the shift, in variances of a run.
const PRIOR: f64 = 0.25;

/// A standard deviation of ln duration that no machine keeps below, so that a tool that always took the same is not infinitely sure.
const SPREAD_MIN: f64 = 0.05;

/// Runs that take longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slower {
    /// The quantile that rose; ½ is the median.
    pub quantile: f64,
    pub before: Duration,
    pub after: Duration,
    pub log_bayes_factor: f64,
}

/// Bounds beyond which durations count as the bound: one run that hangs must not decide a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Winsor {
    low: f64,
    high: f64,
}

impl Winsor {
    /// ln of the median, more or less 3 · 1.4826 · MAD of ln of the durations (the factor makes the median absolute deviation the
    /// standard deviation of a normal distribution); `None` without any.
    pub fn of(baseline: &Sketch) -> Option<Winsor> {
        let median = ln_microseconds(baseline.quantile(0.5)?);
        let mut apart: Vec<(f64, u64)> =
            baseline.buckets().map(|(duration, count)| ((ln_microseconds(duration) - median).abs(), count)).collect();
        apart.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (half, mut below) = (baseline.count().div_ceil(2), 0);
        let found = apart.iter().find(|(_, count)| {
            below += count;
            below >= half
        });
        let reach = 3.0 * (1.4826 * found?.0).max(SPREAD_MIN);
        Some(Winsor { low: median - reach, high: median + reach })
    }

    /// What is summed up of durations.
    pub fn moments(&self, durations: &Sketch) -> Moments {
        durations.buckets().fold(Moments::default(), |sum, (duration, count)| {
            let log = ln_microseconds(duration).clamp(self.low, self.high);
            let n = count as f64;
            sum.plus(Moments { n, sum: n * log, squares: n * log * log })
        })
    }
}

/// Number, sum and sum of squares of winsorised ln durations: of parts they add up to those of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    pub n: f64,
    pub sum: f64,
    pub squares: f64,
}

impl Moments {
    /// Of both together.
    pub fn plus(self, other: Moments) -> Moments {
        Moments { n: self.n + other.n, sum: self.sum + other.sum, squares: self.squares + other.squares }
    }

    fn mean(&self) -> f64 {
        self.sum / self.n
    }

    fn variance(&self) -> f64 {
        ((self.squares - self.sum * self.mean()) / (self.n - 1.0).max(1.0)).max(SPREAD_MIN * SPREAD_MIN)
    }
}

/// Natural logarithm of the Bayes factor for "the mean of ln duration moved" against "it is the same"; it knows no direction.
///
/// With d the difference of the means, σ² the variance before, V = σ²(1/n₀ + 1/n₁) and τ² = σ²/4:
/// ½·ln(V/(V+τ²)) + τ²d²/(2V(V+τ²)): a normal mixture over the shift (Howard, Ramdas et al., "Time-uniform, nonparametric,
/// nonasymptotic confidence sequences", AoS 49, 2021). A shift by τ is what one looks for. 0 while either side has no runs.
pub fn shift_log_bayes_factor(before: Moments, after: Moments) -> f64 {
    if before.n < 1.0 || after.n < 1.0 {
        return 0.0;
    }
    let (variance, d) = (before.variance(), after.mean() - before.mean());
    let (v, prior) = (variance * (1.0 / before.n + 1.0 / after.n), PRIOR * variance);
    0.5 * (v / (v + prior)).ln() + prior * d * d / (2.0 * v * (v + prior))
}

/// Whether the runs after take longer, by at least [`LATENCY_RATIO`]: typically (the mean), or beyond a quantile (more of them than
/// the quantile says, by the factor that also compares failures). The median goes before the others.
pub fn slower(before: &Sketch, after: &Sketch) -> Option<Slower> {
    if before.count() < LATENCY_RUNS.0 || after.count() < LATENCY_RUNS.1 {
        return None;
    }
    let at = |quantile| Some((before.quantile(quantile)?, after.quantile(quantile)?));
    let winsor = Winsor::of(before)?;
    let (old, new) = (winsor.moments(before), winsor.moments(after));
    let factor = shift_log_bayes_factor(old, new);
    if factor >= LATENCY_BAYES_FACTOR.ln() && new.mean() - old.mean() >= LATENCY_RATIO.ln() {
        let (before, after) = at(0.5)?;
        return Some(Slower { quantile: 0.5, before, after, log_bayes_factor: factor });
    }
    QUANTILES.into_iter().find_map(|quantile| {
        let (old, new) = at(quantile)?;
        let beyond = |sketch: &Sketch| Counts { runs: sketch.count(), failures: sketch.above(old) };
        let (few, many) = (beyond(before), beyond(after));
        let factor = log_bayes_factor(few, many);
        let worse = many.success_rate() < few.success_rate() && new.as_secs_f64() >= LATENCY_RATIO * old.as_secs_f64();
        (worse && factor >= TAIL_BAYES_FACTOR.ln()).then_some(Slower {
            quantile,
            before: old,
            after: new,
            log_bayes_factor: factor,
        })
    })
}

fn ln_microseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).max(1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::streams::Dice;

    /// Log-normal around 100 ms with σ = 0.6, one in fifty ten times as long.
    fn duration(dice: &mut Dice, factor: f64) -> Duration {
        let outlier = if dice.chance(0.02) { 10.0 } else { 1.0 };
        Duration::from_secs_f64(0.1 * factor * outlier * (0.6 * dice.normal()).exp())
    }

    fn sketch(dice: &mut Dice, runs: u64, factor: f64) -> Sketch {
        (0..runs).fold(Sketch::default(), |mut sketch, _| {
            sketch.add(duration(dice, factor));
            sketch
        })
    }

    /// Runs until it is found slower, looked at after every tenth.
    fn delay(dice: &mut Dice, before: &Sketch, factor: f64, horizon: u64) -> Option<u64> {
        let mut after = Sketch::default();
        (1..=horizon).find(|run| {
            after.add(duration(dice, factor));
            run % 10 == 0 && slower(before, &after).is_some()
        })
    }

    #[test]
    fn a_version_as_fast_as_the_one_before_is_seldom_called_slower() {
        let mut dice = Dice::new(1);
        for n0 in [50, 200, 1000] {
            let found = (0..150).filter(|_| {
                let before = sketch(&mut dice, n0, 1.0);
                delay(&mut dice, &before, 1.0, 500).is_some()
            });
            let found = found.count();
            assert!(found <= 3, "{found} of 150 with {n0} runs before");
        }
    }

    #[test]
    fn half_as_long_again_is_found_within_the_runs_of_the_design() {
        let mut dice = Dice::new(2);
        // Mean delay of the design for 1,000 runs before: 109, 32 and 12; here one looks after every tenth run.
        for (factor, within) in [(1.5, 45), (2.0, 20)] {
            let total: u64 = (0..60)
                .map(|_| {
                    let before = sketch(&mut dice, 1000, 1.0);
                    delay(&mut dice, &before, factor, 1000).expect("is found")
                })
                .sum();
            assert!(total / 60 <= within, "{} runs for {factor}", total / 60);
        }
    }

    #[test]
    fn a_tail_that_grows_is_found_although_the_median_stays() {
        let mut dice = Dice::new(3);
        let before = sketch(&mut dice, 1000, 1.0);
        let mut after = Sketch::default();
        for _ in 0..1500 {
            let factor = if dice.chance(0.15) { 6.0 } else { 0.9 };
            after.add(duration(&mut dice, factor));
        }
        let found = slower(&before, &after).expect("the tail");
        assert!(found.quantile == 0.9 && found.after > found.before.mul_f64(1.2), "{found:?}");
    }

    #[test]
    fn less_than_a_fifth_is_no_matter_and_faster_is_no_harm() {
        let same = |millis: u64, runs: u64| {
            (0..runs).fold(Sketch::default(), |mut sketch, _| {
                sketch.add(Duration::from_millis(millis));
                sketch
            })
        };
        assert_eq!(slower(&same(100, 1000), &same(112, 1000)), None);
        assert_eq!(slower(&same(100, 1000), &same(10, 1000)), None);
        assert!(slower(&same(100, 1000), &same(130, 100)).is_some());
        assert_eq!(slower(&same(100, 49), &same(900, 1000)), None);
        assert_eq!(slower(&same(100, 1000), &same(900, 9)), None);
        assert_eq!(slower(&Sketch::default(), &Sketch::default()), None);
    }

    #[test]
    fn the_hours_of_rollups_give_the_same_as_adding_run_by_run() {
        let mut dice = Dice::new(4);
        let before = sketch(&mut dice, 700, 1.0);
        let winsor = Winsor::of(&before).expect("durations");
        let (mut streamed, mut hours, mut whole) = (Moments::default(), Moments::default(), Sketch::default());
        for _ in 0..40 {
            let mut hour = Sketch::default();
            for _ in 0..dice.below(60) {
                let duration = duration(&mut dice, 1.3);
                hour.add(duration);
                let mut one = Sketch::default();
                one.add(duration);
                streamed = streamed.plus(winsor.moments(&one));
            }
            hours = hours.plus(winsor.moments(&hour));
            whole.merge(&hour);
            let old = winsor.moments(&before);
            let factors = [streamed, hours, winsor.moments(&whole)].map(|after| shift_log_bayes_factor(old, after));
            assert!(factors.iter().all(|factor| (factor - factors[0]).abs() < 1e-9), "{factors:?}");
        }
        assert!(slower(&before, &whole).is_some());
    }

    #[test]
    fn the_factor_has_the_value_of_the_formula_up_to_huge_counts() {
        let moments =
            |n: f64, mean: f64, variance: f64| Moments { n, sum: n * mean, squares: (n - 1.0) * variance + n * mean * mean };
        // σ² = 1, n₀ = 100, n₁ = 25, d = 0.5: V = 0.05, τ² = 0.25.
        let wanted = 0.5 * (0.05f64 / 0.3).ln() + 0.25 * 0.25 / (2.0 * 0.05 * 0.3);
        assert!((shift_log_bayes_factor(moments(100.0, 1.0, 1.0), moments(25.0, 1.5, 1.0)) - wanted).abs() < 1e-9);
        assert_eq!(shift_log_bayes_factor(Moments::default(), moments(25.0, 1.5, 1.0)), 0.0);
        let huge = shift_log_bayes_factor(moments(1e9, 11.0, 0.36), moments(1e9, 11.0, 0.36));
        assert!((-11.0..-7.0).contains(&huge), "{huge}");
        assert!(shift_log_bayes_factor(moments(1e9, 11.0, 0.36), moments(1e9, 12.0, 0.36)).is_finite());
    }
}
