//! The watch: did the landed improvement make its tool worse?
//!
//! Counts raise an alarm, cheaply; an alarm never reverts. The failing inputs are then run on both versions, and only inputs that
//! the new version fails and the old one passes are evidence. Missing data is neither a failure nor a success.

mod backtest;
mod counts;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::Timestamp;

pub use self::backtest::{Asked, Past, Score, backtest};
use self::counts::Since;
use crate::model::{Analysis, CommitId, Counts, Finding, Fingerprint, Outcome, PairedReplay, Recording, Tool, Version};
use crate::stats;
use crate::world::View;
use crate::world::bench::{Bench, BenchError};
use crate::world::store::FailingInput;

/// Distinct failing inputs of an unbroken row of failures from which on the row is looked into although it is one episode: a tool
/// that always fails would otherwise stay one episode, and one failure, for ever.
const UNBROKEN_INPUTS: usize = 3;
/// Replays per version when there are fewer than three inputs: two inputs must be able to confirm.
const RUNS_OF_FEW: u32 = 5;
/// More replays of one input are believed from nobody.
const REPLAYS_MAX: u32 = 1_000;

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
    /// Inputs of an earlier alarm that did not decide: as many are not run again.
    pub undecided: usize,
}

/// Looks at one watch.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn analyse(view: &View, watch: &Watch<'_>) -> Result<Analysis> {
    look(view, watch, |new, failing, analysis| confirm(view, watch, new, failing, analysis))
}

/// The same where nothing is run: the counts are the ones here, and only what failing inputs do on both versions is taken from what was
/// found `elsewhere`. `None` when there is an alarm and nobody has looked into it.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn concluded(view: &View, watch: &Watch<'_>, elsewhere: Option<&Analysis>) -> Result<Option<Analysis>> {
    let mut is_known = true;
    let analysis = look(view, watch, |new, failing, analysis| {
        let chosen = chosen(view, watch, new, failing)?;
        if watch.undecided > 0 && chosen.len() <= watch.undecided {
            return Ok(());
        }
        match elsewhere {
            Some(Analysis { replays, .. }) if !replays.is_empty() && replays.iter().all(|replay| is_of(replay, failing)) => {
                analysis.replays = replays.clone();
                analysis.finding = judge(replays);
            }
            Some(Analysis { replays, finding: Finding::Unconfirmed { reason }, .. }) if replays.is_empty() => {
                unreplayable(analysis, "");
                if let Finding::Unconfirmed { reason: own } = &mut analysis.finding {
                    own.clone_from(reason);
                }
            }
            _ => is_known = false,
        }
        Ok(())
    })?;
    Ok(is_known.then_some(analysis))
}

/// Whether this can be what became of one of these inputs.
fn is_of(replay: &PairedReplay, failing: &BTreeMap<String, FailingInput>) -> bool {
    let PairedReplay { input, runs_each, old_failures, new_failures, .. } = replay;
    failing.contains_key(input) && (1..=REPLAYS_MAX).contains(runs_each) && old_failures.max(new_failures) <= runs_each
}

/// Counts, and what `confirm` finds when they raise an alarm.
fn look(
    view: &View,
    watch: &Watch<'_>,
    confirm: impl FnOnce(&Version, &BTreeMap<String, FailingInput>, &mut Analysis) -> Result<()>,
) -> Result<Analysis> {
    let (Some(old), Some(new)) =
        (view.repo.version_at(watch.before, &watch.tool.paths)?, view.repo.version_at(watch.after, &watch.tool.paths)?)
    else {
        return Ok(closed(Counts::default(), Counts::default(), "the tool's files are gone"));
    };
    let before = counts::baseline(view, watch, &old)?;
    let Since { raw, collapsed: after, failing } = counts::since(view, watch, &new)?;
    let mut analysis = Analysis {
        before,
        after,
        log_bayes_factor: stats::log_bayes_factor(before, after),
        replays: Vec::new(),
        finding: Finding::Waiting { needed: view.config.monitor.executions.saturating_sub(raw.runs) },
    };
    let distinct = failing.keys().filter(|input| !input.is_empty()).count() as u64;
    let collapsed = after.failures >= stats::DISTINCT_INPUTS_MIN && stats::alarms(before, after, distinct);
    if collapsed || (stats::alarms(before, raw, distinct) && unbroken(view, watch, &new)? >= UNBROKEN_INPUTS) {
        analysis.log_bayes_factor = analysis.log_bayes_factor.max(stats::log_bayes_factor(before, raw));
        if !collapsed {
            // What is shown is what raised the alarm.
            analysis.after = raw;
        }
        let waiting = analysis.finding.clone();
        confirm(&new, &failing, &mut analysis)?;
        // The first inputs after a sudden regression are few, and one of them that the old version fails as well would leave it to a person.
        let few = (1..view.config.monitor.replay_inputs).contains(&analysis.replays.len());
        if few && matches!(analysis.finding, Finding::Unconfirmed { .. }) {
            analysis.finding = waiting;
        }
        if matches!(analysis.finding, Finding::Waiting { .. }) && ending(view, watch, &new, raw)?.is_some() {
            let reason = format!("the watch ends with an alarm that {} failing inputs do not decide", failing.len());
            analysis.finding = Finding::Unconfirmed { reason };
        }
        return Ok(analysis);
    }
    if let Some(finding) = ending(view, watch, &new, raw)? {
        analysis.finding = finding;
    }
    Ok(analysis)
}

