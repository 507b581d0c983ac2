//! What a cycle asks the stages of the loop. The engine records the answers, decides and acts; a simulation answers from a script.

use anyhow::Result;

use super::revert;
use super::search::{Attempts, Search, Wanted};
use crate::detect::{self, Detected};
use crate::investigate;
use crate::model::{Analysis, Candidate, Character, CommitId, Investigation, Opportunity, Patch, Recording, Tool};
use crate::monitor::{self, Watch};
use crate::validate::{Gate, Judged};
use crate::world::View;
use crate::world::bench::BenchError;
use crate::world::character;

/// A question that cannot be answered where it is asked: the work is left for another time, for this reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unanswered(pub(super) String);

/// The stages: all of a cycle that may run what is not ours. All of them fail when the repository or the store cannot be read.
pub(super) trait Stages: Sync {
    /// Is called when the cycle has begun, and what others recorded is here.
    fn begun(&self, _view: &View) -> Result<()> {
        Ok(())
    }

    /// See [`detect::detect`].
    fn detect(&self, view: &View, tools: &[Tool], tip: &CommitId) -> Result<Detected>;

    /// See [`character::of`].
    fn character(&self, view: &View, tool: &Tool, tip: &CommitId) -> Result<Character>;

    /// See [`investigate::investigate`].
    fn investigate(&self, view: &View, tool: &Tool, opportunity: &Opportunity, tip: &CommitId) -> Result<Investigation>;

    /// See [`Search::open`].
    fn search<'a>(&'a self, wanted: Wanted<'a>) -> Result<Box<dyn Attempts + 'a>, BenchError>;

    /// One candidate through the whole gate, with nothing beside it: see [`Gate::judge`].
    fn judge(&self, wanted: Wanted<'_>, candidate: &Candidate) -> Result<Judged, BenchError>;

    /// See [`monitor::analyse`].
    fn analyse(&self, view: &View, watch: &Watch<'_>) -> Result<Analysis>;

    /// See [`revert::not_repaired`].
    fn not_repaired(
        &self,
        view: &View,
        tool: &Tool,
        tip: &CommitId,
        undo: &Patch,
        confirmed: &[Recording],
    ) -> Result<Vec<String>>;

    /// Does all of this, and comes back when all of it is done.
    fn at_once<'a>(&self, works: Vec<Work<'a>>);
}

/// Something that can be done beside something else.
pub(super) type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

/// The real ones.
pub(super) struct Real;

impl Stages for Real {
    fn detect(&self, view: &View, tools: &[Tool], tip: &CommitId) -> Result<Detected> {
        detect::detect(view, tools, tip)
    }

    fn character(&self, view: &View, tool: &Tool, tip: &CommitId) -> Result<Character> {
        character::of(view, tool, tip)
    }

    fn investigate(&self, view: &View, tool: &Tool, opportunity: &Opportunity, tip: &CommitId) -> Result<Investigation> {
        investigate::investigate(view, tool, opportunity, tip)
    }

    fn search<'a>(&'a self, wanted: Wanted<'a>) -> Result<Box<dyn Attempts + 'a>, BenchError> {
        Ok(Box::new(Search::open(wanted)?))
    }

    fn judge(&self, wanted: Wanted<'_>, candidate: &Candidate) -> Result<Judged, BenchError> {
        let gate = Gate::open(wanted.view, (wanted.tool, wanted.character), wanted.opportunity, wanted.investigation)?;
        Ok(gate.judge(candidate))
    }

    fn analyse(&self, view: &View, watch: &Watch<'_>) -> Result<Analysis> {
        monitor::analyse(view, watch)
    }

    fn not_repaired(
        &self,
        view: &View,
        tool: &Tool,
        tip: &CommitId,
        undo: &Patch,
        confirmed: &[Recording],
    ) -> Result<Vec<String>> {
        revert::not_repaired(view, tool, tip, undo, confirmed)
    }

    fn at_once<'a>(&self, works: Vec<Work<'a>>) {
        at_once(works);
    }
}

/// Each on a thread of its own.
pub(super) fn at_once(works: Vec<Work<'_>>) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = works.into_iter().map(|work| scope.spawn(work)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}
