//! The watch: did the landed improvement make its tool worse?
//!
//! Counts raise an alarm, cheaply; an alarm never reverts. The failing inputs are then run on both versions, and only inputs that
//! the new version fails and the old one passes are evidence. Missing data is neither a failure nor a success.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::model::{
    Analysis, CommitId, Counts, Execution, Finding, Fingerprint, Outcome, PairedReplay, Recording, Tool, Version,
};
use crate::stats;
use crate::world::View;
use crate::world::bench::{Bench, BenchError};
use crate::world::store::{Query, Which};

/// Distinct failing inputs of an unbroken row of failures from which on the row is looked into although it is one episode: a tool
/// that always fails would otherwise stay one episode, and one failure, for ever.
const UNBROKEN_INPUTS: usize = 3;
/// Replays per version when there are fewer than three inputs: two inputs must be able to confirm.
const RUNS_OF_FEW: u32 = 5;

/// One landed improvement to look at.
#[derive(Debug)]
pub struct Watch<'a> {
    pub tool: &'a Tool,
    /// The commit before and the landed one.
    pub before: &'a CommitId,
    pub after: &'a CommitId,
    pub since: Timestamp,
    /// The failure that the improvement is about.
    pub incident: &'a Fingerprint,
    /// Inputs that earlier alarms proved innocent.
    pub struck: &'a BTreeSet<String>,
}

/// Looks at one watch.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn analyse(view: &View, watch: &Watch<'_>) -> Result<Analysis> {
    let (Some(old), Some(new)) =
        (view.repo.version_at(watch.before, &watch.tool.paths)?, view.repo.version_at(watch.after, &watch.tool.paths)?)
    else {
        return Ok(closed(Counts::default(), Counts::default(), "the tool's files are gone"));
    };
    let before = baseline(view, watch, &old)?;
    let runs = runs_after(view, watch, &new)?;
    let raw = Counts { runs: runs.len() as u64, failures: runs.iter().filter(|run| is_failure(run)).count() as u64 };
    let fingerprints =
        runs.iter().map(|run| run.failure.as_ref().filter(|_| is_failure(run)).map(|failure| &failure.fingerprint));
    let after = stats::collapse_episodes(fingerprints);
    let failing: BTreeMap<String, &Execution> =
        runs.iter().filter(|run| is_failure(run)).map(|run| (run.input.digest(), run)).collect();
    let mut analysis = Analysis {
        before,
        after,
        log_bayes_factor: stats::log_bayes_factor(before, after),
        replays: Vec::new(),
        finding: Finding::Waiting { needed: view.config.monitor.executions.saturating_sub(raw.runs) },
    };
    let distinct = failing.len() as u64;
    let collapsed = after.failures >= stats::DISTINCT_INPUTS_MIN && stats::alarms(before, after, distinct);
    if collapsed || (unbroken(&runs) >= UNBROKEN_INPUTS && stats::alarms(before, raw, distinct)) {
        analysis.log_bayes_factor = analysis.log_bayes_factor.max(stats::log_bayes_factor(before, raw));
        if !collapsed {
            // What is shown is what raised the alarm.
            analysis.after = raw;
        }
        confirm(view, watch, &failing, &mut analysis)?;
        return Ok(analysis);
    }
    if let Some(finding) = ending(view, watch, &new, raw)? {
        analysis.finding = finding;
    }
    Ok(analysis)
}

/// The version before, without the failures that the improvement is about: those are gone if it works, and must not hide what it
/// breaks instead. The newest 2,000 runs within 30 days.
fn baseline(view: &View, watch: &Watch<'_>, old: &Version) -> Result<Counts> {
    let since = watch.since.saturating_sub(SignedDuration::from_hours(24 * 30)).unwrap_or(Timestamp::UNIX_EPOCH);
    let limit = usize::try_from(stats::BASELINE_RUNS_MAX).unwrap_or(usize::MAX);
    let query = Query { tool: &watch.tool.name, version: Some(old), which: Which::Counted, since, limit };
    let about = |run: &Execution| run.failure.as_ref().is_some_and(|failure| &failure.fingerprint == watch.incident);
    let mut counts = Counts::default();
    for run in view.store.executions(&query)?.iter().filter(|run| run.at < watch.since && !about(run)) {
        counts.runs += 1;
        counts.failures += u64::from(is_failure(run));
    }
    Ok(counts)
}

/// Runs of the new version since it landed, oldest first, without inputs that were struck off.
fn runs_after(view: &View, watch: &Watch<'_>, new: &Version) -> Result<Vec<Execution>> {
    let limit = usize::try_from(view.config.monitor.executions).unwrap_or(usize::MAX);
    let query = Query { tool: &watch.tool.name, version: Some(new), which: Which::Counted, since: watch.since, limit };
    let mut runs = view.store.executions(&query)?;
    runs.retain(|run| !watch.struck.contains(&run.input.digest()));
    runs.reverse();
    Ok(runs)
}

fn is_failure(run: &Execution) -> bool {
    run.outcome == Outcome::Failure
}

/// Distinct inputs of the failures since the last success.
fn unbroken(runs: &[Execution]) -> usize {
    runs.iter().rev().take_while(|run| is_failure(run)).map(|run| run.input.digest()).collect::<BTreeSet<_>>().len()
}

