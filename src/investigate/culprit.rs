//! The culprit: the commit at which the failing inputs began to fail, found by running them on older versions.
//!
//! Older versions come from the object database; nothing of the user's is checked out.

use std::time::Duration;

use anyhow::Result;

use crate::model::{CommitId, Culprit, Recording, Tool, plain_line};
use crate::world::View;
use crate::world::bench::{Bench, BenchError};
use crate::world::git::Revision;

/// Inputs run on each version.
const INPUTS: usize = 3;
/// Signs of a commit's subject and of its author's name.
const SUMMARY_MAX: usize = 200;
const NAME_MAX: usize = 80;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Every input succeeds.
    Good,
    /// At least one input fails as it does now, or in another way.
    NotGood,
}

/// The commit that the failing inputs began to fail at; `None` when they fail on every version that can be tried.
///
/// # Errors
/// When history cannot be read.
pub(super) fn find(
    view: &View,
    tool: &Tool,
    failing: &[&Recording],
    commit: &CommitId,
    longest: Duration,
) -> Result<Option<Culprit>> {
    let revisions = view.repo.revisions(commit, &tool.paths, view.config.investigate.versions)?;
    let mut search = Search { view, tool, failing: &failing[..failing.len().min(INPUTS)], longest, tried: 0 };
    let Some(good) = search.any_good(&revisions)? else { return Ok(None) };
    // Invariant: `bad` is not good, `good` is, and `bad` is newer. Bisect between them.
    let (mut bad, mut good) = good;
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        match search.state(&revisions[middle])? {
            State::Good => good = middle,
            State::NotGood => bad = middle,
        }
    }
    let first = &revisions[bad];
    Ok(Some(Culprit {
        commit: first.commit.clone(),
        summary: plain_line(&first.summary, SUMMARY_MAX),
        author: plain_line(&first.author, NAME_MAX),
        versions_tried: search.tried,
    }))
}

struct Search<'a> {
    view: &'a View,
    tool: &'a Tool,
    failing: &'a [&'a Recording],
    longest: Duration,
    tried: u32,
}

impl Search<'_> {
    /// Looks back in growing steps for a good version: the newest index known not to be good, and the first good one found.
    fn any_good(&mut self, revisions: &[Revision]) -> Result<Option<(usize, usize)>> {
        let (mut bad, mut step) = (0, 1);
        while bad + 1 < revisions.len() {
            let next = (bad + step).min(revisions.len() - 1);
            match self.state(&revisions[next])? {
                State::Good => return Ok(Some((bad, next))),
                State::NotGood => bad = next,
            }
            step *= 2;
        }
        Ok(None)
    }

    fn state(&mut self, revision: &Revision) -> Result<State> {
        self.tried += 1;
        let bench = match Bench::at(self.view, self.tool, &revision.commit, self.longest) {
            Ok(bench) => bench,
            Err(BenchError::World(error)) => return Err(error),
            Err(_) => return Ok(State::NotGood),
        };
        let answers = bench.each(self.failing, |recording| bench.replay(recording).solves(recording), |solved| !solved);
        let good = !answers.is_empty() && answers.iter().all(|answer| *answer == Some(true));
        Ok(if good { State::Good } else { State::NotGood })
    }
}
