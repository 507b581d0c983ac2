//! The search: candidates in the order of their rank put to the tests, single edits first, then two together.
//!
//! It is anytime (what it has found is in the report whatever made it stop) and deterministic: nothing in it depends on how long
//! anything took, except when the budget of processor time ends it. Owns the order of trials; what is proposed comes from the
//! strategies, and how a source is run is in `world::trial`.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::Result;

use super::localize::{locate, telling};
use super::{Case, Strategy, changes, parses, template};
use crate::lang;
use crate::model::{Candidate, CommitId, Conclusion, Exit, FileEdit, Investigation, Patch, TestRun, Tool, Triaged};
use crate::world::trial::Trials;

/// Where the search ends if it has not found what it looks for.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Candidates that are tried.
    pub candidates: usize,
    /// Processor time of all trials.
    pub cpu: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { candidates: 60_000, cpu: Duration::from_secs(120) }
    }
}

/// Why a search cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("`{path}` does not parse: {why}")]
    DoesNotParse { path: String, why: String },
    #[error("every test passes: there is nothing to repair")]
    Green,
    #[error(transparent)]
    Trials(#[from] anyhow::Error),
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Enough was found, and enough more was looked at.
    Found,
    /// There was nothing more to try.
    Exhausted,
    /// The budget was used up.
    Budget,
}

/// A patch that passes every test it was shown.
#[derive(Clone, Debug)]
pub struct Plausible {
    pub candidate: Candidate,
    pub source: String,
    /// How many candidates had been tried when it was found, itself included.
    pub tried: usize,
}

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// The untouched source on every test.
    pub baseline: Vec<TestRun>,
    /// Best first.
    pub plausible: Vec<Plausible>,
    pub tried: usize,
    pub stopped: Stopped,
}

/// Candidates that are tried together: few at first, so that a good guess is cheap.
const BATCHES: [usize; 4] = [16, 64, 128, 256];
/// After the first plausible patch so many more candidates are tried, or as many again as it took, whichever is more.
const MORE: usize = 400;
/// But not more than this many.
const MORE_MAX: usize = 3000;
/// Plausible patches that are kept.
const KEPT: usize = 40;
/// First edits of pairs.
const FIRST_EDITS: usize = 40;
/// Second edits tried with each of them.
const SECOND_EDITS: usize = 400;

/// Looks for patches of `path`, one of the tool's `sources`, that pass all tests of `trials`. `progress` is told how many candidates were
/// tried and found.
///
/// # Errors
/// See [`SearchError`].
pub fn search(
    tool: &Tool,
    sources: &BTreeMap<String, Vec<u8>>,
    path: &str,
    trials: &mut dyn Trials,
    budget: Budget,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report, SearchError> {
    let content = sources.get(path).map(Vec::as_slice).unwrap_or_default();
    let unreadable = |why: String| SearchError::DoesNotParse { path: path.to_string(), why };
    lang::parses(lang::detect(path, content), content).map_err(unreadable)?;
    let source = std::str::from_utf8(content).map_err(|error| unreadable(error.to_string()))?;
    let baseline = trials.cover(source)?;
    let order = order_of(&baseline);
    if baseline.iter().all(TestRun::passed) {
        return Err(SearchError::Green);
    }
    let mut search = Search {
        tool,
        sources,
        path,
        source,
        budget,
        order,
        baseline: &baseline,
        trials,
        progress,
        seen: HashSet::new(),
        kills: vec![0; baseline.len()],
        half_way: Vec::new(),
        plausible: Vec::new(),
        tried: 0,
    };
    let stopped = search.run()?;
    let Search { plausible, tried, .. } = search;
    Ok(Report { baseline, plausible, tried, stopped })
}

/// Failing tests first, the fastest of each first.
fn order_of(baseline: &[TestRun]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..baseline.len()).collect();
    order.sort_by_key(|at| (baseline[*at].passed(), baseline[*at].cpu, *at));
    order
}