/// What the failing inputs of a watch say when they are run on both versions, whatever the counts are.
///
/// # Errors
/// See [`analyse`].
pub fn replayed(view: &View, watch: &Watch<'_>) -> Result<Finding> {
    let Some(new) = view.repo.version_at(watch.after, &watch.tool.paths)? else {
        return Ok(Finding::Inconclusive { reason: "the tool's files are gone".into() });
    };
    let Since { failing, .. } = counts::since(view, watch, &new)?;
    let mut analysis = closed(Counts::default(), Counts::default(), "the failing inputs cannot be run again");
    confirm(view, watch, &new, &failing, &mut analysis)?;
    Ok(analysis.finding)
}

/// Distinct inputs of the failures since the last success, as far as that matters.
fn unbroken(view: &View, watch: &Watch<'_>, new: &Version) -> Result<usize> {
    const LOOKED_AT: usize = 64;
    let runs = counts::newest_runs(view, watch, new, LOOKED_AT)?;
    let row = runs.iter().filter(|run| !watch.struck.contains(&run.input.digest()));
    let row = row.take_while(|run| run.outcome == Outcome::Failure);
    Ok(row.map(|run| run.input.digest()).collect::<BTreeSet<_>>().len())
}

/// The verdict: the failing inputs on both versions.
fn confirm(
    view: &View,
    watch: &Watch<'_>,
    new: &Version,
    failing: &BTreeMap<String, FailingInput>,
    analysis: &mut Analysis,
) -> Result<()> {
    let chosen = chosen(view, watch, new, failing)?;
    if watch.undecided > 0 && chosen.len() <= watch.undecided {
        return Ok(());
    }
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

/// The newest recordings of failing inputs, as many as are run again.
fn chosen(view: &View, watch: &Watch<'_>, new: &Version, failing: &BTreeMap<String, FailingInput>) -> Result<Vec<Recording>> {
    let mut chosen: Vec<Recording> = Vec::new();
    for input in failing.values() {
        let newest = view.store.execution(&watch.tool.name, new, &input.newest)?;
        if let Some(run) = newest.filter(|run| run.input.is_whole()) {
            chosen.push(view.store.load(run)?);
        }
        if chosen.len() == view.config.monitor.replay_inputs {
            break;
        }
    }
    Ok(chosen)
}

/// New fails and old passes, significantly over all inputs together: a regression. Where nothing speaks for that, the inputs are
/// innocent.
fn judge(replays: &[PairedReplay]) -> Finding {
    let worse: Vec<&PairedReplay> = replays.iter().filter(|replay| replay.new_failures > replay.old_failures).collect();
    let p = stats::replays_p(replays.iter().map(|replay| (replay.runs_each, replay.old_failures, replay.new_failures)));
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
    match p > stats::ACQUIT_P {
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
        assert!(
            matches!(judge(&[replay(4, 4), replay(1, 2), replay(0, 1)]), Finding::FalseAlarm { .. }),
            "flaky ones are innocent too"
        );
    }

    #[test]
    fn one_input_is_not_enough_to_revert_and_not_innocent_either() {
        assert!(matches!(judge(&[replay(0, 4), replay(4, 4)]), Finding::Unconfirmed { .. }));
    }
}
