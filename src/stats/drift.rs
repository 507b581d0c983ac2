//! Drift: one version that begins to fail more, nobody knows when.

use super::intervals::cautious_failure_rate;
use crate::model::Counts;

/// Odds of failure, as a factor, for which a drift is looked for.
pub const DRIFT_ODDS: [f64; 2] = [3.0, 8.0];

/// Evidence of a drift: ln(N·2/α) for α = 1 % of healthy versions within N = 2,000 runs, and two factors looked for.
///
/// 4.6 would do for one question asked once; here every run may be the one since which it is worse.
pub const DRIFT_ALARM: f64 = 12.899_219_826_090_12;

/// Fewer runs are no baseline.
pub const DRIFT_BASELINE_RUNS: u64 = 50;

/// A version's failures over time, against those of its own past.
///
/// For each factor a cumulative sum W = max(0, W + f·ln(q/p) + s·ln((1−q)/(1−p))), where p is what the baseline may fail at most
/// ([`cautious_failure_rate`]) and q has the odds of p times the factor. The baseline are the runs before the present rise of any of
/// them: it grows as long as nothing rises, and a rise does not get into it. Source: E. S. Page, "Continuous inspection schemes",
/// Biometrika 41 (1954); the threshold N/α is that of e-detectors (Shin, Ramdas, Rinaldo, NEJSDS 2023).
///
/// Runs may come in blocks (the hours of rollups): what can begin only where a block begins is never more than what can begin
/// anywhere, so that blocks only make it more cautious.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drift {
    baseline: Counts,
    rising: Counts,
    sums: [f64; DRIFT_ODDS.len()],
    blocks: usize,
}

impl Drift {
    /// The next runs in order of time.
    pub fn add(&mut self, block: Counts) {
        let is_calm = self.blocks == 0 && block.failures == 0;
        if self.baseline.runs < DRIFT_BASELINE_RUNS || is_calm {
            return self.settle(block);
        }
        let expected = cautious_failure_rate(self.baseline);
        for (sum, odds) in self.sums.iter_mut().zip(DRIFT_ODDS) {
            *sum = (*sum + log_likelihood_ratio(block, expected, odds)).max(0.0);
        }
        if self.sums.iter().all(|sum| *sum <= 0.0) {
            self.settle(block);
        } else {
            self.rising = plus(self.rising, block);
            self.blocks += 1;
        }
    }

    /// What is no drift belongs to the past.
    fn settle(&mut self, block: Counts) {
        self.baseline = plus(plus(self.baseline, self.rising), block);
        (self.rising, self.blocks) = (Counts::default(), 0);
    }

    /// Evidence for the likelier of the factors, as a natural logarithm.
    pub fn evidence(&self) -> f64 {
        self.sums.iter().copied().fold(0.0, f64::max)
    }

    /// Whether it is enough.
    pub fn is_certain(&self) -> bool {
        self.evidence() >= DRIFT_ALARM
    }

    /// The runs before the rise, and those since.
    pub fn counts(&self) -> (Counts, Counts) {
        (self.baseline, self.rising)
    }

    /// How many of the last blocks belong to the rise.
    pub fn blocks(&self) -> usize {
        self.blocks
    }
}

/// ln of the likelihood of a block at `odds` times the odds of `rate`, against `rate`.
fn log_likelihood_ratio(block: Counts, rate: f64, odds: f64) -> f64 {
    // q/p = odds / (1 + (odds−1)·p) and (1−q)/(1−p) = 1 / (1 + (odds−1)·p).
    let scale = ((odds - 1.0) * rate).ln_1p();
    block.failures as f64 * odds.ln() - block.runs as f64 * scale
}

