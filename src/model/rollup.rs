//! What is known of the runs of one hour without looking at any of them. Every figure adds up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Outcome;
use super::sketch::Sketch;

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

/// The hour (since the Unix epoch) in which a run ended.
pub fn hour_of(ended_milliseconds: i64) -> i64 {
    ended_milliseconds.div_euclid(HOUR)
}

/// When an hour begins, in Unix milliseconds.
pub fn hour_begins(hour: i64) -> i64 {
    hour.saturating_mul(HOUR)
}

/// One run as a rollup sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupRun {
    /// The execution's identity, which begins with when it ended.
    pub id: [u8; 16],
    pub duration: Duration,
    pub outcome: Outcome,
    /// A number for its fingerprint; present when it failed.
    pub fingerprint: Option<i64>,
    /// The digest of its input; `None` when nothing is known of the input.
    pub input: Option<[u8; 16]>,
}

/// The runs of one tool, version, caller and hour.
///
/// Adding runs in any order gives the same rollup, except for `episodes`: those depend on what ran between, so a run that comes
/// late leaves the rollup *unsettled* and its hour has to be folded again from its executions, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// Without errors of the environment.
    pub runs: u64,
    pub failures: u64,
    pub errors: u64,
    /// Failures, where consecutive ones with one fingerprint count once.
    pub episodes: u64,
    /// Whether `episodes` is right.
    pub settled: bool,
    /// Σ and Σ of squares of the natural logarithm of the duration in microseconds, winsorised to 100 µs … 1 h, in millionths.
    /// Whole numbers, so that they add up to the same in any order.
    pub log_sum: i64,
    pub log_squares: i64,
    pub sketch: Sketch,
    /// The first and the last run that counts, with the fingerprint if it failed.
    pub ends: Option<(End, End)>,
    /// Failures by fingerprint and input.
    pub failing: BTreeMap<(i64, Option<[u8; 16]>), Failing>,
}

/// A run at one end of a rollup.
pub type End = ([u8; 16], Option<i64>);

/// The failures of one kind on one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    pub failures: u64,
    /// The newest of them.
    pub newest: [u8; 16],
}

impl Default for Rollup {
    fn default() -> Self {
        Rollup {
            runs: 0,
            failures: 0,
            errors: 0,
            episodes: 0,
            settled: true,
            log_sum: 0,
            log_squares: 0,
            sketch: Sketch::default(),
            ends: None,
            failing: BTreeMap::new(),
        }
    }
}

impl Rollup {
    /// Adds one run.
    pub fn add(&mut self, run: &RollupRun) {
        if run.outcome == Outcome::Error {
            self.errors += 1;
            return;
        }
        let failed = run.fingerprint.filter(|_| run.outcome == Outcome::Failure);
        let mut one = Rollup {
            runs: 1,
            failures: failed.is_some().into(),
            episodes: failed.is_some().into(),
            ends: Some(((run.id, failed), (run.id, failed))),
            ..Rollup::default()
        };
        let log = winsorised_log(run.duration);
        (one.log_sum, one.log_squares) = (millionths(log), millionths(log * log));
        if let Some(fingerprint) = failed {
            one.failing.insert((fingerprint, run.input), Failing { failures: 1, newest: run.id });
        }
        self.merge(&one);
        self.sketch.add(run.duration);
    }

    /// Adds all of another rollup of the same tool, version and caller.
    ///
    /// Two rollups that follow each other in time share one episode when the one ends with the failure with which the other begins.
    /// Where they interleave, the sum is unsettled.
    pub fn merge(&mut self, other: &Rollup) {
        let (ends, joined, ordered) = join(self.ends, other.ends);
        self.settled = self.settled && other.settled && ordered;
        self.episodes = (self.episodes + other.episodes).saturating_sub(joined.into());
        self.ends = ends;
        self.runs += other.runs;
        self.failures += other.failures;
        self.errors += other.errors;
        self.log_sum += other.log_sum;
        self.log_squares += other.log_squares;
        self.sketch.merge(&other.sketch);
        for (key, failing) in &other.failing {
            let own = self.failing.entry(*key).or_insert(Failing { failures: 0, newest: failing.newest });
            own.failures += failing.failures;
            own.newest = own.newest.max(failing.newest);
        }
    }
}

