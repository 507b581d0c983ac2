//! The search for a repair of one opportunity: strategies are asked in the configured order, and what they propose comes to the gate, within
//! limits, until something passes. Nothing is recorded here.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;

use super::asking::{Dialogue, Purse, Sampled};
use super::improvement::Improvement;
use super::offer::{Asked, Offer};
use super::progress::Progress;
use crate::config::StrategyName;
use crate::improve::{Learned, Till};
use crate::model::{Asking, Candidate, Character, CheckStatus, CommitId, Investigation, Language, Opportunity, Rival, Tool};
use crate::validate::{Gate, Judged};
use crate::world::View;
use crate::world::bench::BenchError;
use crate::world::clock::Stopwatch;

/// Candidates that are put beside an accepted one, of each strategy, and how many are looked through for them.
const RIVALS: usize = 2;
const RIVALS_WITHIN: usize = 12;

/// What a repair is wanted of, and what is known.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) view: &'a View,
    pub(super) tool: &'a Tool,
    pub(super) character: &'a Character,
    pub(super) opportunity: &'a Opportunity,
    pub(super) investigation: &'a Investigation,
    pub(super) learned: &'a Learned,
    /// What all of a cycle spend from.
    pub(super) till: &'a Till,
    /// What came to the gate on another base, where the files that it edits are the same.
    pub(super) shortlist: Option<&'a Shortlist>,
    pub(super) tell: &'a dyn Fn(Progress),
    /// Whether others may be asked, who cost something: not in a dry run, which records nothing.
    pub(super) spends: bool,
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
        /// What it was compared with.
        beside: Vec<Rival>,
    },
    /// Somebody else was asked for one: to be recorded before anything else is asked for.
    Asked(Asking),
    /// There is none for now, and why: somebody else can be asked later.
    Later { reason: String },
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
    pub(super) wanted: Wanted<'a>,
    pub(super) gate: Gate<'a>,
    /// Strategies that were not asked yet, the next one first.
    pub(super) ways: VecDeque<StrategyName>,
    /// What `revert` and `template` have, and the first of it that was not looked at.
    offer: Offer,
    from: usize,
    shortlist: Option<&'a Shortlist>,
    started: Stopwatch,
    /// How many candidates of each strategy came to the gate, since the failure was investigated.
    visits: BTreeMap<String, usize>,
    /// Why `revert` and `template` are not asked any more.
    stopped: Option<String>,
    /// The talk with a model.
    pub(super) talk: Option<Dialogue>,
    /// An accepted candidate with its rivals, while others are asked for something to put beside it.
    pub(super) held: Option<(Vec<(Candidate, u64)>, Judged)>,
    /// What was judged, while a model is asked for words about it.
    pub(super) ready: Option<Next>,
    /// What an agent proposed.
    pub(super) proposed: Option<Candidate>,
    /// Candidates of models and agents that came to the gate.
    pub(super) others: u64,
    /// Why somebody was not asked who may be asked later.
    pub(super) later: Option<String>,
    /// Why models and agents have nothing more.
    pub(super) reasons: Vec<String>,
    /// Nothing was looked at yet.
    is_first: bool,
    /// The tool's own files.
    pub(super) sources: BTreeMap<String, Vec<u8>>,
    pub(super) purse: Option<Purse<'a>>,
}

impl<'a> Search<'a> {
    /// Runs the untouched version.
    ///
    /// # Errors
    /// When the tool cannot be run, or the repository or the store cannot be read.
    pub(super) fn open(wanted: Wanted<'a>) -> Result<Self, BenchError> {
        let gate = Gate::open(wanted.view, (wanted.tool, wanted.character), wanted.opportunity, wanted.investigation)?;
        let language = word(wanted.tool.language);
        let ways = wanted.view.config.improve.strategies_for(language, &wanted.investigation.failure.class);
        Ok(Search {
            wanted,
            gate,
            ways: ways.iter().copied().collect(),
            offer: Offer::default(),
            from: 0,
            shortlist: wanted.shortlist,
            started: Stopwatch::start(),
            visits: BTreeMap::new(),
            stopped: None,
            talk: None,
            held: None,
            ready: None,
            proposed: None,
            others: 0,
            later: None,
            reasons: Vec::new(),
            is_first: true,
            sources: BTreeMap::new(),
            purse: None,
        })
    }

