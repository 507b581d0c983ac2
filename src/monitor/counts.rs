//! The counts of a watch, from rollups: what ran before, what ran since.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::Watch;
use crate::model::{Counts, Execution, Fingerprint, Outcome, Version, hour_begins};
use crate::stats;
use crate::world::View;
use crate::world::store::{FailingInput, HourSummary, Query, Which};

/// Runs of the new version since it landed, without the failures on inputs that were struck off.
pub(super) struct Since {
    pub raw: Counts,
    /// Consecutive failures of one kind counted once.
    pub collapsed: Counts,
    /// The newest failure of each failing input.
    pub failing: BTreeMap<String, FailingInput>,
}

/// The version before, without the failures that the improvement is about: those are gone if it works, and must not hide what it
/// breaks instead. The newest hours within 30 days until there are 2,000 runs; what is more than that counts at the same rate.
pub(super) fn baseline(view: &View, watch: &Watch<'_>, old: &Version) -> Result<Counts> {
    let month = watch.since.saturating_sub(SignedDuration::from_hours(24 * 30)).unwrap_or(Timestamp::UNIX_EPOCH);
    let (mut counts, mut oldest) = (Counts::default(), watch.since);
    for hour in view.store.hours(&watch.tool.name, old, month)?.iter().rev() {
        if counts.runs >= stats::BASELINE_RUNS_MAX {
            break;
        }
        counts.runs += hour.counts.runs;
        counts.failures += hour.counts.failures;
        oldest = Timestamp::from_millisecond(hour_begins(hour.hour))?;
    }
    let about = |failing: &&FailingInput| &failing.fingerprint == watch.incident;
    let failing = view.store.failing_inputs(&watch.tool.name, old, oldest)?;
    let incident: u64 = failing.iter().filter(about).map(|failing| failing.failures).sum();
    counts.failures = counts.failures.saturating_sub(incident);
    counts.runs = counts.runs.saturating_sub(incident);
    Ok(at_most(counts, stats::BASELINE_RUNS_MAX))
}

/// The counts of fewer runs at the same rate.
fn at_most(counts: Counts, runs: u64) -> Counts {
    if counts.runs <= runs {
        return counts;
    }
    let share = runs as f64 / counts.runs as f64;
    Counts { runs, failures: (counts.failures as f64 * share).round() as u64 }
}

/// Counts what ran since the watch began.
pub(super) fn since(view: &View, watch: &Watch<'_>, new: &Version) -> Result<Since> {
    let hours = view.store.hours(&watch.tool.name, new, watch.since)?;
    // A version that comes back may have run within the hour before it landed. Its hours cannot tell; its runs can.
    if hours.iter().any(|hour| hour.counts.runs > 0 && hour.first.0 < watch.since) {
        return one_by_one(view, watch, new);
    }
    let mut raw = Counts::default();
    for hour in &hours {
        raw.runs += hour.counts.runs;
        raw.failures += hour.counts.failures;
    }
    let (mut struck, mut failing) = (0, BTreeMap::new());
    for input in view.store.failing_inputs(&watch.tool.name, new, watch.since)? {
        if watch.struck.contains(&input.input) {
            struck += input.failures;
        } else {
            // The newest of an input comes first.
            failing.entry(input.input.clone()).or_insert(input);
        }
    }
    let episodes = episodes(&hours).min(raw.failures.saturating_sub(struck));
    let successes = raw.successes();
    raw = Counts { runs: raw.runs.saturating_sub(struck), failures: raw.failures.saturating_sub(struck) };
    Ok(Since { raw, collapsed: Counts { runs: successes + episodes, failures: episodes }, failing })
}

/// Episodes of all hours: for each class of caller, an hour that begins as the one before it ended goes on with its episode.
fn episodes(hours: &[HourSummary]) -> u64 {
    let mut last: BTreeMap<&str, &Option<Fingerprint>> = BTreeMap::new();
    let mut episodes = 0u64;
    for hour in hours.iter().filter(|hour| hour.counts.runs > 0) {
        let goes_on = hour.first.1.is_some() && last.get(hour.caller.as_str()).is_some_and(|before| **before == hour.first.1);
        episodes += hour.episodes - u64::from(goes_on).min(hour.episodes);
        last.insert(&hour.caller, &hour.last.1);
    }
    episodes
}

/// The same from the executions themselves, at most as many as the watch needs.
fn one_by_one(view: &View, watch: &Watch<'_>, new: &Version) -> Result<Since> {
    let limit = usize::try_from(view.config.monitor.executions).unwrap_or(usize::MAX);
    let mut runs = newest_runs(view, watch, new, limit)?;
    runs.retain(|run| !watch.struck.contains(&run.input.digest()));
    runs.reverse();
    let failure = |run: &Execution| run.failure.clone().filter(|_| run.outcome == Outcome::Failure);
    let fingerprints: Vec<Option<Fingerprint>> = runs.iter().map(|run| failure(run).map(|failure| failure.fingerprint)).collect();
    let mut failing = BTreeMap::new();
    for (run, fingerprint) in runs.iter().zip(&fingerprints).rev() {
        let Some(fingerprint) = fingerprint else { continue };
        let (input, newest) = (run.input.digest(), run.id.clone());
        let one = FailingInput { fingerprint: fingerprint.clone(), input: input.clone(), failures: 0, newest };
        failing.entry(input).or_insert(one).failures += 1;
    }
    let failures = fingerprints.iter().flatten().count() as u64;
    Ok(Since {
        raw: Counts { runs: runs.len() as u64, failures },
        collapsed: stats::collapse_episodes(fingerprints.iter().map(Option::as_ref)),
        failing,
    })
}

/// Runs since the watch began, newest first.
pub(super) fn newest_runs(view: &View, watch: &Watch<'_>, new: &Version, limit: usize) -> Result<Vec<Execution>> {
    let query = Query {
        tool: Some(&watch.tool.name),
        version: Some(new),
        which: Which::Counted,
        since: watch.since,
        limit,
        ..Query::default()
    };
    Ok(view.store.executions(&query)?)
}
