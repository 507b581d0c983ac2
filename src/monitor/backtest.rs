//! The current rules on what has been: for every version that a tool got, whether the alarm would have been raised, after how many of its
//! runs, and whether somebody reverted it. Reads runs one by one, which no cycle does.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{UNBROKEN_INPUTS, Watch, replayed};
use crate::model::{CommitId, Counts, Execution, Failure, Finding, Fingerprint, Outcome, Tool};
use crate::stats;
use crate::world::View;
use crate::world::git::{Revision, reverted_by};
use crate::world::store::{Query, Which};

/// Runs of one version that are looked at, and versions of one tool.
const RUNS_MAX: usize = 20_000;
const VERSIONS_MAX: usize = 500;

/// How the rules did on one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// An alarm, and it was reverted, or running the failing inputs on both versions confirms it.
    True,
    /// An alarm on the version that the tool has now. Whether it was right is still to be seen.
    Open,
    /// An alarm, and nobody reverted it.
    False,
    /// It was reverted, and there was no alarm.
    Missed,
    Quiet,
}

/// One change of a tool, as the rules see it.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    pub tool: String,
    pub commit: CommitId,
    pub summary: String,
    pub at: Timestamp,
    /// Runs of the version before, at most as many as a watch looks at, and of this one until the next.
    pub before: Counts,
    pub after: Counts,
    /// Runs of this version when the alarm was raised.
    pub alarm: Option<u64>,
    /// What running the failing inputs on both versions says now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Finding>,
    pub reverted_by: Option<CommitId>,
    pub score: Score,
}

/// What is asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Changes since.
    pub since: Timestamp,
    /// Run the failing inputs of every alarm on both versions, as a watch does before it reverts.
    pub replay: bool,
    /// The failure that one of our improvements is about.
    pub incident: &'a dyn Fn(&CommitId) -> Option<Fingerprint>,
}

/// The changes of one tool along the first parents of the base, oldest first, as far as both versions have runs.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn backtest(view: &View, tool: &Tool, asked: &Asked<'_>) -> Result<Vec<Past>> {
    let tip = view.repo.tip(&view.base)?;
    let mut revisions = view.repo.revisions(&tip, &tool.paths, VERSIONS_MAX)?;
    revisions.reverse();
    let mut reverts = Vec::new();
    for (commit, message) in view.repo.messages_between(None, &tip)? {
        for reverted in reverted_by(&message) {
            reverts.extend(view.repo.merged_by(&reverted)?.into_iter().map(|brought| (brought, commit.clone())));
            reverts.push((reverted, commit.clone()));
        }
    }
    let mut found = Vec::new();
    for (at, pair) in revisions.windows(2).enumerate().filter(|(_, pair)| pair[1].at >= asked.since) {
        let (old, new) = (&pair[0], &pair[1]);
        let until = revisions.get(at + 2).map(|next| next.at);
        let incident = (asked.incident)(&new.commit);
        let month = new.at.saturating_sub(SignedDuration::from_hours(24 * 30)).unwrap_or(Timestamp::UNIX_EPOCH);
        let before = runs(view, tool, old, month.max(old.at), Some(new.at))?;
        let after = runs(view, tool, new, new.at, until)?;
        if before.is_empty() || after.is_empty() {
            continue;
        }
        let is_incident = |run: &&Execution| {
            incident.as_ref().is_some_and(|incident| run.failure.as_ref().is_some_and(|failure| &failure.fingerprint == incident))
        };
        let newest = before.iter().rev().filter(|run| !is_incident(run)).take(stats::BASELINE_RUNS_MAX as usize);
        let before = counts(newest);
        let alarm = first_alarm(before, &after);
        let reverted_by = reverts.iter().find(|(reverted, _)| *reverted == new.commit).map(|(_, by)| by.clone());
        let replay = match alarm.filter(|_| asked.replay) {
            Some(_) => Some(replay(view, tool, (old, new), incident)?),
            None => None,
        };
        let score = score(alarm.is_some(), reverted_by.is_some(), replay.as_ref(), until.is_none());
        found.push(Past {
            tool: tool.name.clone(),
            commit: new.commit.clone(),
            summary: new.summary.clone(),
            at: new.at,
            before,
            after: counts(after.iter()),
            alarm,
            replay,
            reverted_by,
            score,
        });
    }
    Ok(found)
}

/// `stands`: no other version came after it.
fn score(alarm: bool, reverted: bool, replay: Option<&Finding>, stands: bool) -> Score {
    match (alarm, reverted, replay) {
        (true, true, _) | (true, false, Some(Finding::Regression { .. })) => Score::True,
        (true, false, Some(Finding::FalseAlarm { .. })) => Score::False,
        (true, false, _) if stands => Score::Open,
        (true, false, _) => Score::False,
        (false, true, _) => Score::Missed,
        (false, false, _) => Score::Quiet,
    }
}

fn replay(view: &View, tool: &Tool, (old, new): (&Revision, &Revision), incident: Option<Fingerprint>) -> Result<Finding> {
    // Without an improvement of ours nothing is expected to fail any more.
    let incident = incident.unwrap_or_else(|| Failure::wrong_output().fingerprint);
    let struck = BTreeSet::new();
    let (before, after) = (&old.commit, &new.commit);
    replayed(view, &Watch { tool, before, after, since: new.at, incident: &incident, struck: &struck, undecided: 0 })
}

/// The runs of one version in order of time.
fn runs(view: &View, tool: &Tool, of: &Revision, since: Timestamp, until: Option<Timestamp>) -> Result<Vec<Execution>> {
    let (name, version) = (Some(tool.name.as_str()), Some(&of.version));
    let query = Query { tool: name, version, which: Which::Counted, since, until, limit: RUNS_MAX, ..Query::default() };
    let mut runs = view.store.executions(&query)?;
    runs.reverse();
    Ok(runs)
}

fn counts<'e>(runs: impl Iterator<Item = &'e Execution>) -> Counts {
    runs.fold(Counts::default(), |counts, run| Counts {
        runs: counts.runs + 1,
        failures: counts.failures + u64::from(run.outcome == Outcome::Failure),
    })
}

/// The number of the run after which a watch would have raised the alarm, looking after each of them: the rule of `analyse`.
fn first_alarm(before: Counts, after: &[Execution]) -> Option<u64> {
    let (mut raw, mut collapsed) = (Counts::default(), Counts::default());
    let (mut failing, mut row) = (BTreeSet::new(), BTreeSet::new());
    let mut previous: Option<&Fingerprint> = None;
    for run in after {
        let failure = run.failure.as_ref().filter(|_| run.outcome == Outcome::Failure).map(|failure| &failure.fingerprint);
        raw = Counts { runs: raw.runs + 1, failures: raw.failures + u64::from(failure.is_some()) };
        if failure.is_none() || failure != previous {
            collapsed = Counts { runs: collapsed.runs + 1, failures: collapsed.failures + u64::from(failure.is_some()) };
        }
        previous = failure;
        if failure.is_none() {
            row.clear();
            continue;
        }
        failing.insert(run.input.digest());
        row.insert(run.input.digest());
        let distinct = failing.len() as u64;
        let by_episodes = collapsed.failures >= stats::DISTINCT_INPUTS_MIN && stats::alarms(before, collapsed, distinct);
        if by_episodes || (row.len() >= UNBROKEN_INPUTS && stats::alarms(before, raw, distinct)) {
            return Some(raw.runs);
        }
    }
    None
}
