//! The search for a repair of one opportunity: candidates come to the gate, in their order and within limits, until one passes. Nothing
//! is recorded here.

use anyhow::Result;

use super::improvement::Improvement;
use super::offer::{Asked, Offer, rivals};
use super::progress::Progress;
use crate::improve::Learned;
use crate::model::{Candidate, Character, CommitId, Investigation, Opportunity, Tool};
use crate::validate::{Gate, Judged};
use crate::world::View;
use crate::world::bench::BenchError;
use crate::world::clock::Stopwatch;

/// What a repair is wanted of, and what is known.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) view: &'a View,
    pub(super) tool: &'a Tool,
    pub(super) character: &'a Character,
    pub(super) opportunity: &'a Opportunity,
    pub(super) investigation: &'a Investigation,
    pub(super) learned: &'a Learned,
    /// What came to the gate on another base, where the files that it edits are the same.
    pub(super) shortlist: Option<&'a Shortlist>,
    pub(super) tell: &'a dyn Fn(Progress),
}

/// An accepted candidate and what was put beside it, in the order in which they came to the gate: where the base has moved and the files
/// have not, nothing else has to be searched for. Everything that the gate asks is asked again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shortlist {
    /// The base on which they were found.
    pub(super) commit: CommitId,
    /// Each with the number of candidates that had been looked at when it was found.
    pub(super) candidates: Vec<(Candidate, u64)>,
    /// Whether nothing else is to be looked for when none of them does.
    pub(super) only: bool,
}

impl Shortlist {
    /// Whether the files that they edit are the same on another base.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn fits(&self, view: &View, tip: &CommitId) -> Result<bool> {
        for path in self.candidates.iter().flat_map(|(candidate, _)| candidate.patch.edits.keys()) {
            if view.repo.file_at(&self.commit, path)? != view.repo.file_at(tip, path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What came of the next candidate.
pub(super) enum Next {
    /// The gate's answer, and how many candidates were looked at until this one was chosen.
    Judged {
        candidate: Candidate,
        judged: Box<Judged>,
        tried: u64,
        /// What to begin with when the base moves before it lands.
        shortlist: Shortlist,
    },
    /// There is none, and why.
    Over { tried: u64, reason: String },
}

/// Candidates that come to the gate, one after the other, until one is accepted.
pub(super) trait Attempts {
    /// The next one that is worth the gate; `improvement` as the log has it now.
    ///
    /// # Errors
    /// When the repository or the store cannot be read.
    fn next(&mut self, improvement: &Improvement) -> Result<Next>;
}

/// The real ones.
pub(super) struct Search<'a> {
    wanted: Wanted<'a>,
    gate: Gate<'a>,
    offer: Option<Offer>,
    shortlist: Option<&'a Shortlist>,
    started: Stopwatch,
    /// The first candidate that was not looked at.
    from: usize,
    judged: usize,
}

impl<'a> Search<'a> {
    /// Runs the untouched version.
    ///
    /// # Errors
    /// When the tool cannot be run, or the repository or the store cannot be read.
    pub(super) fn open(wanted: Wanted<'a>) -> Result<Self, BenchError> {
        let gate = Gate::open(wanted.view, (wanted.tool, wanted.character), wanted.opportunity, wanted.investigation)?;
        Ok(Search { wanted, gate, offer: None, shortlist: wanted.shortlist, started: Stopwatch::start(), from: 0, judged: 0 })
    }

    /// What to take to the gate: what is most trusted, then with what a search finds.
    fn offer(&self, improvement: &Improvement, before: Option<Offer>) -> Result<Offer> {
        let Wanted { view, tool, investigation, learned, tell, .. } = self.wanted;
        let id = &improvement.id;
        let progress = |path: &str, tried, passed| {
            tell(Progress::Searching { id: id.clone(), tool: tool.name.clone(), path: path.to_string(), tried, passed });
        };
        let asked = Asked { view, tool, improvement, investigation, learned, progress: &progress };
        let offer = match before {
            Some(before) => asked.searched(before, &self.gate.shown())?,
            None => self.shortlist.map_or_else(|| asked.trusted(), |shortlist| asked.shortlisted(shortlist))?,
        };
        let candidates = offer.candidates.len() as u64;
        if candidates > 0 {
            tell(Progress::Trying { id: id.clone(), tool: tool.name.clone(), candidates });
        }
        Ok(offer)
    }
}

impl Attempts for Search<'_> {
    fn next(&mut self, improvement: &Improvement) -> Result<Next> {
        let config = &self.wanted.view.config.improve;
        loop {
            let offer = match self.offer.take() {
                Some(offer) => offer,
                None => self.offer(improvement, None)?,
            };
            let over = |reason: String| Ok(Next::Over { tried: offer.all(), reason });
            if self.judged == config.gate_attempts {
                return over(format!("{} candidates passed the quick trial, none of them the gate", self.judged));
            }
            if self.started.elapsed() > config.time.0 {
                return over("the time for this opportunity is used up (`[improve] time`)".to_string());
            }
            let Some(at) = self.gate.first_promising(&offer.candidates, self.from) else {
                if self.shortlist.is_some_and(|shortlist| shortlist.only) {
                    return over(format!("none of {} candidates that were found elsewhere does here", offer.all()));
                }
                if self.shortlist.take().is_some() {
                    self.from = 0;
                    continue;
                }
                if offer.is_complete {
                    return over(match offer.all() {
                        0 => "no strategy had a candidate that was not refused before".to_string(),
                        tried => format!("none of {tried} candidates makes the failing inputs succeed"),
                    });
                }
                self.from = offer.candidates.len();
                self.offer = Some(self.offer(improvement, Some(offer))?);
                // A search has limits of its own.
                self.started = Stopwatch::start();
                continue;
            };
            let mut judged = self.gate.judge(&offer.candidates[at]);
            self.judged += 1;
            self.from = at + 1;
            let mut chosen = at;
            let mut beside = vec![at];
            if judged.verdict.accepted() {
                beside = rivals(&self.gate, &offer.candidates, at);
                let rivals = beside.iter().map(|at| &offer.candidates[*at]).collect::<Vec<_>>();
                let (best, verdict) = self.gate.choose(&rivals, judged);
                (chosen, judged) = (beside[best], verdict);
            }
            let found = |at: &usize| (offer.candidates[*at].clone(), offer.looked_at(*at));
            let next = Next::Judged {
                candidate: offer.candidates[chosen].clone(),
                judged: Box::new(judged),
                tried: offer.looked_at(chosen),
                shortlist: Shortlist {
                    commit: self.wanted.investigation.commit.clone(),
                    candidates: beside.iter().map(found).collect(),
                    only: false,
                },
            };
            self.offer = Some(offer);
            return Ok(next);
        }
    }
}