/// The verdict: the failing inputs on both versions.
fn confirm(view: &View, watch: &Watch<'_>, failing: &BTreeMap<String, &Execution>, analysis: &mut Analysis) -> Result<()> {
    let chosen: Vec<Recording> = failing
        .values()
        .filter(|run| run.input.is_whole())
        .take(view.config.monitor.replay_inputs)
        .map(|run| view.store.load((*run).clone()))
        .collect::<Result<_, _>>()?;
    let longest = chosen.iter().map(|recording| recording.execution.duration).max().unwrap_or_default();
    let benches = Bench::at(view, watch.tool, watch.before, longest)
        .and_then(|old| Ok((old, Bench::at(view, watch.tool, watch.after, longest)?)));
    let (old, new) = match benches {
        Ok(benches) if !chosen.is_empty() => benches,
        Err(BenchError::World(error)) => return Err(error),
        Ok(_) => {
            unreplayable(analysis, "no failing input was recorded whole");
            return Ok(());
        }
        Err(error) => {
            unreplayable(analysis, &error.to_string());
            return Ok(());
        }
    };
    let runs_each = if chosen.len() < 3 { RUNS_OF_FEW } else { view.config.monitor.replay_runs.max(1) };
    let fails = |bench: &Bench<'_>, recording: &Recording| {
        let run = bench.replay(recording);
        u32::from(run.outcome == Outcome::Failure || (run.outcome == Outcome::Success && !run.solves(recording)))
    };
    let replay = |recording: &Recording| PairedReplay {
        execution: recording.execution.id.clone(),
        input: recording.execution.input.digest(),
        shown: recording.shown(60),
        runs_each,
        old_failures: (0..runs_each).map(|_| fails(&old, recording)).sum(),
        new_failures: (0..runs_each).map(|_| fails(&new, recording)).sum(),
    };
    analysis.replays = new.each(&chosen, replay, |_| false).into_iter().flatten().collect();
    analysis.finding = judge(&analysis.replays);
    Ok(())
}

/// New fails and old passes, significantly over all inputs together: a regression. Otherwise the inputs are innocent.
fn judge(replays: &[PairedReplay]) -> Finding {
    let worse: Vec<&PairedReplay> = replays.iter().filter(|replay| replay.new_failures > replay.old_failures).collect();
    let ps: Vec<f64> = worse.iter().map(|r| stats::permutation_p(r.runs_each, r.old_failures, r.new_failures)).collect();
    let p = if ps.is_empty() { 1.0 } else { stats::combine_fisher(&ps) };
    if p <= stats::CONFIRM_P {
        return Finding::Regression { p };
    }
    let both_fail = replays
        .iter()
        .filter(|replay| replay.old_failures == replay.runs_each && replay.new_failures == replay.runs_each)
        .count();
    let both_pass = replays.iter().filter(|replay| replay.old_failures + replay.new_failures == 0).count();
    let reason = format!(
        "of {} failing inputs run again on both versions, {both_fail} fail on both (the input or the environment), {both_pass} pass on \
         both (flaky), {} fail more on the new one (p = {p:.3})",
        replays.len(),
        worse.len()
    );
    match worse.is_empty() {
        true => Finding::FalseAlarm { reason },
        false => Finding::Unconfirmed { reason },
    }
}

/// Without a replay only overwhelming counts are worth a person's time.
fn unreplayable(analysis: &mut Analysis, why: &str) {
    if analysis.log_bayes_factor >= stats::UNREPLAYABLE_BAYES_FACTOR.ln() {
        analysis.finding = Finding::Unconfirmed { reason: format!("the failing inputs cannot be run again: {why}") };
    }
}

fn ending(view: &View, watch: &Watch<'_>, new: &Version, raw: Counts) -> Result<Option<Finding>> {
    let monitor = &view.config.monitor;
    let days = view.clock.now().duration_since(watch.since).as_hours() / 24;
    let now = view.repo.version_at(&view.repo.tip(&view.base)?, &watch.tool.paths)?;
    let why = if raw.runs >= monitor.executions {
        None
    } else if days >= i64::from(monitor.days) {
        Some(format!("only {} runs in {} days", raw.runs, monitor.days))
    } else if now.as_ref() != Some(new) {
        Some(format!("a later commit changed the tool again after {} runs", raw.runs))
    } else {
        return Ok(None);
    };
    Ok(Some(match why {
        Some(reason) if raw.runs < monitor.minimum_executions => Finding::Inconclusive { reason },
        _ => Finding::Good,
    }))
}

fn closed(before: Counts, after: Counts, reason: &str) -> Analysis {
    let finding = Finding::Inconclusive { reason: reason.to_string() };
    Analysis { before, after, log_bayes_factor: 0.0, replays: Vec::new(), finding }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExecutionId;

    fn replay(old_failures: u32, new_failures: u32) -> PairedReplay {
        PairedReplay {
            execution: ExecutionId("x".into()),
            input: "i".into(),
            shown: "i".into(),
            runs_each: 4,
            old_failures,
            new_failures,
        }
    }

    #[test]
    fn three_inputs_that_only_the_new_version_fails_are_a_regression() {
        assert!(matches!(judge(&[replay(0, 4), replay(0, 4), replay(0, 4)]), Finding::Regression { .. }));
    }

    #[test]
    fn inputs_that_fail_on_both_or_on_neither_version_are_a_false_alarm() {
        assert!(matches!(judge(&[replay(4, 4), replay(0, 0)]), Finding::FalseAlarm { .. }));
    }

    #[test]
    fn one_input_is_not_enough_to_revert_and_not_innocent_either() {
        assert!(matches!(judge(&[replay(0, 4), replay(4, 4)]), Finding::Unconfirmed { .. }));
    }
}
