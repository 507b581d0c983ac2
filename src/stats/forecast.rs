//! Forecast: a success rate that falls, and whether it will cross a threshold.

use super::special::normal_above;
use crate::model::Counts;

/// Standard errors by which the slope must be a fall. The loop looks again and again, which a single look's 2 does not stand.
pub const FALL_CERTAIN: f64 = 3.5;

/// Probability of crossing from which on it is told.
pub const CROSSING_LIKELY: f64 = 0.9;

/// Fewer times with runs are no trend.
const TIMES_MIN: usize = 6;

/// A success rate that falls and will probably cross the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// The fitted success rate now, and at the horizon.
    pub now: f64,
    pub then: f64,
    /// Probability that it lies below the threshold at the horizon.
    pub probability: f64,
}

/// Whether the success rate, which is above the threshold now, will be below it after `horizon`, judged by its trend so far.
///
/// `points` are counts and their times, in any unit, with 0 as now and the past negative. A logistic regression on time (McCullagh &
/// Nelder, "Generalized Linear Models", 1989, chapter 4) by Newton's method, with half a success and half a failure at the mean time,
/// so that counts without either have a fit; its covariance is scaled by Pearson's χ² per degree of freedom where that is above one
/// (their 4.5), because runs within an hour are alike. Told when the slope is a fall by `FALL_CERTAIN` standard errors and the
/// probability of crossing, from the normal distribution of the fitted logit at the horizon, reaches [`CROSSING_LIKELY`]. Never
/// further into the future than the points reach into the past.
pub fn forecast(points: &[(f64, Counts)], threshold: f64, horizon: f64) -> Option<Forecast> {
    let points: Vec<(f64, Counts)> = points.iter().copied().filter(|(_, counts)| counts.runs > 0).collect();
    let (first, last) = (points.iter().map(|(at, _)| *at).reduce(f64::min)?, points.iter().map(|(at, _)| *at).reduce(f64::max)?);
    let span = last - first;
    if points.len() < TIMES_MIN || !(span > 0.0 && threshold > 0.0 && threshold < 1.0) {
        return None;
    }
    let runs: f64 = points.iter().map(|(_, counts)| counts.runs as f64).sum();
    let centre = points.iter().map(|(at, counts)| at * counts.runs as f64).sum::<f64>() / runs;
    let scaled: Vec<(f64, f64, f64)> = points
        .iter()
        .map(|(at, counts)| ((at - centre) / span, counts.runs as f64, counts.successes() as f64))
        .chain([(0.0, 1.0, 0.5)])
        .collect();
    let fit = Fit::of(&scaled)?;
    let dispersion = fit.dispersion(&scaled).max(1.0);
    let (now, then) = ((0.0 - centre) / span, (horizon.min(span) - centre) / span);
    let wanted = logit(threshold);
    let (mean, variance) = (fit.at(then), fit.variance(then) * dispersion);
    let probability = normal_above((mean - wanted) / variance.sqrt());
    let falls = fit.slope <= -FALL_CERTAIN * (fit.variances.1 * dispersion).sqrt();
    let above = fit.at(now) >= wanted;
    (falls && above && probability >= CROSSING_LIKELY).then(|| Forecast {
        now: logistic(fit.at(now)),
        then: logistic(mean),
        probability,
    })
}

/// logit p = intercept + slope · x, with the variances of both and their covariance.
struct Fit {
    intercept: f64,
    slope: f64,
    variances: (f64, f64),
    covariance: f64,
}

impl Fit {
    /// Of (x, runs, successes); `None` where it does not converge.
    fn of(points: &[(f64, f64, f64)]) -> Option<Fit> {
        const STEPS: usize = 100;
        const LONGEST: f64 = 2.0;
        let mut fit = Fit { intercept: 0.0, slope: 0.0, variances: (0.0, 0.0), covariance: 0.0 };
        for _ in 0..STEPS {
            let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (x, runs, successes) in points {
                let p = logistic(fit.at(*x));
                let (residual, weight) = (successes - runs * p, runs * p * (1.0 - p));
                (g0, g1) = (g0 + residual, g1 + residual * x);
                (h00, h01, h11) = (h00 + weight, h01 + weight * x, h11 + weight * x * x);
            }
            let determinant = h00 * h11 - h01 * h01;
            if !(determinant > 0.0 && determinant.is_finite()) {
                return None;
            }
            fit.variances = (h11 / determinant, h00 / determinant);
            fit.covariance = -h01 / determinant;
            let step = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
            // A long step overshoots where the curve is flat.
            let short = (LONGEST / step.0.abs().max(step.1.abs())).min(1.0);
            (fit.intercept, fit.slope) = (fit.intercept + short * step.0, fit.slope + short * step.1);
            if step.0.abs().max(step.1.abs()) < 1e-10 {
                return Some(fit);
            }
        }
        None
    }

    fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }

    /// Of the fitted logit at x.
    fn variance(&self, x: f64) -> f64 {
        self.variances.0 + 2.0 * x * self.covariance + x * x * self.variances.1
    }

    /// Pearson's χ² per degree of freedom.
    fn dispersion(&self, points: &[(f64, f64, f64)]) -> f64 {
        let part = |(x, runs, successes): &(f64, f64, f64)| {
            let p = logistic(self.at(*x));
            (successes - runs * p).powi(2) / (runs * p * (1.0 - p)).max(1e-12)
        };
        points.iter().map(part).sum::<f64>() / (points.len() as f64 - 3.0).max(1.0)
    }
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::streams::Dice;

    /// Hours with so many runs each, whose success rate is given by hour, from the past until now.
    fn hours(dice: &mut Dice, count: i32, runs: u64, rate: impl Fn(f64) -> f64) -> Vec<(f64, Counts)> {
        let hour = |at: i32| {
            let at = f64::from(at);
            (at, Counts { runs, failures: (0..runs).filter(|_| !dice.chance(rate(at))).count() as u64 })
        };
        (-count..=0).map(hour).collect()
    }

    #[test]
    fn a_rate_that_falls_towards_the_threshold_is_told_before_it_is_there() {
        let mut dice = Dice::new(1);
        // From 0.98 to 0.80 within three days, and 0.70 about two days later.
        let points = hours(&mut dice, 72, 10, |at| 0.80 - 0.0025 * at);
        let found = forecast(&points, 0.7, 72.0).expect("a fall");
        assert!((0.74..0.86).contains(&found.now) && found.then < 0.7 && found.probability >= CROSSING_LIKELY, "{found:?}");
        assert_eq!(forecast(&points, 0.7, 6.0), None);
        assert_eq!(forecast(&points, 0.2, 72.0), None);
        // Where it is already, there is nothing to foretell.
        assert_eq!(forecast(&points, 0.95, 72.0), None);
    }

    #[test]
    fn a_rate_that_stays_is_not_foretold_to_fall_although_one_looks_every_hour() {
        for (rate, runs) in [(0.72, 10), (0.75, 3), (0.95, 20)] {
            let mut dice = Dice::new(2);
            let false_ones = (0..60).filter(|_| {
                let points = hours(&mut dice, 240, runs, |_| rate);
                (24..points.len()).step_by(3).any(|until| {
                    let now = points[until].0;
                    let seen: Vec<(f64, Counts)> = points[..=until].iter().map(|(at, counts)| (at - now, *counts)).collect();
                    forecast(&seen, 0.7, 72.0).is_some()
                })
            });
            let false_ones = false_ones.count();
            assert!(false_ones <= 1, "{false_ones} of 60 at {rate}");
        }
    }

    #[test]
    fn a_rate_that_jumps_about_is_no_trend() {
        let mut dice = Dice::new(3);
        // Whole hours are bad, more of them of late, as when something outside comes and goes.
        let points = hours(&mut dice, 72, 50, |at| if (at as i64).rem_euclid(7) < 2 { 0.55 } else { 0.97 });
        assert_eq!(forecast(&points, 0.7, 72.0), None);
    }

    #[test]
    fn the_fit_is_that_of_the_books() {
        // Exact where two times have all the weight: the logits of the two rates.
        let fit = Fit::of(&[(-0.5, 1000.0, 900.0), (0.5, 1000.0, 600.0)]).expect("converges");
        assert!((fit.at(-0.5) - logit(0.9)).abs() < 1e-9 && (fit.at(0.5) - logit(0.6)).abs() < 1e-9);
        let wanted = 1.0 / (1000.0 * 0.9 * 0.1) + 1.0 / (1000.0 * 0.6 * 0.4);
        assert!((fit.variances.1 - wanted).abs() < 1e-9, "{} {wanted}", fit.variances.1);
    }

    #[test]
    fn no_counts_make_it_panic_or_invent_a_fall() {
        let at = |hour: i32, runs, failures| (f64::from(hour), Counts { runs, failures });
        let all = |runs, failures| (-20..=0).map(|hour| at(hour, runs, failures)).collect::<Vec<_>>();
        for points in [vec![], vec![at(0, 5, 5)], all(0, 0), all(1, 0), all(1, 1), all(1_000_000_000, 0), all(7, 9)] {
            assert_eq!(forecast(&points, 0.7, 72.0), None);
        }
        let sudden: Vec<(f64, Counts)> = (-20..=0).map(|hour| at(hour, 100, if hour == 0 { 100 } else { 0 })).collect();
        let _ = forecast(&sudden, 0.7, 72.0);
        let late: Vec<(f64, Counts)> =
            (-20..=0).map(|hour| at(hour, 1_000_000_000, 20_000_000 * (20 + hour).unsigned_abs() as u64)).collect();
        let _ = forecast(&late, 0.7, f64::INFINITY);
        assert_eq!(forecast(&all(10, 1), f64::NAN, f64::NAN), None);
    }
}
