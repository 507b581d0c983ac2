//! The stages of the zone that writes: they answer from a bundle, or not at all. Nothing is run.

use std::sync::OnceLock;

use anyhow::Result;

use super::arrival::{self, About};
use super::bundle::{Bundle, Came, MadeFor, OfOpportunity, OfTool, Said, Undone, find};
use super::recording::{asked, asked_of_watch, asked_together};
use crate::detect::Detected;
use crate::engine::improvement::Improvement;
use crate::engine::search::{Attempts, Next, Shortlist, Wanted};
use crate::engine::stages::{Real, Stages, Unanswered, Work, at_once};
use crate::improve::model;
use crate::model::{
    Analysis, Asking, Candidate, Character, CommitId, Investigation, Opportunity, Patch, PatchId, Recording, Rival, Tool,
    plain_line,
};
use crate::monitor::{self, Watch};
use crate::validate::{Claim, Judged, admit};
use crate::world::View;
use crate::world::bench::BenchError;

/// Signs of one line of what others were asked.
const LINE_MAX: usize = 300;

/// See the module.
pub(super) struct Replayer {
    bundle: Bundle,
    /// Why nothing of the bundle counts any more.
    outdated: OnceLock<String>,
}

impl Replayer {
    pub(super) fn of(bundle: Bundle) -> Self {
        Replayer { bundle, outdated: OnceLock::new() }
    }

    fn answer<'a, A>(&self, found: Option<&'a A>) -> Result<&'a A> {
        if let Some(why) = self.outdated.get() {
            return Err(Unanswered(format!("the bundle is out of date: {why}; the next run begins anew")).into());
        }
        found.ok_or_else(|| Unanswered("its answer is not in the bundle; the next run looks for it".into()).into())
    }
}

impl Stages for Replayer {
    /// Between the zones, and even between the first look at the bundle and now, others may have worked.
    fn begun(&self, view: &View) -> Result<()> {
        if let Some(why) = self.bundle.made_for.fits(&MadeFor::here(view)?)? {
            let _ = self.outdated.set(why);
        }
        Ok(())
    }

    fn detect(&self, view: &View, tools: &[Tool], tip: &CommitId) -> Result<Detected> {
        // Counts what is recorded, and runs nothing.
        Real.detect(view, tools, tip)
    }

    fn character(&self, _view: &View, tool: &Tool, tip: &CommitId) -> Result<Character> {
        let question = OfTool { tool: tool.name.clone(), commit: tip.clone() };
        Ok(self.answer(find(&self.bundle.answers.characters, &question))?.character())
    }

    fn investigate(&self, _view: &View, tool: &Tool, opportunity: &Opportunity, tip: &CommitId) -> Result<Investigation> {
        let question = OfOpportunity { tool: tool.name.clone(), id: opportunity.id.clone(), commit: tip.clone() };
        self.answer(find(&self.bundle.answers.investigations, &question)).cloned()
    }

    fn search<'a>(&'a self, wanted: Wanted<'a>) -> Result<Box<dyn Attempts + 'a>, BenchError> {
        let came = self.answer(find(&self.bundle.answers.searches, &asked(&wanted)))?;
        match came.as_slice() {
            // Said as it was said where it happened.
            [Came::CannotRun(reason)] => Err(BenchError::Unsafe(reason.clone())),
            came => Ok(Box::new(Replayed { wanted, came: came.iter() })),
        }
    }

    fn judge(&self, wanted: Wanted<'_>, candidate: &Candidate) -> Result<Judged, BenchError> {
        let said = self.answer(find(&self.bundle.answers.together, &asked_together(&wanted, candidate)?))?;
        let (checks, recipe) = match said {
            Said::Checked { checks, recipe } => (checks, recipe.as_ref()),
            Said::CannotRun(reason) => return Err(BenchError::Unsafe(reason.clone())),
        };
        let Wanted { view, tool, character, opportunity, investigation, .. } = wanted;
        let claim = Claim { candidate, checks, recipe };
        Ok(admit(view, (tool, character), opportunity, investigation, &claim)?.map_err(refused)?)
    }

    /// Counts need no running, so they are the ones here.
    fn analyse(&self, view: &View, watch: &Watch<'_>) -> Result<Analysis> {
        let elsewhere = self.answer(find(&self.bundle.answers.analyses, &asked_of_watch(watch)));
        let concluded = monitor::concluded(view, watch, elsewhere.as_ref().ok().copied())?;
        concluded.ok_or_else(|| match elsewhere {
            Err(why) => why,
            Ok(_) => Unanswered("its alarm is not looked into in the bundle; the next run does it".into()).into(),
        })
    }

    fn not_repaired(
        &self,
        _view: &View,
        tool: &Tool,
        tip: &CommitId,
        undo: &Patch,
        _confirmed: &[Recording],
    ) -> Result<Vec<String>> {
        let question = Undone { tool: tool.name.clone(), commit: tip.clone(), patch: undo.id() };
        self.answer(find(&self.bundle.answers.not_repaired, &question)).cloned()
    }

    fn at_once<'a>(&self, works: Vec<Work<'a>>) {
        at_once(works);
    }
}

fn refused(why: String) -> anyhow::Error {
    Unanswered(format!("what the bundle says of it is refused: {why}")).into()
}

/// What others were asked, as far as it is believed: of what was said, words that a model's answer may have.
fn vetted(asking: &Asking) -> Asking {
    let line = |text: &str| plain_line(text, LINE_MAX);
    let said = asking.said.as_deref().filter(|_| asking.is_prose()).and_then(|said| model::prose(said).ok());
    let (strategy, by, prompt) = (line(&asking.strategy), line(&asking.by), line(&asking.prompt));
    let (question, outcome) = (line(&asking.question), line(&asking.outcome));
    Asking { strategy, by, prompt, question, outcome, said, ..asking.clone() }
}

/// What something was compared with elsewhere: names, and nothing else is made of them.
fn named(other: &Rival) -> Rival {
    let line = |text: &str| plain_line(text, LINE_MAX);
    let (strategy, source, title) = (line(&other.strategy), line(&other.source), line(&other.title));
    Rival { strategy, source, title, patch: PatchId(line(&other.patch.0)) }
}

/// What came of a search elsewhere.
struct Replayed<'a> {
    wanted: Wanted<'a>,
    came: std::slice::Iter<'a, Came>,
}

impl Attempts for Replayed<'_> {
    fn next(&mut self, _improvement: &Improvement) -> Result<Next> {
        let Wanted { view, tool, character, opportunity, investigation, .. } = self.wanted;
        match self.came.next() {
            Some(Came::Asked(asking)) => Ok(Next::Asked(vetted(asking))),
            Some(Came::Later { reason }) => Ok(Next::Later { reason: reason.clone() }),
            Some(Came::Over { tried, reason }) => Ok(Next::Over { tried: *tried, reason: reason.clone() }),
            Some(Came::Judged(claimed)) => {
                let about = About { view, tool, character, opportunity, investigation };
                let (candidate, judged) = arrival::vet(&about, claimed)?.map_err(refused)?;
                let tried = claimed.tried;
                let candidates = vec![(candidate.clone(), tried)];
                let shortlist = Shortlist { commit: investigation.commit.clone(), candidates, only: false };
                let beside = claimed.compared.iter().map(named).collect();
                Ok(Next::Judged { candidate, judged: Box::new(judged), tried, shortlist, beside })
            }
            Some(Came::CannotRun(_)) | None => {
                Err(Unanswered("the bundle has no further candidate; the next run looks for one".into()).into())
            }
        }
    }
}