struct Search<'a> {
    tool: &'a Tool,
    sources: &'a BTreeMap<String, Vec<u8>>,
    path: &'a str,
    source: &'a str,
    budget: Budget,
    /// Numbers of the tests in the order in which a candidate meets them.
    order: Vec<usize>,
    baseline: &'a [TestRun],
    trials: &'a mut dyn Trials,
    progress: &'a mut dyn FnMut(usize, usize),
    seen: HashSet<[u8; 32]>,
    /// Candidates that each test has stopped.
    kills: Vec<usize>,
    /// Candidates that passed a test which the untouched source fails: half of a pair, perhaps.
    half_way: Vec<Candidate>,
    plausible: Vec<Plausible>,
    tried: usize,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Stopped, SearchError> {
        self.seen.insert(*blake3::hash(self.source.as_bytes()).as_bytes());
        let singles = self.propose(self.source, usize::MAX);
        if let Some(stopped) = self.try_all(singles.clone(), usize::MAX)? {
            return Ok(stopped);
        }
        if !self.plausible.is_empty() {
            return Ok(Stopped::Found);
        }
        self.pairs(singles)
    }

    /// Second edits on sources that already have one: those that got furthest first, then those that rank highest.
    fn pairs(&mut self, singles: Vec<Candidate>) -> Result<Stopped, SearchError> {
        let mut firsts = std::mem::take(&mut self.half_way);
        firsts.truncate(FIRST_EDITS);
        let room = FIRST_EDITS - firsts.len();
        let ranked = singles.into_iter().filter(|single| !firsts.contains(single)).take(room).collect::<Vec<_>>();
        firsts.extend(ranked);
        for first in firsts {
            let Some(source) = written(&first.patch, self.path) else { continue };
            let seconds = self.propose(&source, SECOND_EDITS);
            let both = seconds.into_iter().map(|second| together(&first, second)).collect();
            if let Some(stopped) = self.try_all(both, SECOND_EDITS)? {
                return Ok(stopped);
            }
            if !self.plausible.is_empty() {
                return Ok(Stopped::Found);
            }
        }
        Ok(Stopped::Exhausted)
    }

    /// Candidates for `source`, by descending rank.
    fn propose(&self, source: &str, limit: usize) -> Vec<Candidate> {
        let mut sources = self.sources.clone();
        sources.insert(self.path.to_string(), source.as_bytes().to_vec());
        let failure = telling(self.baseline).cloned();
        let investigation = Investigation {
            commit: CommitId(String::new()),
            failure: failure.unwrap_or_else(|| crate::model::Failure::new(&Exit::Code(1), None, "", Vec::new())),
            reproductions: Vec::new(),
            locations: locate(self.path, self.baseline),
            culprit: None,
            suite: None,
            remarks: Vec::new(),
            conclusion: Conclusion::Improvable,
        };
        let case = Case { tool: self.tool, investigation: &investigation, sources: &sources, revert: None };
        let mut proposed = template::Templates.propose(&case);
        proposed.retain(|candidate| candidate.patch.edits.contains_key(self.path) && changes(&candidate.patch, &sources));
        proposed.sort_by(|a, b| b.rank.total_cmp(&a.rank));
        proposed.truncate(limit);
        proposed
    }

    /// Tries candidates in batches. `None` when all were tried and the search may go on.
    fn try_all(&mut self, candidates: Vec<Candidate>, limit: usize) -> Result<Option<Stopped>, SearchError> {
        let mut rest = candidates.into_iter().take(limit);
        let mut found_at = None;
        for size in BATCHES.into_iter().chain(std::iter::repeat(BATCHES[BATCHES.len() - 1])) {
            let batch = self.batch(&mut rest, size);
            if batch.is_empty() {
                return Ok(None);
            }
            self.try_batch(batch)?;
            (self.progress)(self.tried, self.plausible.len());
            if !self.plausible.is_empty() {
                let since = *found_at.get_or_insert(self.tried);
                if self.tried >= since + since.clamp(MORE, MORE_MAX) || self.plausible.len() >= KEPT {
                    return Ok(Some(Stopped::Found));
                }
            }
            if self.tried >= self.budget.candidates || self.trials.cpu() >= self.budget.cpu {
                return Ok(Some(if self.plausible.is_empty() { Stopped::Budget } else { Stopped::Found }));
            }
        }
        Ok(None)
    }

    /// The next candidates that parse and were not tried before.
    fn batch(&mut self, rest: &mut impl Iterator<Item = Candidate>, size: usize) -> Vec<(Candidate, String)> {
        let mut batch = Vec::with_capacity(size);
        for candidate in rest {
            let Some(source) = written(&candidate.patch, self.path) else { continue };
            if self.seen.insert(*blake3::hash(source.as_bytes()).as_bytes()) && parses(&candidate.patch) {
                batch.push((candidate, source));
            }
            if batch.len() == size {
                break;
            }
        }
        batch
    }

    fn try_batch(&mut self, batch: Vec<(Candidate, String)>) -> Result<(), SearchError> {
        let (candidates, sources): (Vec<Candidate>, Vec<String>) = batch.into_iter().unzip();
        let verdicts = self.trials.triage(&sources, &self.order)?;
        for ((candidate, source), verdict) in candidates.into_iter().zip(sources).zip(verdicts) {
            self.tried += 1;
            match verdict.stopped_at() {
                Some(test) => self.stopped(candidate, verdict, test),
                None => {
                    let runs = self.trials.confirm(&source, &self.order)?;
                    if runs.iter().all(TestRun::passed) {
                        self.plausible.push(Plausible { candidate, source, tried: self.tried });
                    }
                }
            }
        }
        self.reorder();
        Ok(())
    }

    fn stopped(&mut self, candidate: Candidate, verdict: Triaged, test: usize) {
        if let Some(kills) = self.kills.get_mut(test) {
            *kills += 1;
        }
        let got_further = self.order.first() != Some(&test) && matches!(verdict, Triaged::Failed { .. });
        if got_further && self.half_way.len() < FIRST_EDITS {
            self.half_way.push(candidate);
        }
    }

    /// Of the tests that pass without a patch, those that have stopped most candidates come first.
    fn reorder(&mut self) {
        let (baseline, kills) = (self.baseline, &self.kills);
        let key = |at: &usize| {
            let passed = baseline[*at].passed();
            (passed, if passed { usize::MAX - kills[*at] } else { 0 }, baseline[*at].cpu, *at)
        };
        self.order.sort_by_key(key);
    }
}

/// What a patch makes of the file.
fn written(patch: &Patch, path: &str) -> Option<String> {
    match patch.edits.get(path)? {
        FileEdit::Write(content) => String::from_utf8(content.clone()).ok(),
        FileEdit::Delete => None,
    }
}

/// Two edits as one candidate; `second` was made on what `first` wrote.
fn together(first: &Candidate, second: Candidate) -> Candidate {
    Candidate {
        strategy: second.strategy,
        source: format!("{} + {}", first.source, second.source),
        title: format!("{}; {}", first.title, second.title),
        trust: first.trust.min(second.trust),
        patch: second.patch,
        rank: first.rank * second.rank,
    }
}
