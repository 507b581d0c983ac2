//! Shadow on live runs: when a run of a tool has ended and is recorded, the version that waits on a branch is given the same input in
//! the sandbox, and what it does is noted. Whoever ran the tool has the old version's answer by then, and waits for nothing.

use std::path::Path;

use anyhow::Result;

use super::improvement::Improvement;
use super::status::History;
use crate::config::Config;
use crate::model::{Execution, ExecutionId, Failure, Seen, ShadowCounts, ShadowRun, Tool};
use crate::validate;
use crate::world::View;
use crate::world::bench::{self, Bench};
use crate::world::catalog::catalog;
use crate::world::clock::Clock;
use crate::world::git::Repo;
use crate::world::shadow::{self, Turn};

/// Whether this recorded run should be repeated on what is proposed for its tool. Takes microseconds: `fractal exec` asks.
pub fn is_wanted(repo: &Repo, config: &Config, tool: &Tool, execution: &ExecutionId) -> bool {
    is_chosen(config.validate.live_shadow, execution)
        && bench::forbidden(tool, config.validate.unknown_effects).is_none()
        && !shadow::open_to(repo, &tool.name).is_empty()
}

/// Whether a run belongs to this share of all runs. Chosen by hash, so nobody can tune the choice.
fn is_chosen(share: f64, execution: &ExecutionId) -> bool {
    let mut first = [0; 4];
    first.copy_from_slice(&blake3::hash(execution.as_str().as_bytes()).as_bytes()[..4]);
    f64::from(u32::from_le_bytes(first)) < share * 2_f64.powi(32)
}

/// Repeats a recorded run on what is proposed for its tool, and notes what it shows. One that nothing can be said of, or that somebody
/// else's turn keeps from being repeated, is left out.
///
/// # Errors
/// When the repository, the log, the store or the record cannot be read or written.
pub fn run(path: &Path, clock: Clock, tool: &str, execution: &ExecutionId) -> Result<()> {
    let repo = Repo::open(path)?;
    for waiting in shadow::open_to(&repo, tool) {
        let Some(turn) = Turn::take(&repo, &waiting) else { continue };
        let history = History::open(path, clock.clone())?;
        let view = history.view();
        let improvement = history.find(waiting.id.as_str())?;
        // The log is newer than the file's name.
        if improvement.waiting().as_ref() != Some(&waiting) {
            continue;
        }
        let run = view.store.find(execution.as_str())?;
        if let Some(seen) = look(view, improvement, run)? {
            turn.note(&ShadowRun { execution: execution.clone(), at: view.clock.now(), seen })?;
        }
    }
    Ok(())
}

/// `None` when the run was of another version than the one that the proposal would replace.
fn look(view: &View, improvement: &Improvement, run: Execution) -> Result<Option<Seen>> {
    let (Some(investigation), Some((_, commit))) = (&improvement.investigation, &improvement.branch) else { return Ok(None) };
    let tools = catalog(&view.repo, &view.config, &investigation.commit)?;
    let Some(tool) = tools.get(&run.tool) else { return Ok(None) };
    if view.repo.version_at(&investigation.commit, &tool.paths)?.as_ref() != Some(&run.version) {
        return Ok(None);
    }
    let old = Bench::at(view, tool, &investigation.commit, run.duration)?;
    let new = Bench::at(view, tool, commit, run.duration)?;
    let failures = [&investigation.failure].into_iter().chain(improvement.opportunity.as_ref().map(|o| &o.failure));
    let incident: Vec<Failure> = failures.cloned().collect();
    Ok(Some(validate::beside_live(old, &new, tool, &incident, &view.store.load(run)?)))
}

/// What live runs showed of the proposal while it waits.
pub(super) fn counts(view: &View, improvement: &Improvement) -> ShadowCounts {
    let runs = improvement.waiting().map(|waiting| shadow::read(&view.repo, &waiting));
    ShadowCounts::of(&runs.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_runs_is_chosen_and_always_the_same_ones() {
        let id = |number: i64| ExecutionId::derived(jiff::Timestamp::UNIX_EPOCH, &[&number.to_le_bytes()]);
        let chosen = |share| (0..2000).filter(|number| is_chosen(share, &id(*number))).count();
        assert_eq!((chosen(0.0), chosen(1.0), chosen(0.25)), (0, 2000, chosen(0.25)));
        assert!((400..600).contains(&chosen(0.25)), "{}", chosen(0.25));
    }
}