    pub(super) fn purse(&mut self, improvement: &Improvement) -> &mut Purse<'a> {
        let (config, till) = (&self.wanted.view.config, self.wanted.till);
        self.purse.get_or_insert_with(|| Purse::of(config, till, improvement))
    }

    /// What somebody who wants to know more of this failure is given.
    pub(super) fn asked<T>(&self, improvement: &Improvement, what: impl FnOnce(&Asked<'_>) -> T) -> T {
        let Wanted { view, tool, investigation, learned, tell, .. } = self.wanted;
        let id = &improvement.id;
        let progress = |path: &str, tried, passed| {
            tell(Progress::Searching { id: id.clone(), tool: tool.name.clone(), path: path.to_string(), tried, passed });
        };
        what(&Asked { view, tool, improvement, investigation, learned, progress: &progress })
    }

    /// Asks the next strategy; what it has is looked at next. Something that is to be recorded at once is returned.
    fn turn_to(&mut self, way: StrategyName, improvement: &Improvement) -> Result<Option<Next>> {
        match way {
            StrategyName::Revert | StrategyName::Template if self.stopped.is_some() => {}
            StrategyName::Revert => {
                let before = std::mem::take(&mut self.offer);
                self.offer = self.asked(improvement, |asked| asked.trusted(before))?;
                self.tell_trying(improvement);
            }
            StrategyName::Template => {
                let before = std::mem::take(&mut self.offer);
                self.offer = self.asked(improvement, |asked| asked.searched(before, &self.gate.shown()))?;
                self.tell_trying(improvement);
                // A search has limits of its own.
                self.started = Stopwatch::start();
            }
            StrategyName::Model => self.begin_talk(improvement)?,
            StrategyName::Agent => return self.run_agent(improvement),
        }
        Ok(None)
    }

    fn tell_trying(&self, improvement: &Improvement) {
        let candidates = self.offer.candidates.len() as u64;
        if candidates > 0 {
            let (id, tool) = (improvement.id.clone(), self.wanted.tool.name.clone());
            (self.wanted.tell)(Progress::Trying { id, tool, candidates });
        }
    }

    /// Whether the gate has seen as many candidates of a strategy as it may.
    fn is_spent(&self, strategy: &str) -> bool {
        self.visits.get(strategy).is_some_and(|visits| *visits >= self.wanted.view.config.improve.gate_attempts)
    }

    /// Takes a candidate to the gate.
    pub(super) fn visit(&mut self, candidate: &Candidate) -> Judged {
        *self.visits.entry(candidate.strategy.clone()).or_default() += 1;
        self.gate.judge(candidate)
    }

    /// The next of what `revert` and `template` have.
    fn offered(&mut self) -> Option<Next> {
        while self.offer.candidates.get(self.from).is_some_and(|next| self.is_spent(&next.strategy)) {
            self.from += 1;
        }
        let left = self.from < self.offer.candidates.len();
        if self.held.is_some() {
            let rest = self.offer.candidates.iter().enumerate().skip(self.from);
            let rest = rest.map(|(at, candidate)| (candidate.clone(), self.offer.looked_at(at))).collect();
            self.from = self.offer.candidates.len();
            self.put_beside(rest);
            return None;
        }
        if left && self.started.elapsed() > self.wanted.view.config.improve.time.0 {
            self.stopped = Some("the time for this opportunity is used up (`[improve] time`)".to_string());
        }
        if self.stopped.is_some() {
            return None;
        }
        let Some(at) = self.gate.first_promising(&self.offer.candidates, self.from) else {
            self.from = self.offer.candidates.len();
            if self.shortlist.is_some_and(|shortlist| shortlist.only) {
                self.ways.clear();
                self.stopped = Some(format!("none of {} candidates that were found elsewhere does here", self.tried()));
                return Some(self.over());
            }
            if self.shortlist.take().is_some() {
                (self.offer, self.from) = (Offer::default(), 0);
            }
            return None;
        };
        self.from = at + 1;
        let candidate = self.offer.candidates[at].clone();
        let judged = self.visit(&candidate);
        let mut found = vec![(candidate, self.offer.looked_at(at))];
        if !judged.verdict.accepted() {
            return Some(self.next_judged(&found, 0, judged));
        }
        // All of a shortlist was beside each other before.
        let (within, most) = if self.shortlist.is_some() { (usize::MAX, usize::MAX) } else { (RIVALS_WITHIN, RIVALS) };
        let near = &self.offer.candidates[..self.offer.candidates.len().min(self.from.saturating_add(within))];
        let rivals = self.promising(near, self.from, most).into_iter();
        found.extend(rivals.map(|at| (self.offer.candidates[at].clone(), self.offer.looked_at(at))));
        self.accepted(found, judged)
    }

    /// The gate has accepted the first of these. The strategies that are wanted beside it are asked before anything is said of it.
    pub(super) fn accepted(&mut self, found: Vec<(Candidate, u64)>, judged: Judged) -> Option<Next> {
        if self.asks_beside() {
            self.held = Some((found, judged));
            return None;
        }
        Some(self.chosen(&found, judged))
    }

    /// Whether somebody is left who is wanted beside an accepted candidate. Nobody else is asked from now on.
    fn asks_beside(&mut self) -> bool {
        let beside = &self.wanted.view.config.improve.beside;
        self.ways.retain(|way| self.shortlist.is_none() && beside.contains(way));
        !self.ways.is_empty()
    }

    /// Puts what passes the quick trial beside the accepted candidate.
    pub(super) fn put_beside(&mut self, candidates: Vec<(Candidate, u64)>) {
        let Some((mut found, judged)) = self.held.take() else { return };
        let is_new = |candidate: &Candidate| found.iter().all(|(known, _)| known.patch != candidate.patch);
        let new: Vec<(Candidate, u64)> = candidates.into_iter().filter(|(it, _)| is_new(it)).take(RIVALS_WITHIN).collect();
        let all: Vec<Candidate> = new.iter().map(|(candidate, _)| candidate.clone()).collect();
        found.extend(self.promising(&all, 0, RIVALS).into_iter().map(|at| new[at].clone()));
        self.held = Some((found, judged));
    }

    /// The best of several candidates, the first of which was accepted.
    fn chosen(&self, found: &[(Candidate, u64)], accepted: Judged) -> Next {
        let candidates: Vec<&Candidate> = found.iter().map(|(candidate, _)| candidate).collect();
        let (best, judged) = self.gate.choose(&candidates, accepted);
        self.next_judged(found, best, judged)
    }

    pub(super) fn next_judged(&self, found: &[(Candidate, u64)], chosen: usize, judged: Judged) -> Next {
        let (candidate, tried) = found[chosen].clone();
        let shortlist = Shortlist { commit: self.wanted.investigation.commit.clone(), candidates: found.to_vec(), only: false };
        let others = found.iter().enumerate().filter(|(at, _)| *at != chosen);
        let beside = others.map(|(_, (other, _))| Rival::of(other)).collect();
        Next::Judged { candidate, judged: Box::new(judged), tried, shortlist, beside }
    }

    /// The next step of a talk with a model.
    fn talked(&mut self, improvement: &Improvement) -> Result<Option<Next>> {
        let config = &self.wanted.view.config;
        while let Some(mut talk) = self.talk.take().filter(|_| self.held.is_some() || !self.is_spent("model")) {
            let asks = if self.held.is_some() { !talk.is_complete(config) } else { talk.asks(config) };
            if asks && let Err(why) = self.may_ask() {
                talk.end(why);
                self.talk = Some(talk);
                continue;
            }
            if asks {
                let now = self.wanted.view.clock.now();
                self.purse(improvement);
                let Some(purse) = &mut self.purse else { return Ok(None) };
                let asking = talk.ask(config, purse, now, &self.sources);
                self.talk = Some(talk);
                match asking {
                    // That nobody answers is said once.
                    Some(asking)
                        if asking.is_repeated(improvement.asked().filter(|before| before.strategy == "model").last()) =>
                    {
                        continue;
                    }
                    Some(asking) => return Ok(Some(Next::Asked(asking))),
                    None => continue,
                }
            }
            if self.held.is_some() {
                let others: Vec<Candidate> = talk.others().cloned().collect();
                self.others += others.len() as u64;
                let tried = self.tried();
                let mut new = Vec::new();
                for candidate in others {
                    if !self.asked(improvement, |asked| asked.is_turned_down(&candidate))? {
                        new.push((candidate, tried));
                    }
                }
                self.put_beside(new);
                return Ok(None);
            }
            let Some(sampled) = talk.candidate() else {
                if talk.is_for_now() {
                    self.later = Some(talk.reason());
                    if !improvement.was_asked() {
                        // So that what comes before the model is not looked for again and again until it can be asked.
                        return Ok(Some(Next::Asked(talk.waits())));
                    }
                } else {
                    self.reasons.push(talk.reason());
                }
                return Ok(None);
            };
            if self.asked(improvement, |asked| asked.is_turned_down(&sampled.candidate))? {
                talk.note(sampled, "This change was tried before, and is not taken.".to_string(), 0);
                self.talk = Some(talk);
                continue;
            }
            self.others += 1;
            return Ok(self.judge_sample(talk, sampled));
        }
        Ok(None)
    }

    fn judge_sample(&mut self, mut talk: Dialogue, sampled: Sampled) -> Option<Next> {
        let candidate = sampled.candidate.clone();
        let judged = self.visit(&candidate);
        let tried = self.tried();
        if !judged.verdict.accepted() {
            let finding = self.gate.told(&candidate, &judged.verdict);
            talk.note(sampled, finding, judged.verdict.checks.len());
            self.talk = Some(talk);
            return Some(self.next_judged(&[(candidate, tried)], 0, judged));
        }
        // What the other samples propose is put to the same inputs: where it passes and answers otherwise, somebody guesses.
        let others: Vec<Candidate> = talk.others().cloned().collect();
        let rivals = self.promising(&others, 0, usize::MAX).into_iter().map(|at| others[at].clone());
        let mut found: Vec<(Candidate, u64)> = std::iter::once(candidate).chain(rivals).map(|it| (it, tried)).collect();
        let candidates: Vec<&Candidate> = found.iter().map(|(candidate, _)| candidate).collect();
        let (best, judged) = self.gate.choose(&candidates, judged);
        let check = |name: &str| judged.verdict.checks.iter().find(|check| check.name == name);
        let apart = check("rivals").is_some_and(|check| !check.listed.is_empty());
        let is_known = check("answers").is_some_and(|check| check.status == CheckStatus::Passed);
        if apart && !is_known && !talk.agrees(&found[best].0.patch.id()) {
            let reason =
                "the model's answers disagree on inputs where nobody has said what is right (`fractal mark --expect` does)";
            self.reasons.push(reason.to_string());
            return Some(self.over());
        }
        if !self.asks_beside() {
            return Some(self.next_judged(&found, best, judged));
        }
        found[..=best].rotate_right(1);
        self.held = Some((found, judged));
        None
    }

    /// Which of these pass the quick trial, from one on, in their order.
    fn promising(&self, candidates: &[Candidate], mut from: usize, most: usize) -> Vec<usize> {
        let mut found = Vec::new();
        while let Some(at) = (found.len() < most).then(|| self.gate.first_promising(candidates, from)).flatten() {
            found.push(at);
            from = at + 1;
        }
        found
    }

    /// How many candidates had been looked at.
    pub(super) fn tried(&self) -> u64 {
        self.offer.all() + self.others
    }

    fn over(&self) -> Next {
        let (tried, most) = (self.tried(), self.wanted.view.config.improve.gate_attempts);
        let spent = self.visits.iter().filter(|(_, visits)| **visits >= most).map(|(strategy, _)| {
            format!("`{strategy}` has brought as many candidates to the gate as it may (`[improve] gate_attempts`, {most}), and none passed")
        });
        let spent: Vec<String> = spent.collect();
        let ours = match (&self.stopped, tried) {
            (Some(stopped), _) => stopped.clone(),
            _ if !spent.is_empty() => spent.join("; "),
            (None, 0) => "no strategy had a candidate that was not refused before".to_string(),
            (None, tried) => format!("none of {tried} candidates makes the failing inputs succeed"),
        };
        if let Some(reason) = &self.later {
            return Next::Later { reason: reason.clone() };
        }
        let reason = std::iter::once(&ours).chain(&self.reasons).cloned().collect::<Vec<_>>().join("; ");
        Next::Over { tried, reason }
    }
}