/// The ends of two rows of runs together, whether they share an episode, and whether one follows the other.
fn join(a: Option<(End, End)>, b: Option<(End, End)>) -> (Option<(End, End)>, bool, bool) {
    let (Some((first_a, last_a)), Some((first_b, last_b))) = (a, b) else { return (a.or(b), false, true) };
    let shared = |before: End, after: End| before.1.is_some() && before.1 == after.1;
    if last_a.0 < first_b.0 {
        (Some((first_a, last_b)), shared(last_a, first_b), true)
    } else if last_b.0 < first_a.0 {
        (Some((first_b, last_a)), shared(last_b, first_a), true)
    } else {
        let first = if first_a.0 <= first_b.0 { first_a } else { first_b };
        let last = if last_a.0 >= last_b.0 { last_a } else { last_b };
        (Some((first, last)), false, false)
    }
}

/// ln of the microseconds, moved to the nearer end outside 100 µs … 1 h: one forgotten run must not decide a mean.
fn winsorised_log(duration: Duration) -> f64 {
    (duration.as_nanos() as f64 / 1_000.0).clamp(100.0, 3.6e9).ln()
}

fn millionths(value: f64) -> i64 {
    (value * 1e6).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(at: u64, outcome: u8, input: u8) -> RollupRun {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&at.to_be_bytes());
        id[15] = input;
        let outcome = [Outcome::Success, Outcome::Failure, Outcome::Failure, Outcome::Error][usize::from(outcome % 4)];
        let fingerprint = (outcome == Outcome::Failure).then_some(i64::from(input % 2));
        RollupRun { id, duration: Duration::from_micros(at * 17 + 1), outcome, fingerprint, input: Some([input; 16]) }
    }

    /// Straight from the definition.
    fn episodes(runs: &[RollupRun]) -> u64 {
        let counted: Vec<_> = runs.iter().filter(|run| run.outcome != Outcome::Error).map(|run| run.fingerprint).collect();
        (0..counted.len()).filter(|at| counted[*at].is_some() && (*at == 0 || counted[at - 1] != counted[*at])).count() as u64
    }

    fn fold(runs: &[RollupRun]) -> Rollup {
        runs.iter().fold(Rollup::default(), |mut rollup, run| {
            rollup.add(run);
            rollup
        })
    }

    proptest! {
        #[test]
        fn runs_in_order_are_settled_and_halves_add_up(raw in prop::collection::vec((any::<u8>(), 0u8..4), 0..40), split in 0usize..40) {
            let runs: Vec<_> = raw.iter().enumerate().map(|(at, (outcome, input))| run(at as u64, *outcome, *input)).collect();
            let whole = fold(&runs);
            prop_assert!(whole.settled);
            prop_assert_eq!(whole.episodes, episodes(&runs));
            let (left, right) = runs.split_at(split.min(runs.len()));
            let mut forward = fold(left);
            forward.merge(&fold(right));
            let mut backward = fold(right);
            backward.merge(&fold(left));
            prop_assert_eq!(&forward, &whole);
            prop_assert_eq!(&backward, &whole);
        }

        #[test]
        fn any_order_gives_the_same_figures_but_for_unsettled_episodes(
            raw in prop::collection::vec((any::<u8>(), 0u8..4), 0..30).prop_map(|raw| {
                raw.iter().enumerate().map(|(at, (outcome, input))| run(at as u64, *outcome, *input)).collect::<Vec<_>>()
            }),
            seed in any::<u64>(),
        ) {
            let mut shuffled = raw.clone();
            let len = shuffled.len().max(1) as u64;
            (0..shuffled.len()).for_each(|at| shuffled.swap(at, (seed.rotate_left(at as u32) % len) as usize));
            let (whole, mut other) = (fold(&raw), fold(&shuffled));
            if other.settled {
                prop_assert_eq!(other.episodes, whole.episodes);
            }
            (other.settled, other.episodes) = (whole.settled, whole.episodes);
            prop_assert_eq!(other, whole);
        }
    }
}