fn plus(a: Counts, b: Counts) -> Counts {
    Counts { runs: a.runs.saturating_add(b.runs), failures: a.failures.saturating_add(b.failures) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::streams::Dice;

    fn counts(runs: u64, failures: u64) -> Counts {
        Counts { runs, failures }
    }

    /// Blocks of ten runs at a failure rate.
    fn feed(drift: &mut Drift, dice: &mut Dice, blocks: usize, rate: f64) -> Option<usize> {
        (1..=blocks).find(|_| {
            drift.add(counts(10, (0..10).filter(|_| dice.chance(rate)).count() as u64));
            drift.is_certain()
        })
    }

    #[test]
    fn one_percent_of_healthy_versions_drift_at_most() {
        for (start, rate) in [(50, 0.05), (200, 0.3), (1000, 0.05), (1000, 0.01)] {
            let mut dice = Dice::new(7);
            let alarms = |_: &u32| {
                let mut drift = Drift::default();
                feed(&mut drift, &mut dice, start / 10, rate);
                feed(&mut drift, &mut dice, 200, rate).is_some()
            };
            let found = (0..300).filter(alarms).count();
            assert!(found <= 3, "{found} of 300, {start} runs before at {rate}");
        }
    }

    #[test]
    fn a_drop_that_begins_late_is_found_within_the_runs_of_the_design() {
        // Mean delay of the design: 192 runs for 0.95 → 0.85 and 17 for 0.95 → 0.5, with the baseline known a little better.
        for (after, within) in [(0.15, 280), (0.5, 40)] {
            let mut dice = Dice::new(11);
            let mut delays = 0;
            for _ in 0..100 {
                let mut drift = Drift::default();
                feed(&mut drift, &mut dice, 150, 0.05);
                delays += 10 * feed(&mut drift, &mut dice, 400, after).expect("is found");
            }
            assert!(delays / 100 <= within, "{} runs", delays / 100);
        }
    }

    #[test]
    fn what_rises_is_not_in_the_baseline_and_what_ends_is() {
        let mut drift = Drift::default();
        (0..100).for_each(|_| drift.add(counts(10, 0)));
        assert_eq!((drift.counts(), drift.blocks()), ((counts(1000, 0), counts(0, 0)), 0));
        (0..3).for_each(|_| drift.add(counts(10, 3)));
        assert!(drift.is_certain());
        assert_eq!((drift.counts(), drift.blocks()), ((counts(1000, 0), counts(30, 9)), 3));
        drift.add(counts(1_000_000, 0));
        assert_eq!((drift.counts(), drift.blocks()), ((counts(1_001_030, 9), counts(0, 0)), 0));
    }

    #[test]
    fn the_blocks_of_rollups_give_the_same_as_adding_run_by_run_within_them() {
        let mut dice = Dice::new(3);
        let (mut drift, mut sums, mut baseline) = (Drift::default(), [0.0f64; 2], counts(0, 0));
        for hour in 0..300 {
            let rate = if hour < 200 { 0.02 } else { 0.05 };
            let runs: Vec<bool> = (0..dice.below(30)).map(|_| dice.chance(rate)).collect();
            drift.add(counts(runs.len() as u64, runs.iter().filter(|failed| **failed).count() as u64));
            if sums == [0.0; 2] {
                baseline = drift.counts().0;
            }
            if baseline.runs < DRIFT_BASELINE_RUNS || drift.blocks() == 0 {
                sums = [0.0; 2];
                continue;
            }
            let p = cautious_failure_rate(drift.counts().0);
            for (sum, odds) in sums.iter_mut().zip(DRIFT_ODDS) {
                let q = odds * p / (1.0 - p + odds * p);
                *sum += runs.iter().map(|failed| if *failed { (q / p).ln() } else { ((1.0 - q) / (1.0 - p)).ln() }).sum::<f64>();
                *sum = sum.max(0.0);
            }
            let streamed = sums.iter().copied().fold(0.0, f64::max);
            assert!((streamed - drift.evidence()).abs() < 1e-9, "{streamed} {} in hour {hour}", drift.evidence());
        }
        assert!(drift.evidence() > 3.0);
    }

    #[test]
    fn huge_and_empty_blocks_are_no_accident() {
        let mut drift = Drift::default();
        drift.add(counts(0, 0));
        drift.add(counts(1_000_000_000, 0));
        drift.add(counts(1_000_000_000, 1_000_000_000));
        assert!(drift.is_certain() && drift.evidence().is_finite());
        let mut failing = Drift::default();
        (0..9).for_each(|_| failing.add(counts(100, 100)));
        assert!(!failing.is_certain());
        (0..2).for_each(|_| failing.add(counts(u64::MAX, u64::MAX)));
        assert!(!failing.evidence().is_nan());
    }
}
