//! The search for a repair of one opportunity: candidates come to the gate, in their order and within limits, until one passes. Nothing
//! is recorded here.

use anyhow::Result;

use super::improvement::Improvement;
use super::offer::{Asked, Offer, rivals};
use super::progress::Progress;
use crate::improve::Learned;
use crate::model::{Candidate, Character, Investigation, Opportunity, Tool};
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
    pub(super) tell: &'a dyn Fn(Progress),
}

/// What came of the next candidate.
pub(super) enum Next {
    /// The gate's answer, and how many candidates were looked at until this one was chosen.
    Judged { candidate: Candidate, judged: Box<Judged>, tried: u64 },
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
        Ok(Search { wanted, gate, offer: None, started: Stopwatch::start(), from: 0, judged: 0 })
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
            None => asked.trusted()?,
            Some(before) => asked.searched(before, &self.gate.shown())?,
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
            if judged.verdict.accepted() {
                let rivals = rivals(&self.gate, &offer.candidates, at);
                let beside = rivals.iter().map(|at| &offer.candidates[*at]).collect::<Vec<_>>();
                let (best, verdict) = self.gate.choose(&beside, judged);
                (chosen, judged) = (rivals[best], verdict);
            }
            let next = Next::Judged {
                candidate: offer.candidates[chosen].clone(),
                judged: Box::new(judged),
                tried: offer.looked_at(chosen),
            };
            self.offer = Some(offer);
            return Ok(next);
        }
    }
}
