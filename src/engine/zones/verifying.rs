//! The stages of the zone that verifies: all of them are asked here, but no candidate is looked for. What came to the gate elsewhere comes
//! to the gate again, in the same order, and nothing else does.

use anyhow::Result;

use super::bundle::{Answers, BundleError, Came, OfOpportunity};
use super::recording::asked;
use crate::detect::Detected;
use crate::engine::improvement::Improvement;
use crate::engine::search::{Attempts, Next, Search, Shortlist, Wanted};
use crate::engine::stages::{Real, Stages, Unanswered, Work};
use crate::model::{Analysis, Asking, Candidate, Character, CommitId, Investigation, Opportunity, Patch, Recording, Tool};
use crate::monitor::Watch;
use crate::validate::Judged;
use crate::world::View;
use crate::world::bench::BenchError;

/// See the module.
pub(super) struct Verifier {
    searches: Vec<Proposed>,
}

/// What was proposed for one opportunity.
struct Proposed {
    question: OfOpportunity,
    shortlist: Shortlist,
    /// How the search ended without a candidate that was accepted.
    over: Option<(u64, String)>,
    /// What was asked of others.
    asked: Vec<Asking>,
    /// Why there is none for now.
    later: Option<String>,
}

impl Verifier {
    /// # Errors
    /// When a candidate is none.
    pub(super) fn of(answers: &Answers) -> Result<Verifier, BundleError> {
        let searches = answers.searches.iter().map(|search| Proposed::of(&search.question, &search.answer));
        Ok(Verifier { searches: searches.collect::<Result<_, _>>().map_err(BundleError::Refused)? })
    }
}

impl Proposed {
    fn of(question: &OfOpportunity, came: &[Came]) -> Result<Proposed, String> {
        let mut shortlist = Shortlist { commit: question.commit.clone(), candidates: Vec::new(), only: true };
        let (mut over, mut asked, mut later) = (None, Vec::new(), None);
        for came in came {
            match came {
                Came::Judged(judged) => {
                    for (written, tried) in &judged.beside {
                        shortlist.candidates.push((written.candidate()?, *tried));
                    }
                }
                Came::Asked(asking) => asked.push(asking.clone()),
                Came::Later { reason } => later = Some(reason.clone()),
                Came::Over { tried, reason } => over = Some((*tried, reason.clone())),
                Came::CannotRun(reason) => over = Some((0, reason.clone())),
            }
        }
        Ok(Proposed { question: question.clone(), shortlist, over, asked, later })
    }
}

impl Stages for Verifier {
    fn detect(&self, view: &View, tools: &[Tool], tip: &CommitId) -> Result<Detected> {
        Real.detect(view, tools, tip)
    }

    fn character(&self, view: &View, tool: &Tool, tip: &CommitId) -> Result<Character> {
        Real.character(view, tool, tip)
    }

    fn investigate(&self, view: &View, tool: &Tool, opportunity: &Opportunity, tip: &CommitId) -> Result<Investigation> {
        Real.investigate(view, tool, opportunity, tip)
    }

    fn search<'a>(&'a self, wanted: Wanted<'a>) -> Result<Box<dyn Attempts + 'a>, BenchError> {
        let question = asked(&wanted);
        let Some(proposed) = self.searches.iter().find(|proposed| proposed.question == question) else {
            let why = "the zone `propose` did not look for a repair of it; the next run does".to_string();
            return Err(BenchError::World(Unanswered(why).into()));
        };
        let search = Search::open(Wanted { shortlist: Some(&proposed.shortlist), spends: false, ..wanted })?;
        Ok(Box::new(Again { search, proposed, asked: proposed.asked.iter(), judged: 0 }))
    }

    fn judge(&self, wanted: Wanted<'_>, candidate: &Candidate) -> Result<Judged, BenchError> {
        Real.judge(wanted, candidate)
    }

    fn analyse(&self, view: &View, watch: &Watch<'_>) -> Result<Analysis> {
        Real.analyse(view, watch)
    }

    fn not_repaired(
        &self,
        view: &View,
        tool: &Tool,
        tip: &CommitId,
        undo: &Patch,
        confirmed: &[Recording],
    ) -> Result<Vec<String>> {
        Real.not_repaired(view, tool, tip, undo, confirmed)
    }

    fn at_once<'a>(&self, works: Vec<Work<'a>>) {
        Real.at_once(works);
    }
}

/// The candidates of another zone, at the gate of this one.
struct Again<'a> {
    search: Search<'a>,
    proposed: &'a Proposed,
    asked: std::slice::Iter<'a, Asking>,
    judged: usize,
}

impl Attempts for Again<'_> {
    fn next(&mut self, improvement: &Improvement) -> Result<Next> {
        if let Some(asking) = self.asked.next() {
            return Ok(Next::Asked(asking.clone()));
        }
        let next = self.search.next(improvement)?;
        let Next::Over { tried, reason } = next else {
            self.judged += 1;
            return Ok(next);
        };
        if let Some(reason) = &self.proposed.later {
            return Ok(Next::Later { reason: reason.clone() });
        }
        match &self.proposed.over {
            // How many were looked at, and why none of them did, only that zone knows.
            Some((tried, reason)) => Ok(Next::Over { tried: *tried, reason: reason.clone() }),
            None if self.judged > 0 => {
                let why = "the gate refuses here what it accepted in the zone `propose`; the next run looks for another repair";
                Err(Unanswered(why.into()).into())
            }
            None => Ok(Next::Over { tried, reason }),
        }
    }
}
