//! The stages of a zone that may not write: they are asked as ever, and what they answer goes into a bundle.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::bundle::{Answers, Came, JudgedHere, OfOpportunity, OfTool, Said, Seen, Together, Undone, Watched, Written, keep};
use crate::detect::Detected;
use crate::engine::improvement::Improvement;
use crate::engine::search::{Attempts, Next, Wanted};
use crate::engine::stages::{Stages, Work};
use crate::model::{Analysis, Candidate, Character, CommitId, Investigation, Opportunity, Patch, Recording, Tool};
use crate::monitor::Watch;
use crate::validate::Judged;
use crate::world::View;
use crate::world::bench::BenchError;

/// See the module.
pub(super) struct Recorder<'s> {
    stages: &'s dyn Stages,
    /// Whether what came to the gate beside a candidate is kept: for a zone that asks the gate again.
    with_rivals: bool,
    answers: Mutex<Answers>,
}

impl<'s> Recorder<'s> {
    pub(super) fn of(stages: &'s dyn Stages, with_rivals: bool) -> Self {
        Recorder { stages, with_rivals, answers: Mutex::default() }
    }

    /// What was answered.
    pub(super) fn answers(self) -> Answers {
        self.answers.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Answers)) {
        note(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The question that a search asks.
pub(super) fn asked(wanted: &Wanted<'_>) -> OfOpportunity {
    OfOpportunity {
        tool: wanted.tool.name.clone(),
        id: wanted.opportunity.id.clone(),
        commit: wanted.investigation.commit.clone(),
    }
}

/// The question that a group asks about one of its candidates.
///
/// # Errors
/// When the repository cannot be read.
pub(super) fn asked_together(wanted: &Wanted<'_>, candidate: &Candidate) -> Result<Together> {
    Ok(Together {
        tool: wanted.tool.name.clone(),
        id: wanted.opportunity.id.clone(),
        // The commit is made anew wherever it is asked, at another time.
        tree: wanted.view.repo.tree_of(&wanted.investigation.commit)?,
        patch: candidate.patch.id(),
    })
}

/// The question that a watch asks.
pub(super) fn asked_of_watch(watch: &Watch<'_>) -> Watched {
    Watched { tool: watch.tool.name.clone(), before: watch.before.clone(), after: watch.after.clone() }
}

impl Stages for Recorder<'_> {
    fn detect(&self, view: &View, tools: &[Tool], tip: &CommitId) -> Result<Detected> {
        // Nothing runs, so every zone asks anew.
        self.stages.detect(view, tools, tip)
    }

    fn character(&self, view: &View, tool: &Tool, tip: &CommitId) -> Result<Character> {
        let character = self.stages.character(view, tool, tip)?;
        let question = OfTool { tool: tool.name.clone(), commit: tip.clone() };
        self.note(|answers| keep(&mut answers.characters, question, Seen::of(&character)));
        Ok(character)
    }

    fn investigate(&self, view: &View, tool: &Tool, opportunity: &Opportunity, tip: &CommitId) -> Result<Investigation> {
        let found = self.stages.investigate(view, tool, opportunity, tip)?;
        let question = OfOpportunity { tool: tool.name.clone(), id: opportunity.id.clone(), commit: tip.clone() };
        self.note(|answers| keep(&mut answers.investigations, question, found.clone()));
        Ok(found)
    }

    fn search<'a>(&'a self, wanted: Wanted<'a>) -> Result<Box<dyn Attempts + 'a>, BenchError> {
        let question = asked(&wanted);
        // Only who proposes may ask others; what that costs is accounted for where something can be written.
        match self.stages.search(Wanted { spends: self.with_rivals, ..wanted }) {
            Ok(attempts) => Ok(Box::new(Recorded { recorder: self, question, attempts, came: Vec::new() })),
            Err(BenchError::World(error)) => Err(BenchError::World(error)),
            Err(error) => {
                let came = vec![Came::CannotRun(error.to_string())];
                self.note(|answers| keep(&mut answers.searches, question, came));
                Err(error)
            }
        }
    }

    fn judge(&self, wanted: Wanted<'_>, candidate: &Candidate) -> Result<Judged, BenchError> {
        let question = asked_together(&wanted, candidate)?;
        let judged = self.stages.judge(wanted, candidate);
        let said = match &judged {
            Ok(judged) => Said::Checked { checks: judged.verdict.checks.clone(), recipe: judged.recipe.clone() },
            Err(BenchError::World(_)) => return judged,
            Err(error) => Said::CannotRun(error.to_string()),
        };
        self.note(|answers| keep(&mut answers.together, question, said));
        judged
    }

    fn analyse(&self, view: &View, watch: &Watch<'_>) -> Result<Analysis> {
        let analysis = self.stages.analyse(view, watch)?;
        self.note(|answers| keep(&mut answers.analyses, asked_of_watch(watch), analysis.clone()));
        Ok(analysis)
    }

    fn not_repaired(
        &self,
        view: &View,
        tool: &Tool,
        tip: &CommitId,
        undo: &Patch,
        confirmed: &[Recording],
    ) -> Result<Vec<String>> {
        let inputs = self.stages.not_repaired(view, tool, tip, undo, confirmed)?;
        let question = Undone { tool: tool.name.clone(), commit: tip.clone(), patch: undo.id() };
        self.note(|answers| keep(&mut answers.not_repaired, question, inputs.clone()));
        Ok(inputs)
    }

    fn at_once<'a>(&self, works: Vec<Work<'a>>) {
        self.stages.at_once(works);
    }
}

/// A search that is written down as it goes on.
struct Recorded<'a> {
    recorder: &'a Recorder<'a>,
    question: OfOpportunity,
    attempts: Box<dyn Attempts + 'a>,
    came: Vec<Came>,
}

impl Attempts for Recorded<'_> {
    fn next(&mut self, improvement: &Improvement) -> Result<Next> {
        let next = self.attempts.next(improvement)?;
        self.came.push(match &next {
            Next::Asked(asking) => Came::Asked(asking.clone()),
            Next::Later { reason } => Came::Later { reason: reason.clone() },
            Next::Over { tried, reason } => Came::Over { tried: *tried, reason: reason.clone() },
            Next::Judged { candidate, judged, tried, shortlist, beside } => {
                let rivals = shortlist.candidates.iter().filter(|_| self.recorder.with_rivals);
                Came::Judged(Box::new(JudgedHere {
                    candidate: Written::of(candidate),
                    tried: *tried,
                    checks: judged.verdict.checks.clone(),
                    recipe: judged.recipe.clone(),
                    beside: rivals.map(|(candidate, tried)| (Written::of(candidate), *tried)).collect(),
                    compared: beside.clone(),
                }))
            }
        });
        let (question, came) = (self.question.clone(), self.came.clone());
        self.recorder.note(|answers| keep(&mut answers.searches, question, came));
        Ok(next)
    }
}