/// As the configuration has it.
fn word(language: Language) -> &'static str {
    match language {
        Language::Python => "python",
        Language::Javascript => "javascript",
        Language::Rust => "rust",
        Language::Shell => "shell",
        Language::Other => "other",
    }
}

impl Attempts for Search<'_> {
    fn next(&mut self, improvement: &Improvement) -> Result<Next> {
        if let Some(ready) = self.ready.take() {
            return Ok(ready);
        }
        let next = self.step(improvement)?;
        self.with_words(next, improvement)
    }
}

impl Search<'_> {
    /// Where a model was asked about this investigation already, what comes before it had nothing: a cycle that goes on where another one
    /// was stopped does not look for it again.
    fn skip_what_was_asked(&mut self, improvement: &Improvement) {
        let is_first = std::mem::take(&mut self.is_first);
        if is_first {
            self.visits = improvement.visits();
        }
        let before = self.ways.iter().position(|way| *way == StrategyName::Model).unwrap_or(0);
        if is_first && self.wanted.view.config.improve.beside.is_empty() && improvement.was_asked() {
            self.ways.drain(..before);
        }
    }

    fn step(&mut self, improvement: &Improvement) -> Result<Next> {
        self.skip_what_was_asked(improvement);
        if let Some(shortlist) = self.shortlist.filter(|_| self.offer.candidates.is_empty()) {
            self.offer = self.asked(improvement, |asked| asked.shortlisted(shortlist))?;
            self.tell_trying(improvement);
        }
        loop {
            if let Some(next) = self.offered() {
                return Ok(next);
            }
            if let Some(next) = self.talked(improvement)? {
                return Ok(next);
            }
            if let Some(next) = self.judge_proposed(improvement)? {
                return Ok(next);
            }
            let Some(way) = self.ways.pop_front() else {
                return Ok(match self.held.take() {
                    Some((found, judged)) => self.chosen(&found, judged),
                    None => self.over(),
                });
            };
            if let Some(next) = self.turn_to(way, improvement)? {
                return Ok(next);
            }
        }
    }
}
